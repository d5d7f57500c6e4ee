"""The words of `lamina advise`, and its JSON document (docs/advise.md)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from lamina.advise.advice import Advice
from lamina.advise.cost import Cost, CostBook
from lamina.advise.proof import BuiltCommit, Proof
from lamina.advise.replay import Replay
from lamina.report.words import columns, duration, size

SCHEMA = 1

#: So many files, and characters of an instruction, are shown.
_PATHS, _TEXT = 8, 48
_DIFFERENCES = 6


def lines(advice: Advice, notes: Sequence[str], proof: Proof | None, applied: bool) -> list[str]:
    """All that is printed for people."""
    history, before = advice.case.history, advice.before
    first, last = (time.strftime("%Y-%m-%d", time.gmtime(history.commits[at].time)) for at in (0, -1))
    count = len(history.commits)
    told = [f"{_count(count, 'commit')} from {first} to {last}, replayed without building", ""]
    told += ["The order as it is", *_steps(before.replay, before.scene.book), ""]
    told += [f"  Altogether {duration(before.replay.seconds)} of rebuilding.{_basis(before.replay, before.scene.book)}"]
    changed = _changed(advice)
    if changed:
        as_it_was = f" With the one that each had it was {duration(advice.as_it_was)}." if advice.as_it_was else ""
        times = f"{_count(changed, 'commit')} changed the Dockerfile, and all are replayed with the one of now."
        told += [f"  {times}{as_it_was}"]
    if advice.blamed and before.replay.seconds > 0:
        told += ["", "What made steps run again", *_blamed(advice)]
    told += ["", *_order(advice)]
    if advice.ignores:
        told += ["", "Lines for the ignore file that would save more, if the image can do without these files:"]
        told += [f"  {line}" for line in _ignores(advice)]
    if advice.mounts:
        told += ["", "Installs that run again in any order. A cache mount keeps what they download, outside the image:"]
        told += [f"  {line}" for line in _mounts(advice)]
    if advice.better:
        told += ["", *(_proof(proof) if proof is not None else _unproved(applied))]
    if applied:
        told += ["", f"{advice.case.sheet.name} is written."]
    missing = len(advice.after.replay.missing) - len(advice.before.replay.missing)
    more = [f"at {_count(missing, 'commit')} the new order would not build: a file that it names was not there yet"]
    all_notes = [*notes, *(more if advice.better and missing > 0 else [])]
    if all_notes:
        told += ["", *(f"Note: {note}." for note in all_notes)]
    return told


def document(advice: Advice, notes: Sequence[str], proof: Proof | None, applied: bool) -> str:
    """The same as JSON."""
    history = advice.case.history
    value: dict[str, Any] = {
        "schema": SCHEMA,
        "commits": [
            {
                "id": commit.id,
                "time": commit.time,
                "subject": commit.subject,
                "before": sorted(before),
                "after": sorted(after),
            }
            for commit, before, after in zip(
                history.commits, advice.before.replay.ran(), advice.after.replay.ran(), strict=True
            )
        ],
        "before": _plain(advice.before.replay, advice.before.scene.book),
        "after": _plain(advice.after.replay, advice.after.scene.book),
        "as_it_was": advice.as_it_was,
        "saved": advice.saved,
        "paths": advice.blamed,
        "moves": [
            {"what": move.what, "why": move.why, "risks": move.risks, "spared": move.spared}
            for move in advice.after.moves
        ],
        "patch": advice.patch(),
        "dockerfile": advice.after.scene.sheet.text,
        "ignore": advice.ignores,
        "mounts": advice.mounts,
        "proof": None if proof is None else {**msgspec.to_builtins(proof), "seconds": proof.seconds},
        "applied": applied,
        "notes": notes,
    }
    return msgspec.json.format(msgspec.json.encode(_clean(msgspec.to_builtins(value)))).decode()


def _plain(replay: Replay, book: CostBook) -> dict[str, Any]:
    return {
        "seconds": replay.seconds,
        "waited": replay.waited,
        "missing": sorted(replay.missing),
        "steps": [
            {
                "stage": track.stage.label,
                "line": track.step.span.line,
                "text": track.step.text,
                "rebuilt": len(track.ran),
                "seconds": track.seconds,
                "basis": book.of(track.step).basis,
                "lost": track.lost,
                "because": {str(at): origin for at, origin in track.ran.items()},
            }
            for track in replay.tracks
        ],
    }


def _changed(advice: Advice) -> int:
    name = advice.case.sheet.name
    return sum(any(change.path == name for change in commit.changes) for commit in advice.case.history.commits)


def _steps(replay: Replay, book: CostBook) -> Iterator[str]:
    rows = [("", "line", "", "rebuilt", "each", "lost")]
    for track in replay.tracks:
        cost = book.of(track.step)
        rows.append(
            (
                "",
                str(track.step.span.line),
                _fit(track.step.text),
                f"{len(track.ran)} of {replay.commits}",
                _each(cost),
                duration(track.lost),
            )
        )
    return iter(columns(rows, 2))


def _each(cost: Cost) -> str:
    return duration(cost.seconds) + {"recorded": "", "given": " (given)", "guess": " (guess)"}[cost.basis]


def _basis(replay: Replay, book: CostBook) -> str:
    """How much of a sum is a guess."""
    total = replay.seconds
    guessed = sum(track.lost for track in replay.tracks if book.of(track.step).basis == "guess")
    if total <= 0 or guessed < total * 0.01:
        return ""
    part = "All of it" if guessed > total * 0.99 else f"{duration(guessed)} of it"
    return f" {part} rests on guesses: build once, or pass --cost."


def _blamed(advice: Advice) -> Iterator[str]:
    total, commits = advice.before.replay.seconds, advice.before.replay.commits
    rows = [("", "lost", "", "commits", "")]
    for one in advice.blamed[:_PATHS]:
        name = f"{one.path} ({one.files} files)" if one.files > 1 else one.path
        rows.append(("", duration(one.seconds), _percent(one.seconds, total), f"{one.commits} of {commits}", name))
    rest = advice.blamed[_PATHS:]
    if rest:
        seconds = sum(one.seconds for one in rest)
        rows.append(("", duration(seconds), _percent(seconds, total), "", f"{len(rest)} more"))
    return iter(columns(rows, 2))


def _order(advice: Advice) -> Iterator[str]:
    before, after = advice.before.replay, advice.after.replay
    if not advice.better:
        yield "No better order was found."
        if before.seconds > 0:
            yield "  " + _floor(before)
        return
    if advice.saved > 0:
        saved = _percent(advice.saved, before.seconds)
        yield (
            f"A better order: {duration(after.seconds)} instead of {duration(before.seconds)} over the same commits "
            f"({saved} less).{_basis(after, advice.after.scene.book)}"
        )
    else:
        yield f"No order costs less than {duration(before.seconds)}, but the same commits cost no more, and:"
    if after.waited < after.seconds * 0.99:
        yield f"  Stages run side by side, so that {duration(after.waited)} of it are waited for."
    why = {word: None for move in advice.after.moves for word in move.why}
    risks = {word: None for move in advice.after.moves for word in move.risks}
    for number, move in enumerate(advice.after.moves, 1):
        smaller = f", which makes the image {size(move.spared)} smaller" if move.spared else ""
        yield f"  {number}. {move.what}{smaller}."
    if why:
        yield "  It rests on this:"
        yield from (f"    {word}" for word in why)
    if risks:
        yield "  To be looked at:"
        yield from (f"    {word}" for word in risks)
    yield ""
    yield from advice.patch().splitlines()


def _floor(replay: Replay) -> str:
    own = sum(track.seconds for number, track in enumerate(replay.tracks) for at in track.ran.values() if at == number)
    dragged = replay.seconds - own
    return (
        f"{duration(own)} is steps that read what changed; {duration(dragged)} is steps below them, of which it is not "
        "known that they do without."
    )


def _ignores(advice: Advice) -> list[str]:
    rows = [(line.pattern, duration(line.saved), line.why) for line in advice.ignores]
    return columns(rows, 3)


def _mounts(advice: Advice) -> list[str]:
    rows = [
        (f"line {one.line}", f"{one.commits} times", duration(one.seconds), f"RUN {one.flags}") for one in advice.mounts
    ]
    return columns(rows, 3)


def _unproved(applied: bool) -> list[str]:
    if applied:
        return ["Not proved: the images of the two orders were not compared."]
    return ["Not proved: `--prove` builds both orders and compares the images; `--apply` writes what is proved."]


def _proof(proof: Proof) -> Iterator[str]:
    if proof.verdict == "not tried":
        yield f"The proof was not tried: {proof.why}."
        return
    built = [commit for commit in proof.commits if not commit.failed]
    differ = [commit for commit in built if commit.strange]
    if proof.verdict == "proved":
        yield f"Proved: the images of {_count(len(built), 'commit')} are the same in both orders, times aside."
    else:
        yield f"The images differ at {len(differ)} of {_count(len(built), 'commit')}: the patch is not proved."
    rows = [("", "old order", "new order", "commit", "")]
    for commit in proof.commits:
        old, new = map(duration, commit.seconds) if commit.seconds is not None else ("", "")
        rows.append(("", old, new, commit.id[:10], _found(commit)))
    yield from columns(rows, 2)
    was, now = proof.seconds
    if was > 0:
        yield f"  Measured: {duration(now)} instead of {duration(was)} ({_compared(was, now)})."
    for commit in differ:
        for one in commit.strange[:_DIFFERENCES]:
            yield f"  differs in {one.path} ({one.what}) at {commit.id[:10]}"
    noise = {(one.path, one.noise) for commit in built for one in commit.differing if one.noise}
    for path, why in sorted(noise)[:_DIFFERENCES]:
        yield f"  noise: {path}: {why}"
    if len(noise) > _DIFFERENCES:
        yield f"  noise: {len(noise) - _DIFFERENCES} more paths"


def _found(commit: BuiltCommit) -> str:
    if commit.failed:
        return f"not built: {commit.failed}"
    strange = commit.strange
    if strange:
        return f"{_count(len(strange), 'difference')}, {commit.same} paths the same"
    noise = len(commit.differing)
    return f"{commit.same} paths the same" + (f", {noise} differ as they always do" if noise else "")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _compared(was: float, now: float) -> str:
    return f"{_percent(abs(was - now), was)} {'less' if now <= was else 'more'}"


def _percent(part: float, total: float) -> str:
    return f"{100 * part / total:.0f} %" if total > 0 else "0 %"


def _fit(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TEXT else f"{line[: _TEXT - 1]}…"


def _clean(value: Any) -> Any:
    """Text that may hold bytes which are no UTF-8, as JSON can have it."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {name: _clean(each) for name, each in value.items()}
    return [_clean(each) for each in value] if isinstance(value, list | tuple) else value
