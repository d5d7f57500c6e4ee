"""Physical lines → logical lines: continuations joined, comments collected, heredoc bodies read on demand."""

from __future__ import annotations

from bisect import bisect_right

from lamina.diagnostics import BuildFailure, Diagnostic, Span
from lamina.dockerfile.source import SPACE, Source, printable, shown


class LogicalLine:
    """One instruction's text with its continuations joined, and the way back from offsets to the file.

    `text` begins without white space and keeps the indentation of continuation lines, because RUN passes it on.
    """

    __slots__ = ("_columns", "_lines", "_source", "_starts", "comments", "end_line", "text")

    def __init__(self, source: Source, pieces: list[tuple[str, int, int]], end_line: int, comments: tuple[str, ...]):
        """`pieces` are (text, physical line from 0, offset of the text in that line)."""
        self.text = pieces[0][0] if len(pieces) == 1 else "".join(piece for piece, _, _ in pieces)
        self.comments = comments
        #: The last physical line that belongs to the instruction, from 0; heredocs move it on.
        self.end_line = end_line
        self._source = source
        self._lines = [line for _, line, _ in pieces]
        self._columns = [column for _, _, column in pieces]
        self._starts = [0]
        for piece, _, _ in pieces[:-1]:
            self._starts.append(self._starts[-1] + len(piece))

    def span(self, start: int, end: int) -> Span:
        """The place in the file of `text[start:end]`."""
        line, column = self._place(start)
        last_line, last_column = self._place(max(start, end - 1))
        if end <= start:
            return self._source.span(line, column, line, column)
        return self._source.span(line, column, last_line, last_column + 1)

    def whole(self) -> Span:
        """The instruction's place, heredocs included."""
        line, column = self._place(0)
        end_column = len(self._source.line(self.end_line)) + 1
        return self._source.span(line, column, self.end_line + 1, end_column)

    def _place(self, offset: int) -> tuple[int, int]:
        piece = bisect_right(self._starts, offset) - 1
        # An empty piece (a lone escape character) shares its start with the next one, which bisect prefers.
        return self._lines[piece] + 1, self._columns[piece] + offset - self._starts[piece] + 1


class LineReader:
    """Hands out logical lines in order; between two of them the bodies of heredocs can be read."""

    def __init__(self, source: Source, escape: str, first: int = 0) -> None:
        """`first` is the physical line (from 0) to begin with: the one behind the parser directives."""
        self._source = source
        self._escape = escape
        self._next = first
        self.warnings: list[Diagnostic] = []

    def next_line(self) -> LogicalLine | None:
        """The next logical line, None at the end. Raises `dockerfile-not-utf8`."""
        source, comments = self._source, list[str]()
        while self._next < len(source):
            index = self._next
            self._next += 1
            line = source.line(index)
            stripped = line.lstrip(SPACE)
            if not stripped:
                continue
            if stripped[0] == "#":
                comment = printable(stripped[1:].strip(SPACE))
                # An empty comment cuts what stands above it off from the instruction below.
                comments = [*comments, comment] if comment else []
                continue
            pieces = [(stripped, index, len(line) - len(stripped))]
            if stripped.rstrip(" \t").endswith(self._escape):
                pieces = self._continued(stripped, index, pieces[0][2])
            logical = LogicalLine(source, pieces, self._next - 1, tuple(comments))
            source.require_utf8(logical.text, index)
            return logical
        return None

    def read_heredoc(self, terminator: str, strip_tabs: bool, opened: LogicalLine, word: Span) -> str:
        """The body up to the line that is `terminator` (which is consumed), line ends and leading tabs as written.

        Raises `dockerfile-unterminated-heredoc`.
        """
        first = self._next
        for index in range(first, len(self._source)):
            line = self._source.line(index)
            if (line.lstrip("\t") if strip_tabs else line) == terminator:
                body = "".join(self._source.raw[first:index])
                self._source.require_utf8(body, first)
                self._next, opened.end_line = index + 1, index
                return body
        hint = f"end it with a line that holds only {shown(terminator)}"
        if not strip_tabs and any(line.strip() == terminator for line in self._source.raw[first:]):
            hint += "; a line with blanks around the word does not end it (<<- allows leading tabs)"
        raise BuildFailure(
            "dockerfile-unterminated-heredoc", f"the heredoc {shown(terminator)} has no end", span=word, hint=hint
        )

    def _continued(self, text: str, index: int, column: int) -> list[tuple[str, int, int]]:
        pieces: list[tuple[str, int, int]] = []
        empty: int | None = None
        while True:
            joined = self._without_escape(text)
            pieces.append((text if joined is None else joined, index, column))
            if joined is None:
                break
            while True:
                if self._next >= len(self._source):
                    self._warn(empty)
                    return pieces
                index, column = self._next, 0
                self._next += 1
                text = self._source.line(index)
                bare = text.lstrip(SPACE)
                if bare and bare[0] != "#":
                    break
                # Comments inside a continuation vanish; empty lines too, but those are a deprecated accident.
                if not bare and empty is None:
                    empty = index
        self._warn(empty)
        return pieces

    def _without_escape(self, line: str) -> str | None:
        """The line without its continuation mark, None when it ends here. A doubled escape is no mark."""
        bare = line.rstrip(" \t")
        if not bare.endswith(self._escape) or bare[-2:-1] == self._escape:
            return None
        return bare[:-1]

    def _warn(self, empty: int | None) -> None:
        if empty is not None:
            self.warnings.append(
                Diagnostic(
                    "dockerfile-no-empty-continuation",
                    "an empty line stands inside a continued instruction",
                    self._source.line_span(empty),
                    hint="delete the empty line, or make it a comment",
                    severity="warning",
                )
            )
