"""Which words of a line open a heredoc, and what its body says once leading tabs are stripped.

Rule: BuildKit's front end. `<<` must begin a word (behind an optional number); `cat<<EOF` opens none. The escape
character is the backslash here, whatever the escape directive says.
"""

from __future__ import annotations

import re

from msgspec import Struct

from lamina.dockerfile.expansion import BadSubstitution, Expander, Options
from lamina.dockerfile.syntax import Heredoc

_OPERATOR = re.compile(r"(\d*)<<(-?)\s*([^<]*)\Z")
_LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)

_LINE = Options(raw_quotes=True, raw_escapes=True, keep_unset=True, heredocs=True)
_NAME = Options(keep_unset=True)
_QUOTED_NAME = Options(raw_quotes=True, keep_unset=True)


class Opening(Struct, frozen=True):
    """The word `<<NAME` of a line, from offset `start` to `end`."""

    name: str
    expand: bool
    strip_tabs: bool
    fd: int
    start: int
    end: int


def openings(line: str) -> tuple[Opening, ...]:
    """The heredocs that a logical line opens, in order; none when its quotes or substitutions do not close."""
    if "<<" not in line:
        return ()
    try:
        words = Expander(line, {}, _LINE).run()[1]
        found = (opening(word.text, word.start, word.end) for word in words if "<<" in word.text)
        return tuple(filter(None, found))
    except BadSubstitution:
        return ()


def opening(word: str, start: int = 0, end: int = 0) -> Opening | None:
    """What one word opens, None when it is an ordinary word. Raises `BadSubstitution` for quotes that do not close."""
    match = _OPERATOR.match(word)
    if match is None or not match[3]:
        return None
    plain = Expander(match[3], {}, _NAME).run()[1]
    if len(plain) != 1:
        return None
    quoted = Expander(match[3], {}, _QUOTED_NAME).run()[1]
    name = plain[0].text
    expand = _quotes(name) == _quotes("".join(part.text for part in quoted))
    fd = int(match[1][-9:]) if match[1] else 0
    return Opening(name, expand, match[2] == "-", fd, start, end)


def content(heredoc: Heredoc) -> str:
    """The body as a file or a script gets it: without leading tabs for `<<-`. Variables are not expanded."""
    return _LEADING_TABS.sub("", heredoc.body) if heredoc.strip_tabs else heredoc.body


def _quotes(text: str) -> int:
    return text.count("'") + text.count('"')
