"""What `lamina explain` says of one build or one step, in words."""

from __future__ import annotations

import json
from collections.abc import Sequence

from msgspec.structs import replace

from lamina.explain.narrative import Dragged, Fault, Narrative
from lamina.explain.story import Before, Story, ToldStep
from lamina.explain.table import own_causes
from lamina.keys.decide import MissCause
from lamina.keys.facts import FileChange
from lamina.keys.record import KeyPart
from lamina.report.causes import file_phrase, phrase
from lamina.report.context import visible
from lamina.report.explain_observed import look_reason, read_phrase, saw_phrase
from lamina.report.words import age, columns, duration, size

#: So many files of a cause, and so many steps that were dragged along, are told unless all are asked for.
_FEW = 5
_WIDTH = 88
#: Values up to this long stand in `phrase` uncut.
_SHORT = 48
_TEXT = 60
_SOLE = {"mode": "file modes", "owner": "file owners", "line-ends": "line ends", "git": "files of .git"}
_HOW = {
    "definition": "the same instruction with the same inputs, on the same steps, was run before",
    "content": "the same instruction with the same inputs was run before on files that were the same, though other "
    "steps had made them",
}


def narrative_lines(narrative: Narrative, story: Story, *, whole: bool = False) -> list[str]:
    """Why what ran did run: one cause first, then what it dragged along, what that cost, and what would have avoided
    it; other causes after it. `whole` tells all files and inputs."""
    if not narrative.faults:
        return [all_cached(narrative)]
    first, *others = narrative.faults
    lines = fault_lines(first, story, whole=whole)
    for fault in others if whole else others[:2]:
        lines += ["", *fault_lines(fault, story, whole=whole, also=True)]
    if not whole and len(others) > 2:
        rest = others[2:]
        lines += ["", f"{_count(len(rest), 'more cause')}, of {duration(sum(one.seconds for one in rest))} (--all):"]
        lines += [f"  {_at(fault.step)}  {phrase(fault.causes[0])}" for fault in rest]
    return lines


def all_cached(narrative: Narrative) -> str:
    """One line for a build in which nothing ran."""
    counted = narrative.summary
    if not counted.total:
        return "No step of it makes a layer, so there was nothing to build."
    saved = f", which saved {duration(counted.saved)}" if counted.saved >= 0.05 else ""
    every = f"All {counted.total} steps" if counted.total > 1 else "Its only step"
    return f"{every} came from the cache{saved}."


def fault_lines(fault: Fault, story: Story, *, whole: bool = False, also: bool = False) -> list[str]:
    """One cause with all that follows from it."""
    cause = fault.causes[0]
    verb = "failed; it ran" if fault.step.outcome == "failed" else "ran"
    lines = [_title(fault.step, story), f"  {'also ' if also else ''}{verb} because {reason(cause)}"]
    lines += cause_lines(fault.causes, whole=whole)
    if fault.under is not None:
        lines.append(f"  It would have run anyway, as line {fault.under.span.line} above it did.")
    if fault.step.kept:
        lines.append(_kept(fault.step, story))
    if fault.alike:
        lines.append(f"The same is true of {_count(len(fault.alike), 'further step')}:")
        lines += _steps([Dragged(step) for step in fault.alike], whole)
    if fault.dragged:
        lines.append(f"It dragged along {_count(len(fault.dragged), 'step')}, in which nothing else had changed:")
        lines += _steps(fault.dragged, whole)
    lines.append(_cost(fault))
    if fault.spared:
        lines += _spared(fault.spared, whole)
    return lines + list(map(_cure, fault.cures))


def reason(cause: MissCause) -> str:
    """The cause as the end of a sentence, with a full stop."""
    if cause.look is not None:
        return f"{look_reason(cause.look)}."
    match cause.kind:
        case "first_build":
            return "it was never built before here: there is nothing to compare it with."
        case "evicted":
            return "its layer is no longer in the store; its inputs are those of an earlier build."
        case "forced":
            return "--no-cache asked for it."
    if not cause.files:
        return f"{visible(phrase(cause))}."
    several = max(cause.total, len(cause.files)) > 1
    told = visible(file_phrase(replace(cause.files[0], lines=()))) if several else change_line(cause.files[0])
    if cause.sole:
        count = f", {cause.total} of them." if cause.sole == "git" else f", of {cause.total} files."
        return f"only {_SOLE[cause.sole]} differ{count if several else f': {told}.'}"
    return f"{told}{', and ' + _count(cause.total - 1, 'more change') if several else ''}."


def cause_lines(causes: Sequence[MissCause], *, whole: bool = False) -> list[str]:
    """Before and after of each changed input, the first in full, the others by name unless all are asked for."""
    first, *others = causes
    lines = _details(first, whole)
    if whole:
        for cause in others:
            lines += [f"  and {visible(phrase(cause))}", *_details(cause, whole)]
    elif others:
        told = ", ".join(visible(phrase(cause)) for cause in others[:3])
        more = f", and {len(others) - 3} more" if len(others) > 3 else ""
        lines.append(f"  other inputs that differ: {told}{more}")
    return lines


