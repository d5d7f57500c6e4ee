"""A plan without its base images, for commands that look at a Dockerfile and fetch nothing. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec.structs import replace

from lamina.dockerfile import syntax
from lamina.oci.config import ImageConfig, RootFS, RuntimeConfig
from lamina.plan.planner import make_plan
from lamina.plan.steps import ImageRef, Missing, Plan, PlanOptions

#: What decides about variables, files and mounts; all else could only fail for want of the base image.
_NEEDED = (syntax.From, syntax.Arg, syntax.Env, syntax.Workdir, syntax.Copy, syntax.Add, syntax.Run, syntax.Onbuild)
_VARIABLE = re.compile(r"(?<!\\)\$(?:\{(\w+)(\}|.)|(\w+))")


def plan_offline(
    dockerfile: syntax.Dockerfile,
    options: PlanOptions,
    known: Callable[[ImageRef], ImageConfig | None] = lambda _: None,
) -> Plan:
    """Plan the target. `known` gives the configuration of a base image, or None: then it counts as empty, and a
    variable that only it can set stays as it was written.

    Raises BuildFailure `dockerfile-…` for a file that cannot be planned.
    """
    lean = replace(dockerfile, instructions=tuple(one for one in dockerfile.instructions if isinstance(one, _NEEDED)))
    unknown = RuntimeConfig(env=tuple(f"{name}=${name}" for name in plain_variables(lean)))
    images: dict[ImageRef, ImageConfig] = {}
    while isinstance(plan := make_plan(lean, options, images), Missing):
        for image, _ in plan.images:
            platform = image.platform
            empty = ImageConfig(platform.architecture, platform.os, RootFS("layers", ()), config=unknown)
            images[image] = known(image) or empty
    return plan


def plain_variables(dockerfile: syntax.Dockerfile) -> tuple[str, ...]:
    """The variables that are used without a modifier such as `:-`, which would have to know whether there is a value,
    and that nothing but a base image may have set."""
    plain, modified = dict[str, None](), set[str]()
    for instruction in dockerfile.instructions:
        for braced, behind, bare in _VARIABLE.findall(instruction.original):
            if behind not in ("", "}"):
                modified.add(braced)
            else:
                plain[braced or bare] = None
    return tuple(name for name in plain if name not in modified)
