"""COPY and ADD: from syntax to `CopyOp` (Dockerfile reference, "COPY", "ADD")."""

from __future__ import annotations

import re

from lamina.diagnostics import BuildFailure, Span
from lamina.dockerfile.syntax import Add, Copy
from lamina.plan.failures import empty_value, not_built_yet
from lamina.plan.scope import Scope
from lamina.plan.stages import Outline, RawStage, copy_source
from lamina.plan.steps import CopyOp

_REMOTE = re.compile(r"(?:https?|git|ssh)://|git@[^/]+:")
_OCTAL = re.compile(r"0*[0-7]{1,4}\Z")


def copy_op(outlined: Outline, raw: RawStage, scope: Scope, instruction: Copy | Add) -> CopyOp:
    """Expand a COPY or ADD. Raises BuildFailure at what is wrong or not built yet."""
    _refuse_what_is_missing(instruction)
    sources = tuple(scope.expand(source, instruction.span) for source in instruction.sources)
    written = scope.expand(instruction.dest, instruction.span)
    if not written or not all(sources):
        raise empty_value(f"a path of {instruction.keyword}", instruction.span)
    remote = next((source for source in sources if isinstance(instruction, Add) and _REMOTE.match(source)), None)
    if remote is not None:
        raise not_built_yet(f"ADD of {remote}", instruction.span)
    is_directory = written.endswith(("/", "/.", "/..")) or written in (".", "..")
    if len(sources) > 1 and not is_directory:
        raise BuildFailure(
            "dockerfile-copy-needs-directory",
            f"{instruction.keyword} has {len(sources)} sources, so its destination must end with a slash",
            span=instruction.span,
            hint=f"write {written}/",
        )
    origin, chown, chmod = (instruction.flag(name) for name in ("from", "chown", "chmod"))
    return CopyOp(
        sources=sources,
        dest=scope.absolute(written),
        dest_is_dir=is_directory,
        source=copy_source(outlined, origin.value or "", raw, origin.span) if origin else None,
        chown=scope.expand(chown.value or "", chown.span) if chown else "",
        chmod=_octal(scope.expand(chmod.value or "", chmod.span), chmod.span) if chmod else None,
        unpack=isinstance(instruction, Add),
    )


def _refuse_what_is_missing(instruction: Copy | Add) -> None:
    for flag in instruction.flags:
        if flag.name not in ("from", "chown", "chmod"):
            raise not_built_yet(f"{instruction.keyword} --{flag.name}", flag.span)
    if instruction.heredocs:
        raise not_built_yet("a heredoc", instruction.heredocs[0].span)


def _octal(text: str, span: Span) -> int:
    if not _OCTAL.match(text):
        raise BuildFailure(
            "dockerfile-bad-chmod",
            f"--chmod={text} is not an octal mode",
            span=span,
            hint="write three or four octal digits, such as --chmod=755",
        )
    return int(text, 8)
