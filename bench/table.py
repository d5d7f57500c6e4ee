"""Medians, ratios and goals from the samples, as text."""

from __future__ import annotations

from statistics import median

from bench.measure import Sample

#: measure → tool → the rounds' samples
Results = dict[str, dict[str, list[Sample]]]

STEP = "RUN step, overhead"
#: measure, peer (or the fastest of all: None), lamina's share of the peer's time that is wanted at most
GOALS = (("noop-10000", "buildkit", 1 / 2), (STEP, "buildkit", 1 / 3), ("change-10000", None, 1 / 4))
PEAK_MIB = 150


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
            got = f"{ours:.3f} s, {ours / theirs:.2f} of {peer or 'the fastest peer'}"
            lines.append(f"{_verdict(ours <= theirs * share)}  {measure}: {got} (at most {share:.2f})")
    peaks = [sample.peak_mib for tools in results.values() for sample in tools.get("lamina", ())]
    if peaks:
        lines.append(f"{_verdict(max(peaks) < PEAK_MIB)}  peak memory: {max(peaks):.0f} MiB (below {PEAK_MIB})")
    return lines


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
