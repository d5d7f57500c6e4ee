"""UntaggedBase: a base image without a tag is whatever `latest` was when it was pulled."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject


def _check(subject: Subject) -> Iterator[Found]:
    for stage in subject.stages:
        base = stage.base
        if stage.parent is not None or base in ("scratch", "") or "$" in base or "@" in base:
            continue
        # There are no tags of versions to choose from.
        if base.startswith("gcr.io/distroless/"):
            continue
        if ":" not in base.rpartition("/")[2]:
            yield Found(
                stage.origin,
                f"{base} has no tag: it is what `latest` was when it was pulled, on each machine something else",
                f"write the version that you mean: {base}:…",
            )


RULE = Rule("UntaggedBase", "warning", "base images have a tag", _check, hadolint=("DL3006",))
