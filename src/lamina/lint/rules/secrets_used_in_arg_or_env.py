"""SecretsUsedInArgOrEnv: an ARG or ENV whose name says that it is a secret. Rule: BuildKit's build checks."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.dockerfile.syntax import Arg, Env
from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject

#: Words of a name, between underscores, that say what it holds.
_SECRET = frozenset(
    {"apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"}
)
_NO_SECRET = frozenset({"public", "file", "version"})


def _check(subject: Subject) -> Iterator[Found]:
    for step in subject.steps():
        one = step.instruction
        if not isinstance(one, Arg | Env):
            continue
        for pair in one.pairs:
            words = frozenset(pair.name.lower().split("_"))
            if words & _SECRET and not words & _NO_SECRET:
                yield Found(
                    one,
                    f'Do not use ARG or ENV instructions for sensitive data ({one.keyword} "{pair.name}")',
                    f"pass it to the RUN that needs it: --mount=type=secret,id=…,env={pair.name}",
                )


RULE = Rule(
    "SecretsUsedInArgOrEnv",
    "warning",
    "no secret is passed through ARG or ENV, where the image shows it",
    _check,
    hadolint=("DL3064",),
    buildkit=True,
)
