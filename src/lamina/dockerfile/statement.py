"""A logical line cut into keyword, flags and arguments, each with its place, before it gets a type."""

from __future__ import annotations

import re
from typing import NoReturn

from msgspec import Struct

from lamina.diagnostics import BuildFailure, Span
from lamina.dockerfile.lexer import LogicalLine
from lamina.dockerfile.source import SPACE
from lamina.dockerfile.syntax import Heredoc

#: What separates keyword and arguments, and the arguments of most instructions. Narrower than `SPACE`, as in BuildKit.
BLANKS = re.compile(r"[\t\v\f\r ]+")
_NOT_BLANK = re.compile(r"[^\t\v\f\r ]+")


class Part(Struct, frozen=True):
    """A piece of the logical line: `text` stands at the offsets `start` to `end`."""

    text: str
    start: int
    end: int


class Statement(Struct, frozen=True):
    """An instruction that has been cut up but not understood. `keyword` in upper case, `args` without outer blanks."""

    line: LogicalLine
    keyword: str
    start: int
    keyword_end: int
    flags: tuple[Part, ...]
    args: Part
    escape: str
    heredocs: tuple[Heredoc, ...] = ()

    def span(self, part: Part) -> Span:
        return self.line.span(part.start, part.end)

    def fail(self, reference: str, message: str, at: Part | None = None, *, hint: str | None = None) -> NoReturn:
        """Raise a failure that marks `at`, or the keyword when there is nothing else to mark."""
        span = self.span(at) if at is not None and at.end > at.start else self.line.span(self.start, self.keyword_end)
        raise BuildFailure(reference, message, span=span, hint=hint)

    def words(self) -> tuple[Part, ...]:
        """The arguments at blanks. Quotes do not hold words together here; the plan's expansion handles them."""
        at = self.args.start
        return tuple(
            Part(found[0], at + found.start(), at + found.end()) for found in _NOT_BLANK.finditer(self.args.text)
        )

    def quoted_words(self) -> tuple[Part, ...]:
        """The arguments as words of ENV, LABEL and ARG: quotes hold together and stay, escapes stay."""
        at = self.args.start
        pattern = _quoted_word(self.escape)
        return tuple(
            Part(found[1], at + found.start(1), at + found.end(1)) for found in pattern.finditer(self.args.text)
        )


def cut(line: LogicalLine, escape: str, start: int = 0, heredocs: tuple[Heredoc, ...] = ()) -> Statement:
    """Cut a logical line from offset `start` on (more than 0 for what stands behind ONBUILD).

    Raises nothing: whether keyword and flags exist is decided later.
    """
    text = line.text.rstrip(SPACE)
    start = _skip(text, start)
    gap = BLANKS.search(text, start)
    if gap is None:
        end = len(text)
        return Statement(line, text[start:].upper(), start, end, (), Part("", end, end), escape, heredocs)
    flags, at = _cut_flags(text, gap.end())
    at = _skip(text, at)
    args = Part(text[at:], at, len(text))
    keyword = text[start : gap.start()].upper()
    return Statement(line, keyword, start, gap.start(), flags, args, escape, heredocs)


def _skip(text: str, at: int) -> int:
    """The offset of the first character from `at` on that is no white space."""
    while at < len(text) and text[at] in SPACE:
        at += 1
    return at


def _cut_flags(text: str, start: int) -> tuple[tuple[Part, ...], int]:
    """The `--words` from `start` on, unquoted, and the offset behind them. A lone `--` ends them."""
    flags: list[Part] = []
    while True:
        start = _skip(text, start)
        if not text.startswith("--", start):
            return tuple(flags), start
        value, end = _unquoted(text, start)
        if value == "--":
            return tuple(flags), end
        flags.append(Part(value, start, end))
        start = end


def _unquoted(text: str, at: int) -> tuple[str, int]:
    """The word that begins at `at` without its quotes and escapes, and the offset behind it.

    The escape here is the backslash, whatever the escape directive says.
    """
    result: list[str] = []
    quote = ""
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 1
            result.append(text[at : at + 1])
        elif quote:
            if char == quote:
                quote = ""
            else:
                result.append(char)
        elif char in "'\"":
            quote = char
        elif char in SPACE:
            break
        else:
            result.append(char)
        at += 1
    return "".join(result), min(at, len(text))


_SPACES = re.escape(SPACE)


def _quoted_word(escape: str) -> re.Pattern[str]:
    """A word in group 1. An escape character that ends the line has nothing to escape and is left out."""
    mark = re.escape(escape)
    return re.compile(
        rf"((?:{mark}.|'[^']*(?:'|\Z)|\"(?:[^\"{mark}]|{mark}.)*(?:\"|\Z|(?={mark}\Z))|[^{_SPACES}'\"{mark}])+)",
        re.DOTALL,
    )
