"""A Dockerfile's text as physical lines, and spans inside it.

Rule: BuildKit reads UTF-8 with an optional byte order mark, lines of at most 64 KiB - 1 bytes, ended by LF or CR LF.
"""

from __future__ import annotations

import re

from lamina.diagnostics import BuildFailure, Span

#: The longest physical line in bytes, its line end not counted.
LINE_LIMIT = 64 * 1024 - 1

#: What counts as white space: Go's `unicode.IsSpace`, which is not quite Python's `str.isspace`.
SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))

#: How much of the user's text a message quotes, in characters.
_QUOTED = 80

_BOM = b"\xef\xbb\xbf"
_UNDECODED = re.compile("[\udc80-\udcff]")


class Source:
    """The lines of one file. `place` replaces every span when the text stands in no file (an ONBUILD trigger)."""

    __slots__ = ("_broken", "_place", "file", "raw")

    def __init__(self, text: str, file: str, place: Span | None = None) -> None:
        self.file = file
        #: Physical lines *with* their line ends, for the bodies of heredocs.
        self.raw: tuple[str, ...] = tuple(text.splitlines(keepends=True)) if _plain(text) else _split(text)
        self._place = place
        self._broken = _UNDECODED.search(text) is not None

    def __len__(self) -> int:
        return len(self.raw)

    def line(self, index: int) -> str:
        """Physical line `index` (from 0) without its line end."""
        return self.raw[index].rstrip("\r\n")

    def lines(self) -> tuple[str, ...]:
        """All physical lines without line ends, fit for showing (undecodable bytes replaced)."""
        shown = (line.rstrip("\r\n") for line in self.raw)
        return tuple(map(printable, shown)) if self._broken else tuple(shown)

    def span(self, line: int, column: int, end_line: int, end_column: int) -> Span:
        """A span of this file; all four count from 1, the end is exclusive."""
        return self._place or Span(self.file, line, column, end_line, end_column)

    def line_span(self, index: int) -> Span:
        """The span of the whole physical line `index` (from 0)."""
        return self.span(index + 1, 1, index + 1, len(self.line(index)) + 1)

    def require_utf8(self, text: str, index: int) -> None:
        """Raise `dockerfile-not-utf8` when `text`, which begins on line `index`, came from bytes that are no UTF-8.

        Comments are exempt: BuildKit builds a file with a Latin-1 name in a comment.
        """
        if self._broken and _UNDECODED.search(text):
            raise BuildFailure(
                "dockerfile-not-utf8",
                f"line {index + 1} holds bytes that are not UTF-8",
                span=self.line_span(index),
                hint="save the Dockerfile as UTF-8",
            )


def read_source(data: bytes, file: str) -> Source:
    """Decode a file. Raises `dockerfile-line-too-long`; bytes that are no UTF-8 fail later, if they matter."""
    data = data.removeprefix(_BOM)
    if len(data) > LINE_LIMIT:
        _check_line_lengths(data, file)
    return Source(data.decode("utf-8", "surrogateescape"), file)


def printable(text: str) -> str:
    """`text` with U+FFFD in place of bytes that could not be decoded, one for one, so that columns stay right."""
    return _UNDECODED.sub("\ufffd", text)


def shown(text: str) -> str:
    """`text` as a message quotes it: on one line and not longer than a reader wants."""
    line = " ".join(printable(text).split())
    return line if len(line) <= _QUOTED else f"{line[: _QUOTED // 2]}…{line[-_QUOTED // 2 :]}"


def _check_line_lengths(data: bytes, file: str) -> None:
    for number, line in enumerate(data.split(b"\n"), 1):
        if len(line) > LINE_LIMIT:
            raise BuildFailure(
                "dockerfile-line-too-long",
                f"line {number} has {len(line)} bytes; at most {LINE_LIMIT} are allowed",
                span=Span(file, number, 1, number, len(line.decode("utf-8", "replace")) + 1),
                hint="break the line with the escape character, or move its content to a file",
            )


def _plain(text: str) -> bool:
    """True when LF is the only line end that `str.splitlines` would see."""
    return text.isascii() and not any(mark in text for mark in "\r\v\f\x1c\x1d\x1e")


def _split(text: str) -> tuple[str, ...]:
    parts = text.split("\n")
    ended = [part + "\n" for part in parts[:-1]]
    return (*ended, parts[-1]) if parts[-1] else tuple(ended)
