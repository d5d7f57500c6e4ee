"""Numbers for people."""

from __future__ import annotations

import pytest

from lamina.report.words import age, columns, duration, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"),
        (0.06, "0.1s"),
        (12.34, "12.3s"),
        (59.94, "59.9s"),
        (59.96, "1m 00s"),
        (60, "1m 00s"),
        (245, "4m 05s"),
        (3599.6, "1h 00m"),
        (3725, "1h 02m"),
        (90_000, "25h 00m"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1kB"),
        (1234, "1.23kB"),
        (12_345, "12.3kB"),
        (999_499, "999kB"),
        (999_600, "1MB"),
        (34_500_000, "34.5MB"),
        (7_800_000_000, "7.8GB"),
        (1_500_000_000_000, "1.5TB"),
        (2_345_000_000_000_000, "2345TB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 seconds ago"),
        (1, "1 second ago"),
        (59, "59 seconds ago"),
        (60, "1 minute ago"),
        (7199, "1 hour ago"),
        (3 * 3600, "3 hours ago"),
        (86_400, "1 day ago"),
        (13 * 86_400, "13 days ago"),
        (14 * 86_400, "2 weeks ago"),
    ],
)
def test_ages(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_columns() -> None:
    assert columns([("NAME", "SIZE"), ("a-long-name", "1B"), ("b", "")]) == [
        "NAME          SIZE",
        "a-long-name   1B",
        "b",
    ]
    assert columns([]) == []
