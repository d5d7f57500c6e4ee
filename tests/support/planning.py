"""Planning a Dockerfile's text, with an image behind every name."""

from __future__ import annotations

from typing import Any

import pytest

from lamina.diagnostics import BuildFailure
from lamina.dockerfile import parse
from lamina.oci.config import History, ImageConfig, RootFS, RuntimeConfig
from lamina.oci.platform import Platform
from lamina.plan.planner import make_plan
from lamina.plan.steps import CopyOp, ImageRef, Missing, Plan, PlanOptions, RunOp

LINUX = Platform("linux", "amd64")


def options(**changes: Any) -> PlanOptions:
    return PlanOptions(platform=LINUX, build_platform=LINUX, **changes)


def image(**config: Any) -> ImageConfig:
    runtime = RuntimeConfig(env=("PATH=/usr/bin",), **config)
    return ImageConfig("amd64", "linux", RootFS("layers", ()), config=runtime, history=(History(created_by="base"),))


def plan(text: str, *, base: ImageConfig | None = None, **changes: Any) -> Plan:
    dockerfile = parse(text.encode(), "Dockerfile")
    images: dict[ImageRef, ImageConfig] = {}
    while isinstance(made := make_plan(dockerfile, options(**changes), images), Missing):
        images.update({ref: base or image() for ref, _ in made.images})
    return made


def only_run(text: str, **changes: Any) -> RunOp:
    steps = [step.op for stage in plan(text, **changes).stages for step in stage.steps]
    (run,) = [op for op in steps if isinstance(op, RunOp)]
    return run


def failure(text: str, **changes: Any) -> BuildFailure:
    with pytest.raises(BuildFailure) as caught:
        plan(text, **changes)
    return caught.value


def only_copy(text: str, **changes: Any) -> CopyOp:
    steps = [step.op for stage in plan(text, **changes).stages for step in stage.steps]
    (copy,) = [op for op in steps if isinstance(op, CopyOp)]
    return copy
