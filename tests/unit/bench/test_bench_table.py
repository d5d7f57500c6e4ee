"""The benchmark's arithmetic: medians, a step's overhead, multiples of lamina's time, goals."""

from __future__ import annotations

from bench.measure import Sample
from bench.table import STEP, Results, goals, medians, memory_table, seconds_table


def results(**tools: tuple[float, float]) -> Results:
    """One and twenty-one steps: the seconds of each tool, with a slow outlier that a median passes over."""
    return {
        "steps-1": {
            tool: [Sample(one, 20.0), Sample(one, 30.0), Sample(99.0, 10.0)] for tool, (one, _) in tools.items()
        },
        "steps-21": {tool: [Sample(many, 40.0)] for tool, (_, many) in tools.items()},
    }


def test_a_steps_overhead_is_a_twentieth_of_the_difference() -> None:
    assert medians(results(lamina=(0.2, 0.6)))[STEP]["lamina"] == (0.6 - 0.2) / 20


def test_the_table_has_multiples_of_laminas_time() -> None:
    text = seconds_table(medians(results(lamina=(0.5, 1.0), buildkit=(0.25, 2.0))), ["lamina", "buildkit"])
    assert "| steps-1            |  0.500 | 0.250 (0.5x) |" in text
    assert "| steps-21           |  1.000 | 2.000 (2.0x) |" in text


def test_a_tool_without_samples_has_a_dash() -> None:
    samples = results(buildah=(1.0, 2.0))
    row = seconds_table(medians(samples), ["lamina", "buildah"]).splitlines()[2]
    assert row.split() == ["|", "steps-1", "|", "-", "|", "1.000", "|"]
    assert "-" in memory_table(samples, ["lamina", "buildah"]).splitlines()[2]


def test_the_memory_table_has_the_highest_peak() -> None:
    assert memory_table(results(lamina=(0.1, 0.2)), ["lamina"]).splitlines()[2].split()[3] == "30"


def test_goals_are_reached_or_missed() -> None:
    fast, slow = results(lamina=(0.1, 0.3), buildkit=(0.1, 1.3)), results(lamina=(0.1, 0.9), buildkit=(0.1, 1.3))
    assert goals(medians(fast), fast)[0].startswith("reached")
    assert goals(medians(slow), slow)[0].startswith("MISSED")
    assert goals(medians(fast), fast)[-1] == "reached  peak memory: 40 MiB (below 150)"


def test_a_goal_needs_both_sides() -> None:
    alone = results(lamina=(0.1, 0.3))
    assert len(goals(medians(alone), alone)) == 1