def step_lines(
    step: ToldStep, story: Story, narrative: Narrative, maker: Before | None, now: float, *, whole: bool = False
) -> list[str]:
    """One step alone, also a cached one. `maker` is the result that a cached step was taken from, if it is known."""
    lines = [_title(step, story)]
    if step.outcome == "metadata":
        return [*lines, "  makes no layer: it is done anew in each build, and takes no time."]
    if step.outcome == "cached":
        told = read_phrase(step) if step.how == "observation" else _HOW.get(step.how, "the same step was run before")
        lines.append(f"  was cached: {told}.")
        if maker is not None:
            lines.append(
                f"  Its layer ({size(step.size)}) was made by build {maker.build}, {age(now - maker.created)}."
            )
        lines.append(f"  That saved {duration(step.saved)}.")
    else:
        ran, cures = _ran(step, narrative, story, whole)
        lines += [*ran, f"  It took {_seconds_and_size(step)}{_last_time(step.before)}."]
        lines += map(_cure, cures)
    return lines + (key_lines(step) if whole else [])


def key_lines(step: ToldStep) -> list[str]:
    """All named inputs of a step's key."""
    if step.key is None:
        return []
    rows = [("  " + visible(part.name), _one_line(_value(part))) for part in step.key.parts]
    return [f"Its inputs, of which the key {step.key.digest[7:19]} is made:", *columns(rows)]


def values(before: str | None, after: str | None) -> list[str]:
    """Two values on lines of their own, long ones cut around the first place where they differ."""
    old, new = _plain(before), _plain(after)
    if "\n" in old or "\n" in new:
        old, new, line = _first_line(old, new)
        number = f"line {line} "
    else:
        number = ""
    start = next((n for n, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), None)
    cut = min(len(old), len(new)) if start is None else start
    return [f"    {number}was  {_around(old, cut)}", f"    {number}now  {_around(new, cut)}"]


def _ran(step: ToldStep, narrative: Narrative, story: Story, whole: bool) -> tuple[list[str], Sequence[str]]:
    """Why a step ran, and what would have avoided it."""
    fault = next((one for one in narrative.faults if step in one.steps), None)
    own = own_causes(step)
    if fault is not None and any(one.step == step for one in fault.dragged):
        one = next(one for one in fault.dragged if one.step == step)
        way = f", whose stage {visible(one.through)} it takes files from" if one.through else ""
        lines = ["  ran only because of a step above it; nothing else of it had changed."]
        if one.saw is not None:
            lines = [f"  ran because it {saw_phrase(one.saw)}; nothing else of it had changed."]
        which = "That step is" if one.saw is None else "The step above it is"
        lines.append(f"  {which} line {fault.step.span.line}, {_text(fault.step)}{way},")
        lines.append(f"  which ran because {reason(fault.causes[0])}")
        return lines + cause_lines(fault.causes, whole=whole), fault.cures
    verb = "failed; it ran" if step.outcome == "failed" else "ran"
    lines = [f"  {verb} because {reason(own[0])}" if own else f"  {verb}."]
    lines += cause_lines(own, whole=whole) if own else []
    if step.kept:
        lines.append(_kept(step, story))
    if len(own) < len(step.causes):
        lines.append("  A step above it ran too, so it would have run anyway.")
    return lines, fault.cures if fault is not None else ()


def _details(cause: MissCause, whole: bool) -> list[str]:
    if cause.files:
        shown = cause.files if whole else cause.files[:_FEW]
        if max(cause.total, len(cause.files)) == 1:
            return []
        lines = [f"    {change_line(change)}" for change in shown]
        hidden = max(cause.total, len(cause.files)) - len(shown)
        if hidden and whole:
            lines.append(f"    and {hidden} more, of which no more is kept than the number")
        elif hidden:
            lines.append(f"    and {hidden} more (--all)")
        return lines
    # The sentence above has short values whole.
    short = max(len(cause.before or ""), len(cause.after or "")) <= _SHORT and cause.part not in ("command", "script")
    if short and cause.kind == "changed":
        return []
    hashes = cause.part.startswith("source ") or (cause.part == "parent" and (cause.before or "").startswith("sha256:"))
    return values(cause.before, cause.after) if cause.kind in ("changed", "order") and not hashes else []


def change_line(change: FileChange) -> str:
    """One file's difference, with all line numbers."""
    if change.kind != "content" or len(change.lines) < 2:
        return visible(file_phrase(change))
    runs = [f"{first} to {last}" if first < last else str(first) for first, last in change.lines if first <= last]
    gone = [str(last) for first, last in change.lines if last < first]
    told = [f"lines {_list(runs)}" if len(runs) > 1 or " to " in runs[0] else f"line {runs[0]}"] if runs else []
    told += [f"lines are gone after line {_list(gone)}"] if gone else []
    return f"{visible(change.path)} is different: {'; '.join(told)}"


