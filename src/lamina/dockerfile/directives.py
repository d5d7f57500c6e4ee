"""Parser directives (`# syntax=`, `# escape=`, `# check=`) and the options of a check directive."""

from __future__ import annotations

import re

from msgspec import Struct

from lamina.diagnostics import BuildFailure, Span
from lamina.dockerfile.source import SPACE, Source, shown
from lamina.dockerfile.syntax import Directive

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*\Z")
_CHECK_COMMENT = re.compile(r"check\s*=\s*(.+)\Z", re.IGNORECASE)
_KNOWN = frozenset({"syntax", "escape", "check"})
_TRUE = frozenset({"1", "t", "true"})
_FALSE = frozenset({"0", "f", "false"})


class CheckOptions(Struct, frozen=True):
    """`skip=A,B;error=true;experimental=C`. The rule name `all` in `skip` or `experimental` means every rule."""

    skip: tuple[str, ...] = ()
    error: bool = False
    experimental: tuple[str, ...] = ()


def read_directives(source: Source) -> tuple[Directive, ...]:
    """The directives in the leading run of comment lines; the first line that is none ends the run.

    Raises `dockerfile-duplicate-directive` and `dockerfile-bad-escape`.
    """
    found: dict[str, Directive] = {}
    for index in range(len(source)):
        line = source.line(index)
        indent = len(line) - len(line.lstrip(SPACE))
        match = _DIRECTIVE.match(line, indent)
        if match is None or match[1].lower() not in _KNOWN:
            break
        name, value = match[1].lower(), match[2]
        span = source.span(index + 1, indent + 1, index + 1, match.end(2) + 1)
        source.require_utf8(line, index)
        if name in found:
            raise BuildFailure(
                "dockerfile-duplicate-directive", f"the directive `{name}` stands twice", span=span, hint="keep one"
            )
        if name == "escape" and value not in ("\\", "`"):
            raise BuildFailure(
                "dockerfile-bad-escape",
                f"`{shown(value)}` cannot be the escape character",
                span=span,
                hint="use a backslash or a backtick",
            )
        found[name] = Directive(name, value, span)
    return tuple(found.values())


def parse_checks(text: str, span: Span | None = None) -> CheckOptions:
    """The value of a check directive. Raises `dockerfile-bad-check` for an option that does not exist."""
    options: dict[str, str] = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        name, equals, value = part.partition("=")
        name = name.strip()
        if not equals or name not in ("skip", "error", "experimental"):
            raise BuildFailure(
                "dockerfile-bad-check",
                f"`{shown(part)}` is no check option",
                span=span,
                hint="write skip=RULE,RULE or error=true or experimental=RULE, separated by semicolons",
            )
        options[name] = value.strip()
    error = options.get("error", "false").lower()
    if error not in _TRUE | _FALSE:
        raise BuildFailure("dockerfile-bad-check", f"error={shown(error)} is neither true nor false", span=span)
    return CheckOptions(_names(options.get("skip", "")), error in _TRUE, _names(options.get("experimental", "")))


def skipped_by_comments(comments: tuple[str, ...], span: Span) -> tuple[str, ...]:
    """The rules that `# check=skip=…` comments above one instruction skip for it alone."""
    skipped: list[str] = []
    for comment in comments:
        match = _CHECK_COMMENT.match(comment)
        if match is not None:
            skipped.extend(parse_checks(match[1], span).skip)
    return tuple(skipped)


def _names(value: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, value.split(","))))
