"""Medians, ratios and goals from the samples, as text."""

from __future__ import annotations

from statistics import median

from bench.explained import BYTES_GOAL, SECONDS_GOAL, Explained
from bench.measure import Sample
from bench.peers import BARE, NOOP, ORDINARY, PLAN

#: measure → tool → the rounds' samples
Results = dict[str, dict[str, list[Sample]]]

STEP = "RUN step, overhead"
#: What stands before a workload's name in the measure of its first build.
FIRST = "first "
SIZES = (100, 10_000, 100_000)
#: The shared caches of others, and what is done with the image that came out of one.
CACHES, HITS = ("buildkit", "buildah"), ("build", "push", "run")
#: measure, peer (or the fastest of all: None), lamina's share of the peer's time that is wanted at most
GOALS = (
    ("noop-100", "buildkit", 1 / 4),
    ("noop-10000", "buildkit", 1 / 4),
    ("noop-100000", "buildkit", 1 / 5),
    (STEP, "buildkit", 1 / 3),
    ("change-10000", None, 1 / 4),
    *((f"shared-{name} {kind}", peer, 1 / 3) for name in ("lesson", "15") for kind in HITS for peer in CACHES),
    *((measure, "skopeo", 1.0) for measure in ("first push-1GiB", "push-1GiB", "pull-1GiB")),
    *(("pull-1GiB run", peer, 1.0) for peer in ("docker", "skopeo")),
    ("push-1GiB", "skopeo oci", 1.0),
    *((measure, "docker", 1 / 2) for measure in ("first push-1GiB", "push-1GiB", "pull-1GiB")),
    *(("first archive-1GiB", peer, 1 / 3) for peer in ("docker", "docker save|gzip", "skopeo")),
)
#: measure, another of lamina's own, share of that one's time that is wanted at most
OWN_GOALS = (
    *((f"{PLAN}{size}", f"{NOOP}{size}{ORDINARY}", 1.0) for size in SIZES),
    *((f"{PLAN}{size}", f"{NOOP}{size}", 1.0) for size in SIZES),
    ("noop-100", BARE, 4.0),
)
PEAK_MIB = 200


def medians(results: Results) -> dict[str, dict[str, float]]:
    """measure → tool → median seconds. The two measures of the step workload give a third, seconds for one step."""
    table = {
        measure: {tool: median(sample.seconds for sample in samples) for tool, samples in tools.items() if samples}
        for measure, tools in results.items()
    }
    one, many = table.get("steps-1", {}), table.get("steps-21", {})
    if many:
        table[STEP] = {tool: (many[tool] - one[tool]) / 20 for tool in many if tool in one}
    return table


def seconds_table(table: dict[str, dict[str, float]], tools: list[str]) -> str:
    """Markdown: one row a measure, median seconds a tool, and each peer's multiple of lamina's time."""
    rows = [["median seconds", *tools], ["---"] + ["---:"] * len(tools)]
    for measure, values in table.items():
        ours = values.get("lamina")
        rows.append([measure, *(_cell(values.get(tool), None if tool == "lamina" else ours) for tool in tools)])
    return _aligned(rows)


def memory_table(results: Results, tools: list[str]) -> str:
    """Markdown: the highest peak of all rounds in MiB."""
    rows = [["peak memory, MiB", *tools], ["---"] + ["---:"] * len(tools)]
    for measure, samples in results.items():
        peaks = [max((sample.peak_mib for sample in samples.get(tool, ())), default=None) for tool in tools]
        rows.append([measure, *("-" if peak is None else f"{peak:.0f}" for peak in peaks)])
    return _aligned(rows)


def goals(table: dict[str, dict[str, float]], results: Results) -> list[str]:
    """One line a goal of which both sides were measured."""
    lines = []
    for measure, peer, share in GOALS:
        values = dict(table.get(measure, {}))
        ours = values.pop("lamina", None)
        theirs = values.get(peer) if peer else min(values.values(), default=None)
        if ours is not None and theirs is not None:
            lines.append(_ratio(measure, ours, peer or "the fastest peer", theirs, share) + _memos(results, measure))
    for measure, other, share in OWN_GOALS:
        mine, bound = (table.get(name, {}).get("lamina") for name in (measure, other))
        if mine is not None and bound is not None:
            lines.append(_ratio(measure, mine, other, bound, share))
    peaks = {
        measure: max(sample.peak_mib for sample in tools["lamina"])
        for measure, tools in results.items()
        if tools.get("lamina")
    }
    if peaks:
        most = max(peaks, key=peaks.__getitem__)
        got = f"{peaks[most]:.0f} MiB in {most}"
        lines.append(f"{_verdict(peaks[most] < PEAK_MIB)}  peak memory: {got} (below {PEAK_MIB})")
    return lines


def explained_lines(told: Explained) -> list[str]:
    """What explanation data costs, beside its goals."""
    store = told.store
    kinds = f"{store.facts:,} of file lists, {store.rows:,} of rows, of {store.total:,} bytes"
    lines = [_share("explanation data in the store", store.share, BYTES_GOAL, kinds)]
    for name, costs in (("first build", told.costs[:1]), (f"{len(told.costs) - 1} changes", told.costs[1:])):
        total = sum(cost.seconds for cost in costs)
        keeping, finding = sum(cost.keeping for cost in costs), sum(cost.finding for cost in costs)
        if total:
            parts = f"keeping {keeping:.3f} s, finding causes {finding:.3f} s, of {total:.3f} s"
            share = (keeping + finding) / total
            lines.append(_share(f"explanation data in a build's time, {name}", share, SECONDS_GOAL, parts))
    return lines


def _share(what: str, got: float, goal: float, parts: str) -> str:
    return f"{_verdict(got < goal)}  {what}: {got:.2%} (below {goal:.0%}; {parts})"


def _ratio(measure: str, ours: float, other: str, theirs: float, share: float) -> str:
    got = f"{ours:.3f} s, {ours / theirs:.2f} of {other}"
    return f"{_verdict(ours <= theirs * share)}  {measure}: {got} (at most {share:.2f})"


def _memos(results: Results, measure: str) -> str:
    """How many rounds lamina answered from the memo, where any could be."""
    samples = results.get(measure, {}).get("lamina", [])
    return f", {sum(sample.memo for sample in samples)} of {len(samples)} from the memo" if NOOP in measure else ""


def _verdict(reached: bool) -> str:
    return "reached" if reached else "MISSED "


def _cell(seconds: float | None, ours: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.3f}" if ours is None else f"{seconds:.3f} ({seconds / ours:.1f}x)"


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "| "
        + " | ".join(
            cell.ljust(width) if not index else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        + " |"
        for row in rows
    )
