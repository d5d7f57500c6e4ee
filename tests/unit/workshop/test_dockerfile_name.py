"""Which file is the Dockerfile when nobody says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.workshop.dockerfile_name import dockerfile_in


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ((), "Dockerfile"),
        (("Dockerfile", "dockerfile", "Containerfile"), "Dockerfile"),
        (("dockerfile", "Containerfile"), "dockerfile"),
        (("Containerfile", "containerfile"), "Containerfile"),
        (("containerfile", "DOCKERFILE"), "Dockerfile"),
    ],
)
def test_the_first_that_is_there(tmp_path: Path, there: tuple[str, ...], expected: str) -> None:
    for name in there:
        (tmp_path / name).touch()
    assert dockerfile_in(tmp_path) == tmp_path / expected


def test_a_link_counts_wherever_it_leads(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").symlink_to("nowhere")
    (tmp_path / "Containerfile").touch()
    assert dockerfile_in(tmp_path).name == "Dockerfile"