def _cost(fault: Fault) -> str:
    known = [step for step in fault.steps if step.before is not None]
    together = "Together that took" if len(fault.steps) > 1 else "That took"
    told = f"{together} {duration(fault.seconds)} and made {size(fault.size)} of layers"
    if not known:
        return f"{told}."
    which = "" if len(known) == len(fault.steps) else f" ({len(known)} of them ran before)"
    return f"{told}; the last time it was {duration(fault.last_time)}{which}."


def _cure(cure: str) -> str:
    return visible(cure if cure.startswith("Nothing ") else f"To avoid it: {cure}")


def _steps(steps: Sequence[Dragged], whole: bool) -> list[str]:
    shown = steps if whole else steps[:_FEW]
    rows = [
        (f"    line {one.step.span.line}", _text(one.step), duration(one.step.seconds), _size(one.step), _remark(one))
        for one in shown
    ]
    lines = columns(rows, 2)
    if len(steps) > len(shown):
        rest = steps[len(shown) :]
        lines.append(f"    and {len(rest)} more, {duration(sum(one.step.seconds for one in rest))} (--all)")
    return lines


def _spared(steps: Sequence[ToldStep], whole: bool) -> list[str]:
    """The steps that were cached by observation, with what that saved."""
    saved = duration(sum(step.saved for step in steps))
    they, them = ("they", "steps") if len(steps) > 1 else ("it", "step")
    lines = [
        f"{len(steps)} {them} below stayed cached, since nothing that {they} looked at has changed: {saved} saved."
    ]
    shown = steps if whole else steps[:_FEW]
    rows = [
        (f"    line {one.span.line}", _text(one), duration(one.saved), f"read {one.read[0]} of {one.read[1]} files")
        for one in shown
    ]
    lines += columns(rows, 2)
    return lines + ([f"    and {len(steps) - len(shown)} more (--all)"] if len(steps) > len(shown) else [])


def _remark(one: Dragged) -> str:
    told = [f"takes files of stage {visible(one.through)}"] if one.through else []
    told += [saw_phrase(one.saw)] if one.saw is not None else []
    told += ["came out as before"] if one.step.kept else []
    told += ["failed"] if one.step.outcome == "failed" else []
    return "; ".join(told)


def _title(step: ToldStep, story: Story) -> str:
    stage = next((stage for stage in story.stages if step in stage.steps), None)
    where = f", stage {visible(stage.label)}" if stage is not None and stage.named else ""
    return f"Line {step.span.line}{where}: {_text(step)}"


def _kept(step: ToldStep, story: Story) -> str:
    stage = next(stage for stage in story.stages if step in stage.steps)
    spared = [one for one in stage.steps[stage.steps.index(step) :] if one.outcome == "cached"]
    told = "  It came out as before, but for times, and keeps its earlier layer"
    if not spared:
        return f"{told}."
    saved = duration(sum(one.saved for one in spared))
    return f"{told}: so {_count(len(spared), 'step')} below it stayed cached, which saved {saved} (early cutoff)."


def _size(step: ToldStep) -> str:
    return "" if step.kept or step.outcome == "failed" else size(step.size)


def _seconds_and_size(step: ToldStep) -> str:
    made = _size(step)
    return f"{duration(step.seconds)} and made {made}" if made else duration(step.seconds)


def _last_time(before: Before | None) -> str:
    return f"; the last time it was {duration(before.seconds)} (build {before.build})" if before is not None else ""


def _value(part: KeyPart) -> str:
    return _plain(part.value) or "(nothing)"


def _plain(value: str | None) -> str:
    """A key's value as its user wrote it: a command without the shell in front of it."""
    text = value if value is not None else ""
    if text.startswith("["):
        try:
            words = json.loads(text)
        except (ValueError, RecursionError):
            return text
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return words[2] if len(words) == 3 and words[1] == "-c" else " ".join(words)
    return text


def _first_line(old: str, new: str) -> tuple[str, str, int]:
    """The first lines of two texts that differ, with their number."""
    left, right = old.split("\n"), new.split("\n")
    for number, (one, other) in enumerate(zip(left, right, strict=False), 1):
        if one != other:
            return one, other, number
    shorter = min(len(left), len(right))
    return (
        left[shorter] if len(left) > shorter else "",
        right[shorter] if len(right) > shorter else "",
        shorter + 1,
    )


def _around(text: str, cut: int) -> str:
    if not text:
        return "(nothing)"
    if len(text) <= _WIDTH:
        return visible(text)
    start = max(0, min(cut - _WIDTH // 3, len(text) - _WIDTH))
    end = start + _WIDTH
    return f"{'…' if start else ''}{visible(text[start:end])}{'…' if end < len(text) else ''}"


def _one_line(text: str) -> str:
    line = visible(" ".join(text.split()))
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"


def _text(step: ToldStep) -> str:
    line = visible(" ".join(step.text.split()))
    return line if len(line) <= _TEXT else f"{line[: _TEXT - 1]}…"


def _at(step: ToldStep) -> str:
    return f"line {step.span.line}, {_text(step)}:"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' if number != 1 else ''}"


def _list(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
