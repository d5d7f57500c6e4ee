"""The report of a replayed history: which step ran at which commit and why, what that cost, and the better order."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lamina.advise.advice import Advice
from lamina.advise.cost import CostBook
from lamina.advise.proof import BuiltCommit, Proof
from lamina.advise.replay import Replay
from lamina.report.context import visible
from lamina.report.page import rendered, svg
from lamina.report.page_charts import Bar, Cell, Chart, Grid, Line, bars, grid, lines
from lamina.report.words import duration

#: So many columns and rows a grid has at most, and so many blocks are drawn in one.
_COLUMNS, _NARROW_COLUMNS, _BLOCKS = 200, 48, 4500
#: So many steps whose change ran others have a colour of their own; so many paths and steps are drawn, and listed.
_COLOURS, _BARS, _LISTED, _POINTS = 6, 20, 40, 240
_OTHER = "c-other"


def history_page(name: str, advice: Advice, notes: Sequence[str], proof: Proof | None) -> bytes:
    """The page. `name` is the context's, without its place on this machine."""
    history, before, after = advice.case.history, advice.before.replay, advice.after.replay
    days = [_day(commit.time) for commit in history.commits]
    tones = _Tones((before, after))
    saved = f"{100 * advice.saved / before.seconds:.0f} %" if before.seconds > 0 else "0 %"
    missing = len(after.missing) - len(before.missing)
    more = [f"at {missing} commits the new order would not build: a file that it names was not there yet"]
    values = {
        "title": f"History of {visible(name)}",
        "first": days[0],
        "last": days[-1],
        "commits": len(days),
        "dockerfile": advice.case.sheet.name,
        "cards": [
            (f"{len(days)}", "commits replayed, without building"),
            (duration(before.seconds), "of rebuilding in the order as it is"),
            *(
                [(duration(after.seconds), "in the better order"), (saved, "less")]
                if advice.better
                else [("none", "no better order was found")]
            ),
        ],
        "better": advice.better,
        "guessed": _guessed(before, advice.before.scene.book),
        "grids": [
            _grid("as it is", advice, before, tones, days),
            *([_grid("better", advice, after, tones, days)] if advice.better else []),
        ],
        "sums": _sums(advice, days),
        "costs": _costs(advice),
        "steps": _steps(advice),
        "paths": _paths(advice),
        "moves": [
            {"what": visible(move.what), "why": _once(move.why), "risks": _once(move.risks)}
            for move in advice.after.moves
        ],
        "patch": [(_sort(line), line) for line in advice.patch().splitlines()],
        "ignores": [(line.pattern, duration(line.saved), line.why) for line in advice.ignores],
        "mounts": [(one.line, one.commits, duration(one.seconds), f"RUN {one.flags}") for one in advice.mounts],
        "proof": _proof(proof) if proof is not None else None,
        "table": _commits(advice, days),
        "notes": [*notes, *(more if advice.better and missing > 0 else [])],
        "svg": svg,
    }
    return rendered("history.html.jinja", values)


class _Tones:
    """Colours of the steps whose change made steps run, the dearest first: a step keeps its own in both orders."""

    def __init__(self, replays: Sequence[Replay]) -> None:
        self._tones: dict[tuple[str, str], str] = {}
        for replay in replays:
            for origin in _origins(replay):
                if len(self._tones) < _COLOURS:
                    self._tones.setdefault(_name(replay, origin), f"c{len(self._tones) + 1}")

    def of(self, replay: Replay, origin: int) -> str:
        return self._tones.get(_name(replay, origin), _OTHER)

    def legend(self, replay: Replay) -> list[dict[str, Any]]:
        return [
            {
                "tone": self.of(replay, origin),
                "label": _label(replay, origin),
                "commits": len({at for track in replay.tracks for at, by in track.ran.items() if by == origin}),
                "seconds": duration(lost),
            }
            for origin, lost in _origins(replay).items()
        ]


def _origins(replay: Replay) -> dict[int, float]:
    """The steps whose change made steps run, with the seconds of these, the dearest first."""
    lost: dict[int, float] = {}
    for track in replay.tracks:
        for origin in track.ran.values():
            lost[origin] = lost.get(origin, 0.0) + track.seconds
    return dict(sorted(lost.items(), key=lambda item: (-item[1], item[0])))


def _name(replay: Replay, place: int) -> tuple[str, str]:
    track = replay.tracks[place]
    return track.stage.label, track.step.text


