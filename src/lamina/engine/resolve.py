"""Planning with facts: asks for the images that a plan needs until the plan is complete."""

from __future__ import annotations

from lamina.diagnostics import BuildFailure
from lamina.dockerfile import parse
from lamina.engine.job import Job
from lamina.engine.narrator import Narrator
from lamina.engine.request import BuildRequest
from lamina.engine.world import World
from lamina.events import Reporter
from lamina.oci.config import ImageConfig, decode_config
from lamina.oci.reference import parse_reference
from lamina.plan.planner import make_plan
from lamina.plan.steps import ImageRef, Missing, Plan
from lamina.ports.images import BaseImage, ImageSource


def job_of(request: BuildRequest, world: World, reporter: Reporter) -> Job:
    """A request planned and resolved, with nothing done yet. Raises as `resolve_plan`."""
    narrator = Narrator(reporter)
    plan, images = resolve_plan(request, world.images, narrator)
    return Job(request, world, narrator, plan, images)


def resolve_plan(
    request: BuildRequest, images: ImageSource, narrator: Narrator
) -> tuple[Plan, dict[ImageRef, BaseImage]]:
    """The plan of a request, with every image that it reads resolved to a digest.

    Raises BuildFailure `dockerfile-…`, or the image source's with the place of the FROM.
    """
    with narrator.job(f"[internal] load build definition from {request.file}"):
        dockerfile = parse(request.dockerfile, request.file)
    found: dict[ImageRef, BaseImage] = {}
    configs: dict[ImageRef, ImageConfig] = {}
    while isinstance(plan := make_plan(dockerfile, request.options, configs), Missing):
        for wanted, span in plan.images:
            try:
                with narrator.job(f"[internal] load metadata for {parse_reference(wanted.name)}", span):
                    found[wanted] = images.resolve(parse_reference(wanted.name), wanted.platform, fresh=request.pull)
                    configs[wanted] = decode_config(found[wanted].config_raw)
            except BuildFailure as failure:
                raise failure.at(span) from None
            except ValueError as error:
                raise BuildFailure(
                    "image-bad-config", f"the configuration of {wanted.name} is damaged", span=span, cause=str(error)
                ) from None
    return plan, found
