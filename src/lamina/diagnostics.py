"""Errors and warnings as data: a stable reference, a place in a file, a cause, a hint, an exit code.

Every failure that a user can cause is raised as `BuildFailure` with a `Diagnostic`; only `report` turns it into prose
and only `cli` turns its reference into an exit status. The table `FAMILIES` is the one list of reference families.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

Severity = Literal["error", "warning", "info"]

#: The part of a reference before its first dash → (exit status, what the family is about).
FAMILIES: dict[str, tuple[int, str]] = {
    "usage": (2, "the command line"),
    "dockerfile": (3, "the text of a Dockerfile"),
    "context": (4, "the build context or an ignore file"),
    "step": (5, "a step that ran and failed"),
    "registry": (6, "a registry or the network"),
    "fetch": (12, "a file or repository that is fetched by its address"),
    "cache": (10, "a step that is not cached, where none may run"),
    "store": (7, "lamina's own store"),
    "runtime": (8, "running isolated processes on this machine"),
    "image": (9, "an image, an archive or a layer"),
    "internal": (70, "a bug in lamina"),
    "interrupted": (130, "the user's interrupt"),
}


class Span(Struct, frozen=True, gc=False):
    """A region of a text file: lines and columns count from 1, columns in characters, the end is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int


class Diagnostic(Struct, frozen=True):
    """One thing that went wrong or deserves attention.

    `reference` is stable kebab-case (`dockerfile-unknown-flag`), `message` one sentence without a full stop,
    `cause` the lower-level reason (an OS error, a registry's words), `hint` what to do next.
    `excerpt` holds lines to show below (the marked source, or a step's last output).
    """

    reference: str
    message: str
    span: Span | None = None
    cause: str | None = None
    hint: str | None = None
    severity: Severity = "error"
    excerpt: tuple[str, ...] = ()


def exit_code(reference: str) -> int:
    """The exit status that belongs to a reference. Raises KeyError for a family that the table lacks."""
    return FAMILIES[reference.partition("-")[0]][0]


class BuildFailure(Exception):
    """A failure that is explained: carries one `Diagnostic`. Its `str()` is the message alone, for logs."""

    def __init__(
        self,
        reference: str,
        message: str,
        *,
        span: Span | None = None,
        cause: str | None = None,
        hint: str | None = None,
        excerpt: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        exit_code(reference)
        self.diagnostic = Diagnostic(reference, message, span, cause, hint, "error", excerpt)

    def at(self, span: Span) -> BuildFailure:
        """This failure with a place, unless it has one already."""
        if self.diagnostic.span is None:
            self.diagnostic = replace(self.diagnostic, span=span)
        return self

    def about(self, what: str) -> BuildFailure:
        """This failure with what it concerns in front, such as the name of an archive; not if it is named already."""
        if what not in self.diagnostic.message:
            self.diagnostic = replace(self.diagnostic, message=f"{what}: {self.diagnostic.message}")
        return self

    def with_log(self, path: str) -> BuildFailure:
        """This failure with the place of the build's log in its hint."""
        log = f"the whole output is in {path}"
        hint = f"{self.diagnostic.hint}; {log}" if self.diagnostic.hint else log
        self.diagnostic = replace(self.diagnostic, hint=hint)
        return self

    @property
    def exit_code(self) -> int:
        return exit_code(self.diagnostic.reference)
