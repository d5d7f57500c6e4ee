"""A POSIX shell's command line cut into the simple commands that it may run; nothing is expanded. Pure.

Only what can be told without running anything: quotes, escapes, operators, comments. `$(…)`, `${…}` and backticks stay
in their words as written. A text that does not close what it opens gives no commands at all.
"""

from __future__ import annotations

import re

from msgspec import Struct

_OPERATOR = re.compile(r"&&|\|\||;;&?|;&|\|&|[;|&\n]")
_REDIRECTION = re.compile(r"(?:\d*|&)(?:<<<|<<-?|<>|>>|>\||<&|>&|&>>|&>|[<>])")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
#: Words in front of a command that belong to the shell's grammar.
_GRAMMAR = frozenset({"if", "then", "elif", "else", "while", "until", "do", "!", "{", "time"})
_OPENING, _CLOSING = frozenset({"if", "while", "until", "for", "case", "select"}), frozenset({"fi", "done", "esac"})
#: Programs that run the command behind them.
_CARRIERS = frozenset({"sudo", "exec", "command", "nice", "nohup"})


class ShellCommand(Struct, frozen=True):
    """One simple command: `words` without quotes and redirections, variables as written; `env` the assignments in front
    of it; `joined` the operator in front of it. `always` is False where it is in a branch, a loop or behind `||`."""

    words: tuple[str, ...]
    env: tuple[str, ...] = ()
    joined: str = ""
    always: bool = True

    @property
    def program(self) -> str:
        """The last component of the program's name, empty for assignments alone."""
        return self.words[0].rpartition("/")[2] if self.words else ""


class _Unclosed(ValueError):
    """A quote or a bracket that is not closed."""


def shell_commands(text: str) -> tuple[ShellCommand, ...]:
    """The commands in order; those in parentheses and braces stand in the row of the others."""
    try:
        return _Reader(text).run()
    except _Unclosed:
        return ()


class _Reader:
    """Reads a command line once from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: list[ShellCommand] = []
        self.words: list[str] = []
        self.joined = ""
        self.depth = 0
        self.skip_word = False
        #: The end of a heredoc is the next word; the ends of those that begin behind this line.
        self.opens = False
        self.ends: list[str] = []

    def run(self) -> tuple[ShellCommand, ...]:
        text = self.text
        while self.at < len(text):
            char = text[self.at]
            if char in " \t\r\f\v":
                self.at += 1
            elif char == "#":
                end = text.find("\n", self.at)
                self.at = len(text) if end < 0 else end
            elif char in "()":
                self._close(";")
                self.at += 1
            elif self._redirection():
                continue
            elif (match := _OPERATOR.match(text, self.at)) is not None:
                self.at = match.end()
                self._close(match[0])
                if match[0] == "\n" and self.ends:
                    self._skip_bodies()
            else:
                word = self._word()
                if self.skip_word:
                    self.skip_word = False
                    if self.opens:
                        self.ends.append(word)
                else:
                    self.words.append(word)
        self._close("")
        return tuple(self.found)

    def _redirection(self) -> bool:
        match = _REDIRECTION.match(self.text, self.at)
        if match is None:
            return False
        self.at = match.end()
        # Its target is the next word, and no argument.
        self.skip_word = True
        self.opens = match[0].lstrip("0123456789") in ("<<", "<<-")
        return True

    def _skip_bodies(self) -> None:
        """Go behind the heredocs of the line that has ended: they are what commands read, and no commands."""
        for end in self.ends:
            found = re.compile(rf"^\t*{re.escape(end)}$", re.MULTILINE).search(self.text, self.at)
            if found is None:
                raise _Unclosed
            self.at = found.end()
        self.ends = []

    def _close(self, operator: str) -> None:
        """End the command that was being read; `operator` stands in front of the next one."""
        self.skip_word = False
        words, self.words = self.words, []
        while words and words[0] in (_GRAMMAR | _CLOSING | _OPENING | {"}"}):
            word = words[0]
            if word in _CLOSING:
                self.depth = max(0, self.depth - 1)
            elif word in _OPENING:
                self.depth += 1
            if word in ("for", "case", "select"):
                words = []
                break
            del words[0]
        env: list[str] = []
        while words and (_ASSIGNMENT.match(words[0]) or words[0] == "env"):
            env += [] if words[0] == "env" else [words[0]]
            del words[0]
        while len(words) > 1 and words[0] in _CARRIERS and not words[1].startswith("-"):
            del words[0]
        if words or env:
            always = self.depth == 0 and self.joined != "||"
            self.found.append(ShellCommand(tuple(words), tuple(env), self.joined, always))
            self.joined = operator
        elif operator:
            self.joined = operator if self.joined in ("", ";", "\n") else self.joined

    def _word(self) -> str:
        text, parts = self.text, list[str]()
        while self.at < len(text):
            char = text[self.at]
            if char == "\\":
                parts.append(text[self.at + 1 : self.at + 2].replace("\n", ""))
                self.at += 2
            elif char == "'":
                end = self._find("'", self.at + 1)
                parts.append(text[self.at + 1 : end])
                self.at = end + 1
            elif char == '"':
                parts.append(self._double())
            elif char == "`":
                end = self._find("`", self.at + 1)
                parts.append(text[self.at : end + 1])
                self.at = end + 1
            elif char == "$" and text[self.at + 1 : self.at + 2] in ("(", "{"):
                parts.append(self._substitution())
            elif char in " \t\r\f\v\n;|&()<>":
                break
            else:
                parts.append(char)
                self.at += 1
        return "".join(parts)

    def _double(self) -> str:
        text, parts = self.text, list[str]()
        self.at += 1
        while self.at < len(text):
            char = text[self.at]
            if char == '"':
                self.at += 1
                return "".join(parts)
            if char == "\\":
                parts.append(text[self.at + 1 : self.at + 2])
                self.at += 2
            elif char == "$" and text[self.at + 1 : self.at + 2] in ("(", "{"):
                parts.append(self._substitution())
            else:
                parts.append(char)
                self.at += 1
        raise _Unclosed

    def _substitution(self) -> str:
        """`$(…)` or `${…}` as written, from the dollar on."""
        start, text = self.at, self.text
        opening = text[start + 1]
        closing = ")" if opening == "(" else "}"
        depth, self.at = 1, start + 2
        while self.at < len(text):
            char = text[self.at]
            if char == "\\":
                self.at += 2
                continue
            if char == "'" and opening == "(":
                self.at = self._find("'", self.at + 1)
            elif char == opening:
                depth += 1
            elif char == closing:
                depth -= 1
                if not depth:
                    self.at += 1
                    return text[start : self.at]
            self.at += 1
        raise _Unclosed

    def _find(self, mark: str, start: int) -> int:
        end = self.text.find(mark, start)
        if end < 0:
            raise _Unclosed
        return end
