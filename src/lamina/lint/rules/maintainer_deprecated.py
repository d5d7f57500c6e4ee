"""MaintainerDeprecated: a label in place of MAINTAINER. Rule: BuildKit's build checks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lamina.dockerfile.syntax import Maintainer
from lamina.lint.rule import Edit, Found, Rule
from lamina.lint.subject import Subject


def _check(subject: Subject) -> Iterator[Found]:
    escape = subject.dockerfile.escape
    for step in subject.steps():
        one = step.instruction
        if isinstance(one, Maintainer):
            value = re.sub(rf'(["$]|{re.escape(escape)})', lambda match: escape + match[1], one.name)
            edit = Edit(one.span, f'LABEL org.opencontainers.image.authors="{value}"')
            yield Found(one, "Maintainer instruction is deprecated in favor of using label", edits=(edit,))


RULE = Rule(
    "MaintainerDeprecated",
    "warning",
    "MAINTAINER is deprecated: a label names the authors",
    _check,
    hadolint=("DL4000",),
    buildkit=True,
)
