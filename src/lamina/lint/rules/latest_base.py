"""LatestBase: `latest` names another image from time to time, and a machine that has one does not ask again."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject


def _check(subject: Subject) -> Iterator[Found]:
    for stage in subject.stages:
        if stage.parent is None and "@" not in stage.base and stage.base.endswith(":latest"):
            yield Found(
                stage.origin,
                f"{stage.base} is another image on each machine, and here the one that was pulled first",
                "write the version that you mean",
            )


RULE = Rule("LatestBase", "warning", "base images are not `latest`", _check, hadolint=("DL3007",))
