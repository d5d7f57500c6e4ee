"""Dockerfiles of the shapes that projects have: each is parsed, printed, parsed again and planned."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lamina.dockerfile import parse, to_text
from lamina.oci.config import ImageConfig, RootFS, RuntimeConfig
from lamina.oci.platform import Platform
from lamina.plan.planner import make_plan
from lamina.plan.steps import ImageRef, Missing, Plan, PlanOptions

FILES = sorted(Path(__file__).parent.glob("*.Dockerfile"))
HERE = Platform("linux", "amd64")
IMAGE = ImageConfig(
    architecture="amd64",
    os="linux",
    rootfs=RootFS("layers", ()),
    config=RuntimeConfig(env=("PATH=/usr/bin:/bin",), cmd=("sh",)),
)


def planned(text: bytes, options: PlanOptions) -> Plan:
    """The plan of a file whose images all are the same small one; it asks for them in a few rounds."""
    dockerfile = parse(text, "Dockerfile")
    images: dict[ImageRef, ImageConfig] = {}
    for _ in range(10):
        plan = make_plan(dockerfile, options, images)
        if not isinstance(plan, Missing):
            return plan
        images |= {image: IMAGE for image, _ in plan.images}
    raise AssertionError("the planner asks and asks")


def test_there_are_enough_files() -> None:
    assert len(FILES) >= 40


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_plans(path: Path) -> None:
    plan = planned(path.read_bytes(), PlanOptions(platform=HERE, build_platform=HERE))
    assert plan.stages[-1].index == plan.target
    assert any(stage.steps for stage in plan.stages)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_stage_is_a_target(path: Path) -> None:
    dockerfile = parse(path.read_bytes(), "Dockerfile")
    for stage in dockerfile.instructions:
        if stage.keyword == "FROM" and (name := getattr(stage, "name", None)):
            plan = planned(path.read_bytes(), PlanOptions(platform=HERE, build_platform=HERE, target=name))
            assert plan.stages[-1].label == name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_survives_printing(path: Path) -> None:
    once = parse(path.read_bytes(), "Dockerfile")
    again = parse(to_text(once).encode(), "Dockerfile")
    assert placeless(again.instructions) == placeless(once.instructions)


def placeless(value: object) -> str:
    return re.sub(r"span=Span\(.*?\)", "", repr(value))
