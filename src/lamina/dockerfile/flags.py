"""Which flags an instruction takes, and the check of those that were written."""

from __future__ import annotations

from typing import Literal, NoReturn

from lamina.dockerfile.source import shown
from lamina.dockerfile.spelling import meant
from lamina.dockerfile.statement import Part, Statement
from lamina.dockerfile.syntax import Flag

Kind = Literal["string", "bool", "list"]

_HEALTH: dict[str, Kind] = {
    "interval": "string",
    "timeout": "string",
    "start-period": "string",
    "start-interval": "string",
    "retries": "string",
}
_FILES: dict[str, Kind] = {"chown": "string", "chmod": "string", "link": "bool", "exclude": "list"}

#: Keyword → flag → what it takes. A keyword that is not here takes no flags.
FLAGS: dict[str, dict[str, Kind]] = {
    "FROM": {"platform": "string"},
    "RUN": {"mount": "list", "network": "string", "security": "string", "device": "list"},
    "COPY": {"from": "string", "parents": "bool", **_FILES},
    "ADD": {"checksum": "string", "keep-git-dir": "bool", "unpack": "bool", **_FILES},
    "HEALTHCHECK": _HEALTH,
}

#: The flags whose value is one of a few words.
_CHOICES: dict[str, tuple[str, ...]] = {
    "network": ("default", "none", "host"),
    "security": ("sandbox", "insecure"),
}


def read_flags(statement: Statement) -> tuple[Flag, ...]:
    """The flags in order; quotes and escapes are gone from their values, a truth value is in lower case.

    Raises `dockerfile-unknown-flag`, `dockerfile-duplicate-flag`, `dockerfile-bad-flag-value`.
    """
    if not statement.flags:
        return ()
    known = FLAGS.get(statement.keyword, {})
    read: dict[str, Flag] = {}
    flags: list[Flag] = []
    for part in statement.flags:
        name, equals, value = part.text[2:].partition("=")
        kind = known.get(name)
        if kind is None:
            _unknown(statement, part, name, known)
        if name in read and kind != "list":
            statement.fail(
                "dockerfile-duplicate-flag", f"the flag --{name} stands twice", part, hint="keep one of the two"
            )
        written = value if equals else None
        flag = Flag(name, _checked(statement, part, name, kind, written), statement.span(part))
        read[name] = flag
        flags.append(flag)
    return tuple(flags)


def _checked(statement: Statement, part: Part, name: str, kind: Kind, value: str | None) -> str | None:
    if kind == "bool":
        if value is not None and value.lower() not in ("true", "false"):
            statement.fail(
                "dockerfile-bad-flag-value",
                f"--{name} is true or false, not {shown(value) or 'empty'}",
                part,
                hint=f"write --{name} or --{name}=false",
            )
        return value and value.lower()
    if value is None:
        statement.fail("dockerfile-bad-flag-value", f"--{name} needs a value", part, hint=f"write --{name}=…")
    choices = _CHOICES.get(name)
    if choices and value not in choices:
        statement.fail(
            "dockerfile-bad-flag-value",
            f"--{name} cannot be {shown(value) or 'empty'}",
            part,
            hint=meant(value, choices) or f"it is one of {', '.join(choices)}",
        )
    return value


def _unknown(statement: Statement, part: Part, name: str, known: dict[str, Kind]) -> NoReturn:
    hint = meant(name, known, "--")
    if hint is None:
        others = [keyword for keyword, flags in FLAGS.items() if name in flags]
        if others:
            hint = f"--{name} belongs to {' and '.join(others)}"
        elif known:
            hint = f"{statement.keyword} takes {', '.join('--' + flag for flag in known)}"
        else:
            hint = f"{statement.keyword} takes no flags"
    statement.fail("dockerfile-unknown-flag", f"{statement.keyword} has no flag --{shown(name)}", part, hint=hint)
