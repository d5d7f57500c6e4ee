"""COPY and ADD: from syntax to `CopyOp` (Dockerfile reference, "COPY", "ADD")."""

from __future__ import annotations

import re

from msgspec.structs import replace

from lamina.diagnostics import BuildFailure, Span
from lamina.dockerfile.heredocs import content
from lamina.dockerfile.syntax import Add, Copy
from lamina.dockerfile.words import expand_heredoc
from lamina.plan.chmod import normal
from lamina.plan.failures import empty_value, file_name
from lamina.plan.remote import remote_source, shown
from lamina.plan.scope import Scope
from lamina.plan.stages import Outline, RawStage, copy_source
from lamina.plan.steps import CopyOp, GitSource, HttpSource, Inline, Source

_CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}\Z")
_COMMIT = re.compile(r"[0-9a-f]{7,64}\Z")


def copy_op(outlined: Outline, raw: RawStage, scope: Scope, instruction: Copy | Add) -> CopyOp:
    """Expand a COPY or ADD. Raises BuildFailure `dockerfile-…` at what is wrong."""
    paths = tuple(scope.expand(source, instruction.span) for source in instruction.sources)
    written = scope.expand(instruction.dest, instruction.span)
    if not written or not all(paths):
        raise empty_value(f"a path of {instruction.keyword}", instruction.span)
    is_directory = written.endswith(("/", "/.", "/..")) or written in (".", "..")
    sources: tuple[Source, ...] = paths
    if isinstance(instruction, Add):
        sources = tuple(_add_source(instruction, path) for path in paths)
        _check_checksum(instruction, sources)
        sources = tuple(_with_checksum(scope, instruction, source) for source in sources)
    else:
        _refuse_addresses(instruction, paths)
    # Heredocs come after the paths, as in BuildKit.
    sources += tuple(_inline(scope, instruction, index) for index in range(len(instruction.heredocs)))
    if len(sources) > 1 and not is_directory:
        raise BuildFailure(
            "dockerfile-copy-needs-directory",
            f"{instruction.keyword} has {len(sources)} sources, so its destination must end with a slash",
            span=instruction.span,
            hint=f"write {written}/",
        )
    origin, chown, unpack = (instruction.flag(name) for name in ("from", "chown", "unpack"))
    return CopyOp(
        sources=sources,
        dest=scope.absolute(written),
        dest_is_dir=is_directory,
        origin=copy_source(outlined, origin.value, raw, origin.span) if origin and origin.value else None,
        chown=scope.expand(chown.value or "", chown.span) if chown else "",
        chmod=_mode(scope, instruction),
        unpack=isinstance(instruction, Add) and (unpack is None or unpack.value != "false"),
        link=_is_set(instruction, "link"),
        parents=_is_set(instruction, "parents"),
        exclude=tuple(
            scope.expand(flag.value or "", flag.span) for flag in instruction.flags if flag.name == "exclude"
        ),
    )


def _is_set(instruction: Copy | Add, name: str) -> bool:
    flag = instruction.flag(name)
    return flag is not None and flag.value != "false"


def _inline(scope: Scope, instruction: Copy | Add, index: int) -> Inline:
    heredoc = instruction.heredocs[index]
    text = content(heredoc)
    if heredoc.expand:
        # The backslash escapes here, whatever the escape directive says, as in BuildKit.
        text = expand_heredoc(text, scope.variables, span=heredoc.span)
    return Inline(file_name(heredoc), text)


def _add_source(instruction: Add, path: str) -> Source:
    try:
        source = remote_source(path)
    except ValueError as error:
        raise BuildFailure(
            "dockerfile-bad-git-url",
            str(error),
            span=instruction.span,
            hint="write URL#ref:directory, or URL?ref=…&subdir=…",
        ) from None
    if isinstance(source, HttpSource):
        return replace(source, unpack=_is_set(instruction, "unpack"))
    if isinstance(source, GitSource) and not source.keep_git_dir:
        return replace(source, keep_git_dir=_is_set(instruction, "keep-git-dir"))
    return path if source is None else source


def _refuse_addresses(instruction: Copy, paths: tuple[str, ...]) -> None:
    for path in paths:
        try:
            remote = remote_source(path) is not None
        except ValueError:
            remote = True
        if remote:
            raise BuildFailure(
                "dockerfile-copy-address",
                f"COPY takes files of the build context, not an address: {shown(path)}",
                span=instruction.span,
                hint="write ADD, which fetches what an address names",
            )


def _check_checksum(instruction: Add, sources: tuple[Source, ...]) -> None:
    flag = instruction.flag("checksum")
    if flag is None or not flag.value:
        return
    if len(sources) + len(instruction.heredocs) != 1:
        message = "--checksum belongs to one source, and there are several"
        raise _bad_checksum(message, flag.span, "give each source an ADD of its own")
    if not isinstance(sources[0], HttpSource | GitSource):
        message = "--checksum is for what is fetched: a file by http(s), or a git repository"
        raise _bad_checksum(message, flag.span, "leave it out: files of the build context are known by their content")


def _with_checksum(scope: Scope, instruction: Add, source: Source) -> Source:
    flag = instruction.flag("checksum")
    if flag is None or not isinstance(source, HttpSource | GitSource):
        return source
    checksum = scope.expand(flag.value or "", flag.span).lower()
    if not checksum:
        return source
    if isinstance(source, HttpSource) and not _CHECKSUM.match(checksum):
        raise _bad_checksum(f"--checksum={checksum} is not a SHA-256 digest", flag.span, "write sha256: and 64 digits")
    if isinstance(source, GitSource) and not _COMMIT.match(checksum):
        raise _bad_checksum(f"--checksum={checksum} is not a commit", flag.span, "write the commit's hexadecimal name")
    if isinstance(source, GitSource) and source.checksum and source.checksum != checksum:
        message = f"--checksum={checksum} is not the commit of the address: {source.checksum}"
        raise _bad_checksum(message, flag.span, "give the commit in one place")
    return replace(source, checksum=checksum)


def _bad_checksum(message: str, span: Span, hint: str) -> BuildFailure:
    return BuildFailure("dockerfile-bad-checksum", message, span=span, hint=hint)


def _mode(scope: Scope, instruction: Copy | Add) -> str:
    """The mode in its one spelling; empty without a --chmod, or if it expands to nothing."""
    flag = instruction.flag("chmod")
    text = scope.expand(flag.value or "", flag.span) if flag else ""
    if not text:
        return ""
    try:
        return normal(text)
    except ValueError as error:
        raise BuildFailure(
            "dockerfile-bad-chmod",
            f"--chmod={text} is not a mode: {error}",
            span=flag.span if flag else instruction.span,
            hint="write octal digits such as --chmod=755, or changes such as --chmod=u+x,go-w",
        ) from None
