"""Which ignore file drives a build (features of Dockerfiles: "Ignore files")."""

from __future__ import annotations

import os
from pathlib import Path

from lamina.diagnostics import BuildFailure
from lamina.dockerfile.ignore import IgnoreRules, parse_ignore

#: Nobody writes a megabyte of patterns; more is a mistake such as a link to a disk image.
_MAX_BYTES = 1 << 20


def load_rules(context: Path, dockerfile: Path | None) -> IgnoreRules | None:
    """The rules of `<dockerfile>.dockerignore`, which replaces `<context>/.dockerignore`; None if neither exists.

    `dockerfile` is None if it came from standard input. Either file may exclude itself and the Dockerfile: both are
    read here, not through the context. Raises BuildFailure `context-…`, `dockerfile-…` for an unusable file.
    """
    own = dockerfile.with_name(dockerfile.name + ".dockerignore") if dockerfile is not None else None
    for path in (own, context / ".dockerignore"):
        if path is None:
            continue
        text = _read(path, within=context if path != own else None)
        if text is not None:
            return parse_ignore(text, str(path))
    return None


def _read(path: Path, within: Path | None) -> bytes | None:
    """The bytes of a file, None if there is none. A link may not lead out of `within`: a context that somebody else
    wrote could otherwise make the build quote any file of this machine as a faulty pattern."""
    try:
        if within is not None and path.is_symlink() and not path.resolve().is_relative_to(within.resolve()):
            raise BuildFailure(
                "context-ignore-file",
                f"{str(path)!r} is a link that leaves the build context",
                hint="name it <Dockerfile>.dockerignore beside the Dockerfile, or copy it into the context",
            )
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _failure(path, error) from error
    try:
        with os.fdopen(descriptor, "rb") as file:
            text = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise _failure(path, error) from error
    if len(text) > _MAX_BYTES:
        raise BuildFailure("context-ignore-file", f"{str(path)!r} is larger than 1 MiB: it is no ignore file")
    return text


def _failure(path: Path, error: OSError) -> BuildFailure:
    return BuildFailure("context-ignore-file", f"cannot read the ignore file {str(path)!r}", cause=error.strerror)
