"""What must be true of a forecast, of the build after it, and of the image. `Untrue` says what is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal

from tests.truth.image_files import Files
from tests.truth.model import Record, Step, Value

Row = Mapping[str, Any]
_TOLD = 20


Wrong = Literal["prediction", "cause", "needless", "stale", "failed"]


class Untrue(Exception):
    """`kind`: a step did other than foretold; the reason is not what was edited; a step would run that was built from
    the same inputs before; the image is another than one that was built without the cache; a command failed."""

    def __init__(self, kind: Wrong, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


def check_images(expected: tuple[Files, dict[str, Any]], found: tuple[Files, dict[str, Any]]) -> Iterator[Untrue]:
    """Whether both have the same files and the same configuration."""
    for name, one, other in zip(("files", "configuration"), expected, found, strict=True):
        different = {key: (one.get(key), other.get(key)) for key in {*one, *other} if one.get(key) != other.get(key)}
        if different:
            yield Untrue("stale", f"{name} (without the cache, with it): {different}")


@dataclass(frozen=True)
class Turn:
    """The rows of a plan and those of the build after it; what the model says of the steps; the steps of the build
    before, and the keys of all builds before."""

    foreseen: Sequence[Row]
    built: Sequence[Row]
    now: Sequence[Sequence[Step]]
    before: Sequence[Step]
    known: frozenset[str]

    def check(self, counts: Counter[str]) -> Iterator[Untrue]:
        """All that is not true, and what was looked at in `counts`."""
        expected: list[Step | None] = [step for stage in self.now for step in (None, *stage)]
        if not len(self.foreseen) == len(self.built) == len(expected):
            numbers = f"{len(self.foreseen)} rows foreseen, {len(self.built)} built"
            yield Untrue("prediction", f"{numbers}, {len(expected)} there")
            return
        for plan, fact, step in zip(self.foreseen, self.built, expected, strict=True):
            if plan["text"] != fact["text"]:
                yield Untrue("prediction", f"{plan['text']!r} foreseen, {fact['text']!r} built")
            elif step is None or not step.key:
                if {plan["verdict"], fact["verdict"]} - {"cached", "metadata"}:
                    yield Untrue("prediction", f"{plan['text']!r} is {plan['verdict']}, then {fact['verdict']}")
            else:
                counts["predictions"] += 1
                yield from self._step(plan, fact, step, counts)

    def _step(self, plan: Row, fact: Row, step: Step, counts: Counter[str]) -> Iterator[Untrue]:
        open_ended = plan["verdict"] == "unknown" or plan.get("possible")
        if not open_ended and (plan["verdict"] == "cached") != (fact["verdict"] == "cached"):
            yield Untrue("prediction", f"{plan['text']!r} was to be {plan['verdict']}, and is {fact['verdict']}")
        if step.key in self.known and plan["verdict"] != "cached":
            yield Untrue("needless", f"{plan['text']!r} is {plan['verdict']}, with the inputs of an earlier build")
        for row, rows, where in ((plan, self.foreseen, "plan"), (fact, self.built, "build")):
            if self.before and row["verdict"] in ("CHANGED", "new", "rebuilds"):
                counts["causes"] += 1
                moved = [one.text for stage in self.now for one in stage] != [one.text for one in self.before]
                wrong = _wrong_cause(row, step, self.before, rows, moved)
                if wrong:
                    yield Untrue("cause", f"{where}: {row['text']!r} {wrong}")


# --- causes -----------------------------------------------------------------------------------------------------------
def _wrong_cause(row: Row, step: Step, before: Sequence[Step], rows: Sequence[Row], moved: bool) -> str:
    """What is wrong with the reason that a row gives, if something is. `moved`: the instructions changed."""
    verdict, cause = row["verdict"], row["cause"]
    same = [one for one in before if (one.stage, one.text) == (step.stage, step.text)]
    same += [one for one in before if one.text == step.text and one.keyword == step.keyword]
    if verdict == "rebuilds":
        # Behind what nobody knows yet, a plan cannot tell more than what comes first.
        certain = not any(one["verdict"] == "unknown" or one["possible"] for one in rows)
        if same and certain and not moved and any(_differences(same[0], step)):
            return f"rebuilds, and has a cause of its own: {_told(same[0], step)}"
        found = [one for one in rows if row["because"] and one["span"]["line"] == row["because"][1]]
        if not any(one["verdict"] in ("CHANGED", "new", "unknown") for one in found):
            return f"rebuilds because of {row['because']}, which does not change"
        return ""
    there = [one for one in before if (one.stage, one.number, one.keyword) == (step.stage, step.number, step.keyword)]
    nearest = [one for one in (*same, *there, *(before if moved else ())) if one.keyword == step.keyword]
    if (cause["kind"] == "first_build" and not same) or (moved and cause["part"] in ("parent", "order")):
        return ""
    if any(_matches(cause, one, step) for one in nearest):
        return ""
    return f"is {verdict} because of {_short(cause)}; edited were {[_told(one, step) for one in nearest[:1]]}"


def _matches(cause: Mapping[str, Any], old: Step, new: Step) -> bool:
    """Whether the cause is a difference of these two."""
    part: str = cause["part"]
    if part in ("base", "parent"):
        return old.inputs.get("base") != new.inputs.get("base")
    if part == "script":
        part = "command"
    if not part.startswith("source "):
        values = old.inputs.get(part), new.inputs.get(part)
        told = part == "command" or values == (cause["before"], cause["after"]) or part.startswith("mount ")
        return values[0] != values[1] and told
    for one, other in _sources(old, new):
        if isinstance(one, str) or isinstance(other, str):
            if one != other:
                return True  # another stage's files
        elif one != other and _files_match(cause, dict(_file_differences(one, other)), new.keyword == "RUN"):
            return True
    return False


def _sources(old: Step, new: Step) -> Iterator[tuple[Value, Value]]:
    befores, afters = (
        [value for name, value in one.inputs.items() if name.startswith("source ")] for one in (old, new)
    )
    yield from ((one, other) for one in befores for other in afters)


#: Path in the context and kind of change → contents before and after.
_Differences = dict[tuple[str, str], tuple[bytes, bytes]]


def _file_differences(
    old: Sequence[Record], new: Sequence[Record]
) -> Iterator[tuple[tuple[str, str], tuple[bytes, bytes]]]:
    before, after = ({(record[0], record[4]): record for record in records} for records in (old, new))
    if [key for key, _ in before] != sorted({key for key, _ in before}) or "" in (key for key, _ in after):
        # Several directories of one pattern, or a file that is mounted under another name: told by what counts.
        before, after = ({(record[0], ""): record for record in records} for records in (old, new))
    for name in sorted({*before, *after}):
        one, other = before.get(name), after.get(name)
        path = (other or one or new[0])[4]
        if one is None or other is None:
            yield (path, "added" if one is None else "removed"), (b"", b"")
        elif one[1] != other[1]:
            yield (path, "type"), (b"", b"")
        else:
            if one[3] != other[3]:
                ends = one[3].replace(b"\r\n", b"\n") == other[3].replace(b"\r\n", b"\n")
                kind = "target" if one[1] == "link" else "line-ends" if ends else "content"
                yield (path, kind), (one[3], other[3])
            if one[2] != other[2]:
                yield (path, "mode"), (b"", b"")


def _files_match(cause: Mapping[str, Any], true: _Differences, mounted: bool) -> bool:
    """`mounted`: what a file was before is in no layer, so nobody knows whether only line ends changed."""
    if mounted:
        true = {(path, "content" if kind == "line-ends" else kind): value for (path, kind), value in true.items()}
    told = cause["files"]
    heredocs = {path.removeprefix("<<"): path for path, _ in true if path.startswith("<<")}
    pairs = [(heredocs.get(one["path"], one["path"]), one["kind"]) for one in told]
    if not pairs or not set(pairs) <= set(true):
        return False
    if len(told) != min(len(true), _TOLD) or cause["total"] != len(true):
        return False
    if cause["sole"] != _sole(true):
        return False
    return all(
        _lines_match(one["lines"], *true[pair], mounted or pair[0].startswith("<<"))
        for one, pair in zip(told, pairs, strict=True)
        if pair[1] == "content"
    )


def _sole(true: _Differences) -> str:
    kinds = {kind for _, kind in true}
    if all(path == ".git" or path.startswith(".git/") for path, _ in true):
        return "git"
    return kinds.pop() if len(kinds) == 1 and kinds & {"mode", "owner", "line-ends"} else ""


def _lines_match(told: Sequence[Sequence[int]], before: bytes, after: bytes, gone: bool) -> bool:
    """Whether the runs of lines begin and end where the two texts begin and end to differ, and what is between them is
    in the old text. None is told of what is no text, and of what is nowhere any more (`gone`)."""
    if not told:
        return b"\0" in before + after or gone
    old, new = before.splitlines(), after.splitlines()
    head = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))
    pairs = zip(reversed(old[head:]), reversed(new[head:]), strict=False)
    tail = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    fresh = {number for first, last in told for number in range(first, last + 1)}
    rest = iter(old)
    kept = all(line in rest for number, line in enumerate(new, 1) if number not in fresh)
    return kept and (told[0][0], told[-1][1]) == (head + 1, len(new) - tail)


def _differences(old: Step, new: Step) -> Iterator[str]:
    names = dict.fromkeys((*old.inputs, *new.inputs))
    for name in names:
        one, other = old.inputs.get(name), new.inputs.get(name)
        if isinstance(one, str) and isinstance(other, str) and name.startswith("source "):
            continue
        plain = [[record[:4] for record in value] if isinstance(value, tuple) else value for value in (one, other)]
        if plain[0] != plain[1]:
            yield name


def _told(old: Step, new: Step) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in _differences(old, new):
        one, other = old.inputs.get(name), new.inputs.get(name)
        both = isinstance(one, tuple) and isinstance(other, tuple)
        found[name] = [pair for pair, _ in _file_differences(one, other)] if both else (one, other)  # type: ignore[arg-type]
    return found


def _short(cause: Mapping[str, Any]) -> dict[str, Any]:
    files = [{key: value for key, value in one.items() if key not in ("before", "after")} for one in cause["files"]]
    return {**{key: value for key, value in cause.items() if key not in ("span", "files") and value}, "files": files}
