"""What `--reproducible` settles, with and without the options and keys beside it."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from lamina.context.modes import Modes
from lamina.diagnostics import BuildFailure
from lamina.workshop.config import Configuration
from lamina.workshop.sameness import FIXED, Epoch, Sameness, settle

PLAIN = Configuration()
REPRODUCIBLE = Configuration(reproducible=True)


@pytest.mark.parametrize(
    ("configuration", "given", "expected"),
    [
        (PLAIN, (None, None, None), Sameness("keep", None, None, False)),
        (PLAIN, ("git", 5, False), Sameness("git", 5, None, False)),
        (PLAIN, (None, None, True), Sameness("git", "auto", FIXED, True)),
        (REPRODUCIBLE, (None, None, None), Sameness("git", "auto", FIXED, True)),
        (REPRODUCIBLE, (None, None, False), Sameness("keep", None, None, False)),
        (REPRODUCIBLE, ("keep", "auto", None), Sameness("keep", "auto", FIXED, False)),
        (REPRODUCIBLE, (None, 7, None), Sameness("git", 7, 7, False)),
        (Configuration("keep", 9, reproducible=True), (None, None, None), Sameness("keep", 9, 9, False)),
        (Configuration("keep", 9), ("git", "auto", True), Sameness("git", "auto", FIXED, False)),
    ],
)
def test_what_is_given_wins_over_the_file(
    configuration: Configuration, given: tuple[Modes | None, Epoch | None, bool | None], expected: Sameness
) -> None:
    assert settle(configuration, *given) == expected


def test_the_fixed_time_is_of_1980_in_every_time_zone() -> None:
    assert {time.gmtime(FIXED + hours * 3600).tm_year for hours in range(-14, 15)} == {1980}


def test_a_time_to_come_is_refused() -> None:
    later = int(time.time()) + 1_000_000
    assert settle(PLAIN, None, later, None).epoch == later
    with pytest.raises(BuildFailure, match="yet to come"):
        settle(PLAIN, None, later, True)


def test_the_images_time(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    implied, asked = settle(PLAIN, None, None, True), settle(PLAIN, None, "auto", True)
    assert implied.image_time(inner) == FIXED
    assert settle(PLAIN, None, 3, True).image_time(inner) == 3
    assert settle(PLAIN, None, None, None).image_time(inner) is None
    with pytest.raises(BuildFailure, match="no commit"):
        asked.image_time(inner)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    with pytest.raises(BuildFailure, match="no commit"):  # another machine may know the commit
        implied.image_time(inner)
