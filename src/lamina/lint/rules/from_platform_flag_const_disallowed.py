"""FromPlatformFlagConstDisallowed: `FROM --platform` with a constant, unless the stage's name tells it.

Rule: BuildKit's build checks.
"""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject
from lamina.oci.platform import parse_platform


def _check(subject: Subject) -> Iterator[Found]:
    for stage in subject.stages:
        flag = stage.origin.flag("platform")
        if flag is None or "$" in (flag.value or ""):
            continue
        try:
            platform = parse_platform(flag.value or "", default=subject.platform)
        except ValueError:
            continue
        name = stage.origin.name or ""
        if platform.os not in name and platform.architecture not in name:
            yield Found(stage.origin, f'FROM --platform flag should not use constant value "{flag.value}"')


RULE = Rule(
    "FromPlatformFlagConstDisallowed",
    "warning",
    "FROM --platform is not a constant",
    _check,
    hadolint=("DL3029",),
    buildkit=True,
)
