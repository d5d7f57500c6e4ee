"""What a rule is, and what it finds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal

from msgspec import Struct

from lamina.diagnostics import Severity, Span
from lamina.dockerfile.syntax import Instruction
from lamina.lint.subject import Subject

#: What a rule must be given beside the Dockerfile; without it the rule finds nothing.
Need = Literal["", "context", "images"]


class Edit(Struct, frozen=True):
    """Put `text` in place of what stands at `span`; the span is empty for an insertion. A span that ends in column 1 of
    the next line takes the line's end with it."""

    span: Span
    text: str


class Found(Struct, frozen=True):
    """What a rule's function yields: the instruction that it is about, and a message without a full stop.

    `span` is the place if it is not the whole instruction. `severity` departs from the rule's. `edits` mend it: all or
    none of them are made.
    """

    instruction: Instruction
    message: str
    hint: str | None = None
    span: Span | None = None
    edits: tuple[Edit, ...] = ()
    severity: Severity | None = None


class Rule(Struct, frozen=True):
    """`name` in BuildKit's style. `on` is False for a rule that only runs when it is asked for. `hadolint` are the
    codes of the rules of hadolint that it does the work of; `buildkit` says that it is one of BuildKit's."""

    name: str
    severity: Severity
    summary: str
    check: Callable[[Subject], Iterator[Found]]
    on: bool = True
    needs: Need = ""
    hadolint: tuple[str, ...] = ()
    buildkit: bool = False

    @property
    def page(self) -> str:
        """The name of its page in `docs/rules`: `DuplicateStageName` is `duplicate-stage-name`."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", self.name).lower()


class Finding(Struct, frozen=True):
    """What was found, ready to be shown: the rule's name, its severity for this file, and the place."""

    rule: str
    severity: Severity
    message: str
    span: Span
    hint: str | None = None
    edits: tuple[Edit, ...] = ()
