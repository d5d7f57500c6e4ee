"""InvalidDefaultArgInFrom: without build arguments FROM names no image. Rule: BuildKit's build checks."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject
from lamina.lint.variables import Variables
from lamina.oci.reference import parse_reference


def _check(subject: Subject) -> Iterator[Found]:
    variables = Variables(subject.defaults, subject.dockerfile.escape, complete=True)
    for stage in subject.stages:
        if "$" not in stage.origin.image:
            continue
        try:
            parse_reference(variables.expand(stage.origin.image, stage.origin.span, set()))
        except ValueError:
            message = f"Default value for ARG {stage.origin.image} results in empty or invalid base image name"
            yield Found(stage.origin, message, "give the ARG above FROM a default")


RULE = Rule(
    "InvalidDefaultArgInFrom",
    "warning",
    "FROM names an image when no build argument is given",
    _check,
    buildkit=True,
)
