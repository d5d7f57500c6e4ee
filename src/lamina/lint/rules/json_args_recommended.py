"""JSONArgsRecommended: CMD and ENTRYPOINT in exec form, unless a SHELL was chosen. Rule: BuildKit's build checks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from lamina.diagnostics import Span
from lamina.dockerfile.syntax import Cmd, Dockerfile, Entrypoint, Shell
from lamina.lint.places import keyword_place
from lamina.lint.rule import Edit, Found, Rule
from lamina.lint.subject import Stage, Subject

#: Words that mean the same to a shell and to exec.
_PLAIN = r"[A-Za-z0-9_./:@,+%-][A-Za-z0-9_./:=@,+%-]*\Z"
_BUILTINS = frozenset(
    [
        ".",
        ":",
        "alias",
        "bg",
        "cd",
        "command",
        "eval",
        "exec",
        "exit",
        "export",
        "read",
        "set",
        "shift",
        "source",
        "trap",
        "ulimit",
        "umask",
    ]
)


def _check(subject: Subject) -> Iterator[Found]:
    chosen: set[int] = set()
    for stage in subject.stages:
        shell = stage.parent in chosen or _image_shell(subject, stage)
        for step in stage.steps:
            one = step.instruction
            if isinstance(one, Shell):
                shell = True
            elif isinstance(one, Cmd | Entrypoint) and one.command.argv is None and not shell:
                message = (
                    f"JSON arguments recommended for {one.keyword} to prevent unintended behavior related to OS signals"
                )
                hint = "if a shell is meant, say so with SHELL above"
                yield Found(one, message, hint, edits=_edits(subject.dockerfile, one, one.command.text))
        if shell:
            chosen.add(stage.index)


def _image_shell(subject: Subject, stage: Stage) -> bool:
    known = subject.images.get(stage.base)
    return known is not None and known.config is not None and bool(known.config.shell)


def _edits(dockerfile: Dockerfile, one: Cmd | Entrypoint, text: str) -> tuple[Edit, ...]:
    """Exec form for words without any meaning to a shell; else nothing, for it would do something else."""
    words, span = text.split(), one.span
    if not words or not all(re.match(_PLAIN, word) for word in words) or words[0] in _BUILTINS or "=" in words[0]:
        return ()
    if one.heredocs or len(one.original.split(None, 1)) < 2:
        return ()
    start = keyword_place(dockerfile, one)
    if start is None:
        return ()
    place = Span(span.file, start.end_line, start.end_column, span.end_line, span.end_column)
    return (Edit(place, f" {json.dumps(words)}"),)


RULE = Rule(
    "JSONArgsRecommended",
    "warning",
    "CMD and ENTRYPOINT are JSON, so that signals reach the program",
    _check,
    hadolint=("DL3025",),
    buildkit=True,
)
