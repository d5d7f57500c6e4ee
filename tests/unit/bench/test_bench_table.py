"""The benchmark's arithmetic: medians, a step's overhead, multiples of lamina's time, goals."""

from __future__ import annotations

from bench.explained import Cost, Explained, Stored
from bench.measure import Sample
from bench.peers import BARE
from bench.table import STEP, Results, explained_lines, goals, medians, memory_table, seconds_table


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
    assert goals(medians(fast), fast)[-1] == "reached  peak memory: 40 MiB in steps-21 (below 200)"


def test_a_goal_needs_both_sides() -> None:
    alone = results(lamina=(0.1, 0.3))
    assert len(goals(medians(alone), alone)) == 1


def test_laminas_own_goals() -> None:
    """A plan beside both ways of a no-op, and a no-op beside the bare start of the interpreter."""
    samples: Results = {
        "noop-100": {"lamina": [Sample(0.03, 20.0, memo=True), Sample(0.03, 20.0)], "buildkit": [Sample(0.2, 100.0)]},
        "noop-100 ordinary": {"lamina": [Sample(0.2, 20.0)]},
        "plan-100": {"lamina": [Sample(0.18, 20.0)]},
        BARE: {"lamina": [Sample(0.01, 20.0)]},
    }
    assert goals(medians(samples), samples)[:-1] == [
        "reached  noop-100: 0.030 s, 0.15 of buildkit (at most 0.25), 1 of 2 from the memo",
        "reached  plan-100: 0.180 s, 0.90 of noop-100 ordinary (at most 1.00)",
        "MISSED   plan-100: 0.180 s, 6.00 of noop-100 (at most 1.00)",
        "reached  noop-100: 0.030 s, 3.00 of python -c pass (at most 4.00)",
    ]


def test_the_peak_is_told_with_its_measure() -> None:
    samples: Results = {
        "first noop-100000": {"lamina": [Sample(1.0, 300.0)]},
        "plan-100000": {"lamina": [Sample(1.0, 90.0)]},
    }
    assert goals({}, samples) == ["MISSED   peak memory: 300 MiB in first noop-100000 (below 200)"]


def test_explanation_data_has_three_shares() -> None:
    told = Explained(Stored(90, 10, 10_000), (Cost(2.0, 0.25, 0.0), Cost(1.0, 0.01, 0.01), Cost(1.0, 0.02, 0.02)))
    stored, first, changes = explained_lines(told)
    assert stored.startswith("reached  explanation data in the store: 1.00% (below 2%; 90 of file lists, 10 of rows")
    assert first.startswith("MISSED   explanation data in a build's time, first build: 12.50% (below 5%")
    assert changes.startswith("reached  explanation data in a build's time, 2 changes: 3.00% (below 5%; keeping 0.030")