def _grid(order: str, advice: Advice, replay: Replay, tones: _Tones, days: Sequence[str]) -> dict[str, Any]:
    title = "Which step ran at which commit, the oldest at the left"
    # The same for both orders, so that one column stands for the same commits.
    ran = max(sum(len(track.ran) for track in each.replay.tracks) for each in (advice.before, advice.after))
    wide = _columns(len(days), _COLUMNS, ran)
    narrow = _columns(len(days), _NARROW_COLUMNS, ran)
    chart = grid(title, _cells(advice, replay, tones, days, wide), _cells(advice, replay, tones, days, narrow))
    return {
        "order": order,
        "chart": chart,
        "legend": tones.legend(replay),
        "each": wide,
        "seconds": duration(replay.seconds),
    }


def _columns(commits: int, most: int, ran: int) -> int:
    """How many commits a column stands for."""
    each = -(-commits // most)
    while ran / each > _BLOCKS:
        each += 1
    return max(1, each)


def _cells(advice: Advice, replay: Replay, tones: _Tones, days: Sequence[str], each: int) -> Grid:
    commits = advice.case.history.commits
    rows = [_label(replay, place) for place in range(len(replay.tracks))]
    cells = []
    for row, track in enumerate(replay.tracks):
        found: dict[int, list[int]] = {}
        for at in track.ran:
            found.setdefault((at - 1) // each, []).append(at)
        for column, places in found.items():
            own = any(track.ran[at] == row for at in places)
            origin = row if own else Counter(track.ran[at] for at in places).most_common(1)[0][0]
            at = next(at for at in places if track.ran[at] == origin)
            commit = commits[at - 1]
            commits_there = min(each, len(days) - column * each)
            many = f"{len(places)} of {commits_there} commits, such as " if each > 1 else ""
            subject = commit.subject if len(commit.subject) <= 50 else f"{commit.subject[:49]}…"
            tip = f"{many}{commit.id[:8]} {days[at - 1]} {visible(subject)}\n{_because(replay, row, origin, at)}"
            cells.append(Cell(column, row, f"var(--{tones.of(replay, origin)})", own, tip, len(places) / commits_there))
    return Grid(rows, days[::each], cells)


def _because(replay: Replay, row: int, origin: int, at: int) -> str:
    told = f"line {replay.tracks[row].step.span.line} ran because "
    if origin != row:
        return f"{told}line {replay.tracks[origin].step.span.line} did: {_files(replay.changed(origin, at))}"
    return f"{told}of {_files(replay.changed(origin, at))}"


def _files(paths: Sequence[str]) -> str:
    if not paths:
        return "its own inputs"
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return visible(paths[0] if len(paths[0]) <= 60 else f"…{paths[0][-59:]}") + more


def _sums(advice: Advice, days: Sequence[str]) -> Chart | None:
    """Seconds that were spent up to each commit, in both orders."""
    if advice.before.replay.seconds <= 0:
        return None
    series = [Line("as it is", "var(--before)", _summed(advice.before.replay))]
    if advice.better:
        series.append(Line("better", "var(--after)", _summed(advice.after.replay)))
    return lines("Rebuilding added up over the commits", series, days)


def _summed(replay: Replay) -> list[tuple[int, float]]:
    total, points = 0.0, [(0, 0.0)]
    step = max(1, replay.commits // _POINTS)
    for at, ran in enumerate(replay.ran(), 1):
        total += sum(replay.tracks[place].seconds for place in ran)
        if at % step == 0 or at == replay.commits:
            points.append((at, total))
    return points


def _steps(advice: Advice) -> list[dict[str, Any]]:
    """Each step of both orders once, by stage and text."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for side, each in (("before", advice.before), ("after", advice.after)):
        for track in each.replay.tracks:
            cost = each.scene.book.of(track.step)
            row = found.setdefault(
                (track.stage.label, track.step.text),
                {"text": " ".join(track.step.text.split()), "stage": track.stage.label, "before": None, "after": None},
            )
            row[side] = {
                "line": track.step.span.line,
                "rebuilt": len(track.ran),
                "lost": track.lost,
                "shown": duration(track.lost),
            }
            row["each"] = (
                duration(cost.seconds) + {"recorded": "", "given": " (given)", "guess": " (guess)"}[cost.basis]
            )
    return list(found.values())


def _costs(advice: Advice) -> Chart | None:
    rows = []
    for step in _steps(advice):
        sides = [step[side] for side in (("before", "after") if advice.better else ("before",))]
        if not any(side is not None and side["lost"] >= 0.05 for side in sides):
            continue
        parts = [(side["lost"] if side is not None else 0.0, tone) for side, tone in zip(sides, _SIDES, strict=False)]
        shown = [side["shown"] if side is not None else "not there" for side in sides]
        tip = f"{step['text']}\nas it is: {shown[0]}" + (f"\nbetter: {shown[1]}" if advice.better else "")
        rows.append(
            (max(value for value, _ in parts), Bar(visible(step["text"]), tuple(parts), tuple(shown), _tip(tip)))
        )
    dearest = sorted(rows, key=lambda one: -one[0])[:_BARS]
    if not dearest:
        return None
    title = "What each step took over all commits" + (", in both orders" if advice.better else "")
    return bars(title, [bar for _, bar in dearest], pairs=advice.better)


_SIDES = ("var(--before)", "var(--after)")


def _paths(advice: Advice) -> dict[str, Any] | None:
    replay = advice.before.replay
    if not advice.blamed or replay.seconds <= 0:
        return None
    rows, drawn = [], []
    for one in advice.blamed[:_LISTED]:
        share = f"{100 * one.seconds / replay.seconds:.0f} %"
        name = visible(one.path) + (f" ({one.files} files)" if one.files > 1 else "")
        rows.append({"name": name, "seconds": duration(one.seconds), "share": share, "commits": one.commits})
        tip = f"{name}\n{duration(one.seconds)}, {share}, at {one.commits} of {replay.commits} commits"
        shown = f"{duration(one.seconds)} ({share})"
        label = name if len(name) <= 60 else f"…{name[-59:]}"
        drawn.append(Bar(label, ((one.seconds, "var(--own)"),), (shown,), tip))
    chart = bars("What made steps run again, by the seconds that they took", drawn[:_BARS])
    return {"rows": rows, "chart": chart, "more": len(advice.blamed) - len(rows)}


def _commits(advice: Advice, days: Sequence[str]) -> list[dict[str, Any]]:
    before, after = advice.before.replay, advice.after.replay
    found: list[dict[str, Any]] = []
    for commit, day, old, new in zip(advice.case.history.commits, days, before.ran(), after.ran(), strict=True):
        at = len(found) + 1
        origins = dict.fromkeys(before.tracks[place].ran[at] for place in sorted(old))
        paths = dict.fromkeys(path for origin in origins for path in before.changed(origin, at))
        found.append(
            {
                "id": commit.id[:8],
                "day": day,
                "subject": commit.subject if len(commit.subject) <= 72 else f"{commit.subject[:71]}…",
                "why": _files(tuple(paths)) if old else "",
                "before": _ran(before, old),
                "old": _seconds(before, old),
                "after": _ran(after, new),
                "new": _seconds(after, new),
            }
        )
    return found


def _ran(replay: Replay, places: Iterable[int]) -> str:
    """`4, 7 to 9`: the lines of steps that ran, neighbours together."""
    runs: list[list[int]] = []
    for place in sorted(places):
        if runs and place == runs[-1][-1] + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    line = [track.step.span.line for track in replay.tracks]
    return ", ".join(f"{line[run[0]]} to {line[run[-1]]}" if len(run) > 1 else str(line[run[0]]) for run in runs)


def _seconds(replay: Replay, places: Iterable[int]) -> str:
    return duration(sum(replay.tracks[place].seconds for place in places))


def _guessed(replay: Replay, book: CostBook) -> str:
    """How much of a sum rests on guesses, empty if little does."""
    guessed = sum(track.lost for track in replay.tracks if book.of(track.step).basis == "guess")
    if replay.seconds <= 0 or guessed < replay.seconds * 0.01:
        return ""
    part = "All" if guessed > replay.seconds * 0.99 else duration(guessed)
    return f"{part} of the {duration(replay.seconds)} rests on guesses of what steps take: build once, or pass --cost."


def _proof(proof: Proof) -> dict[str, Any]:
    old, new = proof.seconds
    return {
        "verdict": proof.verdict,
        "why": proof.why,
        "old": duration(old),
        "new": duration(new),
        "measured": old > 0,
        "rows": [_built(commit) for commit in proof.commits],
    }


def _built(commit: BuiltCommit) -> dict[str, Any]:
    old, new = map(duration, commit.seconds) if commit.seconds is not None else ("", "")
    if commit.failed:
        found = f"not built: {commit.failed}"
    elif commit.strange:
        found = f"differs in {', '.join(one.path for one in commit.strange[:3])}; {commit.same} paths the same"
    else:
        found = f"{commit.same} paths the same"
        found += f", {len(commit.differing)} differ as they always do" if commit.differing else ""
    return {"id": commit.id[:10], "subject": commit.subject, "old": old, "new": new, "found": found}


def _label(replay: Replay, place: int) -> str:
    step = replay.tracks[place].step
    return visible(f"{step.span.line} {' '.join(step.text.split())}")


def _sort(line: str) -> str:
    """What a line of a diff is, for its colour."""
    kinds: Mapping[str, str] = {"+": "add", "-": "del", "@": "hunk"}
    return "head" if line.startswith(("+++", "---")) else kinds.get(line[:1], "")


def _once(words: Sequence[str]) -> list[str]:
    return [visible(word) for word in dict.fromkeys(words)]


def _day(seconds: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def _tip(text: str) -> str:
    return "\n".join(visible(line) for line in text.split("\n"))
