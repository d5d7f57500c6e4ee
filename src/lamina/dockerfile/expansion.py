"""The shell-like scanner behind variable expansion, word splitting and heredoc detection.

Rule: the Dockerfile reference, "Environment replacement", as BuildKit's front end does it. Text is read once from left
to right; a value that is put in for a variable is not scanned again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from lamina.dockerfile.patterns import BadPattern, replaced, without_prefix, without_suffix
from lamina.dockerfile.source import SPACE

_SPECIAL = frozenset("@*#?-$!0")
_MAX_DEPTH = 50


class BadSubstitution(ValueError):
    """The text cannot be expanded; the message says why."""


class Options(Struct, frozen=True):
    """How a scan departs from plain expansion.

    `raw_quotes` and `raw_escapes` keep those characters in the result, `quotes` False gives them no meaning,
    `keep_unset` leaves a variable without a value as it was written, `heredocs` glues blanks behind `<<` to the word.
    """

    escape: str = "\\"
    quotes: bool = True
    raw_quotes: bool = False
    raw_escapes: bool = False
    keep_unset: bool = False
    heredocs: bool = False


class Word(Struct, frozen=True):
    """A word of the expanded text and the offsets in the unexpanded text between which it came up."""

    text: str
    start: int
    end: int


class _Words:
    """Collects words: blanks separate them, unless they were quoted or escaped."""

    __slots__ = ("_chars", "_in_word", "_start", "done")

    def __init__(self) -> None:
        self.done: list[Word] = []
        self._chars: list[str] = []
        self._in_word = False
        self._start = 0

    def add(self, text: str, at: int, end: int) -> None:
        for char in text:
            if char not in SPACE:
                self.add_raw(char, at)
            elif self._in_word and any(self._chars):
                self.close(at)

    def add_raw(self, text: str, at: int) -> None:
        if not self._in_word:
            self._start = at
        self._chars.append(text)
        self._in_word = True

    def close(self, end: int) -> None:
        word = "".join(self._chars)
        if word:
            self.done.append(Word(word, self._start, end))
        self._chars, self._in_word = [], False


class Expander:
    """One scan over one text. Use it once: `Expander(...).run()`."""

    def __init__(
        self,
        text: str,
        env: Mapping[str, str],
        options: Options,
        on_unset: Callable[[str], None] | None = None,
    ) -> None:
        self._text = text
        self._env = env
        self._options = options
        self._on_unset = on_unset
        self._raw_escapes = options.raw_escapes
        self._at = 0
        self._depth = 0

    def run(self) -> tuple[str, list[Word]]:
        """The expanded text, whole and in words. Raises `BadSubstitution`."""
        return self._until("", self._options.raw_escapes)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        char = self._text[self._at : self._at + 1]
        self._at += 1 if char else 0
        return char

    def _until(self, stop: str, raw_escapes: bool) -> tuple[str, list[Word]]:
        """Scan to the character `stop` (consumed), or to the end when it is empty."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise BadSubstitution("substitutions are nested too deeply")
        before, self._raw_escapes = self._raw_escapes, raw_escapes
        result: list[str] = []
        words = _Words()
        options = self._options
        while (char := self._peek()) != stop:
            if not char:
                raise BadSubstitution(f"missing {stop}")
            at = self._at
            if char == "$":
                value = self._dollar()
                result.append(value)
                words.add(value, at, self._at)
            elif char in "'\"" and options.quotes:
                value = self._single_quoted() if char == "'" else self._double_quoted()
                result.append(value)
                words.add_raw(value, at)
            elif char == "<" and options.heredocs:
                value = self._heredoc_operator()
                result.append(value)
                words.add_raw(value, at)
            elif char == options.escape:
                self._at += 1
                escaped = self._take()
                value = (char if raw_escapes else "") + escaped
                result.append(value)
                if value:
                    words.add_raw(value, at)
            else:
                self._at += 1
                result.append(char)
                words.add(char, at, self._at)
        words.close(self._at)
        self._at += len(stop)
        self._raw_escapes = before
        self._depth -= 1
        return "".join(result), words.done

    def _heredoc_operator(self) -> str:
        start = self._at
        self._at += 1
        if self._peek() == "<":
            self._at += 1
            while self._peek() and self._peek() in SPACE:
                self._at += 1
        return self._text[start : self._at]

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise BadSubstitution("a single quote is not closed")
        raw = self._text[self._at : end + 1]
        self._at = end + 1
        return raw if self._options.raw_quotes else raw[1:-1]

    def _double_quoted(self) -> str:
        quote = '"' if self._options.raw_quotes else ""
        result = [quote]
        self._at += 1
        while (char := self._peek()) != '"':
            if not char:
                raise BadSubstitution("a double quote is not closed")
            if char == "$":
                result.append(self._dollar())
                continue
            self._at += 1
            if char == self._options.escape:
                if self._raw_escapes:
                    result.append(char)
                follower = self._peek()
                if not follower:
                    continue
                # Only these can be escaped in double quotes; before others the escape character stays.
                if follower in ('"', "$", self._options.escape):
                    char = self._take()
            result.append(char)
        self._at += 1
        result.append(quote)
        return "".join(result)

    def _dollar(self) -> str:
        start = self._at
        self._at += 1
        if self._peek() != "{":
            name = self._name()
            if not name:
                return "$"
            value = self._lookup(name)
            if value is None:
                return self._unset(name, start)
            return value
        self._at += 1
        if self._peek() in ("", "{", "}", ":"):
            raise BadSubstitution("bad substitution" if self._peek() else "missing }")
        name = self._name()
        operator = self._take()
        if operator == "}":
            value = self._lookup(name)
            return self._unset(name, start) if value is None else value
        if operator == "/":
            return self._replace(name, start)
        return self._modified(name, operator, start)

    def _modified(self, name: str, operator: str, start: int) -> str:
        """`${name:-word}` and its kin, behind the operator's first character."""
        written, colon = operator, operator == ":"
        if colon:
            operator = self._take()
            written += operator
        if operator not in ("-", "+", "?", "#", "%"):
            if not operator:
                raise BadSubstitution("missing }")
            raise BadSubstitution(f"unsupported modifier {written} in a substitution")
        word, _ = self._until("}", raw_escapes=operator in "#%")
        value = self._lookup(name)
        if value is None and self._options.keep_unset:
            return f"${{{name}{written}{word}}}"
        missing = value is None or (colon and not value)
        if operator == "-":
            return word if missing or value is None else value
        if operator == "+":
            return "" if missing else word
        if operator == "?":
            if missing or value is None:
                raise BadSubstitution(f"{name}: {word or ('must be set' if value is None else 'must not be empty')}")
            return value
        if value is None:
            value = self._unset(name, start)
        longest = word[:1] == operator
        cut = without_suffix if operator == "%" else without_prefix
        try:
            return cut(word[1:] if longest else word, value, longest)
        except BadPattern as error:
            raise BadSubstitution(str(error)) from None

    def _replace(self, name: str, start: int) -> str:
        """`${name/pattern/replacement}` and `${name//pattern/replacement}`, behind the first slash."""
        everywhere = self._peek() == "/"
        self._at += everywhere
        pattern, _ = self._until("/", raw_escapes=True)
        replacement, _ = self._until("}", raw_escapes=True)
        value = self._lookup(name)
        if value is None:
            if self._options.keep_unset:
                return self._text[start : self._at]
            value = self._unset(name, start)
        try:
            return replaced(pattern, replacement, value, everywhere)
        except BadPattern as error:
            raise BadSubstitution(str(error)) from None

    def _name(self) -> str:
        """A name of letters, digits and `_`; or a run of digits; or one of the shell's special parameters."""
        start = self._at
        first = self._peek()
        if first.isdecimal():
            while self._peek().isdecimal():
                self._at += 1
        elif first in _SPECIAL:
            self._at += 1
        else:
            while (char := self._peek()) == "_" or char.isalpha() or char.isdecimal():
                self._at += 1
        return self._text[start : self._at]

    def _lookup(self, name: str) -> str | None:
        return self._env.get(name)

    def _unset(self, name: str, start: int) -> str:
        """What stands for a variable without a value."""
        if self._options.keep_unset:
            return self._text[start : self._at]
        if self._on_unset is not None:
            self._on_unset(name)
        return ""
