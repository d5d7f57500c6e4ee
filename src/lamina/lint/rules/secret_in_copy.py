"""SecretInCopy: a COPY takes a file along that often holds secrets; then everybody who has the image has them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Context, Junk, Subject

_SECRETS = frozenset({".env", ".env.*", ".npmrc", ".netrc", "id_rsa", "id_ed25519"})


#: What a secret in settings of npm looks like, which else are harmless.
_NPM_SECRET = r"(?i)_auth|password|cert|key"


def is_secret(junk: Junk) -> bool:
    """Whether the files that a pattern keeps out often hold secrets."""
    return junk.pattern.rpartition("/")[2] in _SECRETS


def _is_harmless(junk: Junk, context: Context) -> bool:
    """Whether it is a single file with settings of npm that can be read, and has no secret in it."""
    text = context.read(junk.example) if junk.pattern.endswith(".npmrc") and junk.files == 1 else None
    return text is not None and re.search(_NPM_SECRET, text) is None


def _check(subject: Subject) -> Iterator[Found]:
    for step in subject.steps():
        taken = subject.context.on_line(step.line) if subject.context is not None else None
        for junk in filter(is_secret, taken.junk if taken is not None else ()):
            if subject.context is not None and _is_harmless(junk, subject.context):
                continue
            yield Found(
                step.instruction,
                f"this copies {junk.example}, which often holds secrets: all who have the image have them too",
                f"add {junk.pattern} to .dockerignore; a RUN that needs it takes it by --mount=type=secret",
            )


RULE = Rule("SecretInCopy", "warning", "a COPY takes no files with secrets along", _check, needs="context")
