"""`lamina.toml` in a context: what a project wants of every build, so that nobody has to remember the options.

Each key is a field of `Configuration`, and docs/configuration.md has a section for each. To add one, add both.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from lamina.context.modes import Modes
from lamina.diagnostics import BuildFailure, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The file's name, in the context's directory.
NAME = "lamina.toml"
_MAX_BYTES = 1 << 16
_SHOWN = 60


class Configuration(Struct, frozen=True, rename="kebab"):
    """What the file says, each field under its name with dashes; the description is what may be written there.

    `source_date_epoch` is a time in seconds since 1970, `auto` for that of the commit, None if the file says nothing.
    """

    modes: Annotated[Modes | None, Meta(description='"keep" or "git"')] = None
    source_date_epoch: Annotated[
        Literal["auto"] | Annotated[int, Meta(ge=0)] | None, Meta(description='"auto" or seconds since 1970')
    ] = None
    observe: Annotated[bool, Meta(description="true or false")] = False
    reproducible: Annotated[bool, Meta(description="true or false")] = False
    cache_from: Annotated[
        tuple[Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._:/-]*\Z")], ...],
        Meta(description='a list of repositories such as ["registry.example/team/cache"]'),
    ] = ()


def project_configuration(directory: Path) -> Configuration:
    """What `lamina.toml` in a context's directory says; the defaults if there is none.

    Somebody else may have written the context, so a link may not lead out of it: messages quote the file. Raises
    BuildFailure `usage-configuration`.
    """
    path = directory / NAME
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return Configuration()
    except OSError as error:
        raise _unreadable(path, error.strerror) from error
    return _decoded(_read(path, directory), path)


def known_keys() -> dict[str, str]:
    """Every key and what may be written for it."""
    return {field.encode_name: _writable(field) for field in msgspec.structs.fields(Configuration)}


def _read(path: Path, directory: Path) -> str:
    try:
        real = path.resolve(strict=True)
        if not real.is_relative_to(directory.resolve()):
            raise BuildFailure(
                "usage-configuration", f"{str(path)!r} is a link that leaves the build context", hint="copy it into it"
            )
        # A pipe would stop the build for ever.
        descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _unreadable(path, "it is no regular file")
            data = file.read(_MAX_BYTES + 1)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise _unreadable(path, getattr(error, "strerror", None) or "its links go round in circles") from error
    if len(data) > _MAX_BYTES:
        raise _unreadable(path, f"it is larger than {_MAX_BYTES >> 10} KiB")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"it is not UTF-8, from byte {error.start} on") from error


def _decoded(text: str, path: Path) -> Configuration:
    """Raises BuildFailure `usage-configuration` for a key that does not exist or has a value that cannot be."""
    import tomllib  # most projects have no such file

    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        cause = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
        raise _unreadable(path, cause) from None
    fields = {field.encode_name: field for field in msgspec.structs.fields(Configuration)}
    found: dict[str, Any] = {}
    for key, value in table.items():
        if key == "cache-to":
            # Who wrote the project may be somebody else, and would have the user's work sent somewhere.
            raise BuildFailure(
                "usage-configuration",
                f"{NAME} cannot say where a build writes",
                span=_place(text, key, path),
                hint="give --cache-to, or write cache-to into ~/.config/lamina/config.toml",
            )
        if key not in fields:
            raise _unknown(key, tuple(fields), _place(text, key, path))
        field = fields[key]
        try:
            found[field.name] = msgspec.convert(value, field.type)
        except (msgspec.ValidationError, OverflowError):
            raise BuildFailure(
                "usage-configuration",
                f"{key} in {str(path)!r} cannot be {_short(value)}",
                span=_place(text, key, path),
                hint=f"write {_writable(field)}",
            ) from None
    return Configuration(**found)


def _writable(field: msgspec.structs.FieldInfo) -> str:
    told: str = field.type.__metadata__[0].description
    return told


def _unknown(key: str, known: Sequence[str], place: Span | None) -> BuildFailure:
    from lamina.dockerfile.spelling import meant

    keys = f"the keys are {', '.join(known)}"
    close = meant(key, known)
    return BuildFailure(
        "usage-configuration",
        f"{NAME} has no key {_short(key)}",
        span=place,
        hint=f"{close} {keys}" if close else keys,
    )


def _unreadable(path: Path, cause: str | None) -> BuildFailure:
    return BuildFailure("usage-configuration", f"the project's configuration {str(path)!r} cannot be used", cause=cause)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _place(text: str, key: str, path: Path) -> Span | None:
    """Where a key is written; None for a spelling that is not seen through, such as one with escapes."""
    found = re.search(rf"^[ \t]*\[*[ \t]*[\"']?({re.escape(key)})[\"']?[ \t]*[.=\]]", text, re.MULTILINE)
    if found is None:
        return None
    line, column = text.count("\n", 0, found.start(1)) + 1, found.start(1) - text.rfind("\n", 0, found.start(1))
    return Span(str(path), line, column, line, column + len(key))
