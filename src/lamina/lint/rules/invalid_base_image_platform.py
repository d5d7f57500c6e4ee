"""InvalidBaseImagePlatform: a base image is of another platform than the one that is built for.

Rule: BuildKit's build checks. It needs the image, so it speaks of those that are in the store.
"""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject
from lamina.lint.variables import Variables
from lamina.oci.platform import Platform, parse_platform


def _check(subject: Subject) -> Iterator[Found]:
    for stage in subject.stages:
        image = subject.images.get(stage.base)
        if image is None or stage.parent is not None:
            continue
        wanted = subject.platform
        flag = stage.origin.flag("platform")
        if flag is not None:
            variables = Variables(subject.outer, subject.dockerfile.escape, complete=True)
            try:
                wanted = parse_platform(variables.expand(flag.value or "", flag.span, set()), default=subject.platform)
            except ValueError:
                continue
        if (image.os, image.architecture) != (wanted.os, wanted.architecture):
            actual = Platform(image.os, image.architecture)
            yield Found(
                stage.origin,
                f'Base image {stage.base} was pulled with platform "{actual}", expected "{wanted}" for current build',
            )


RULE = Rule(
    "InvalidBaseImagePlatform",
    "warning",
    "base images are of the platform that is built for",
    _check,
    needs="images",
    buildkit=True,
)
