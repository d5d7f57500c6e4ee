"""`--chmod`: octal, or symbolic as chmod(1) has it (POSIX, "chmod", with a umask of 0)."""

from __future__ import annotations

import re

_OCTAL = re.compile(r"[0-7]+\Z")
_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)\Z")
_ACTION = re.compile(r"([-+=])([ugo]|[rwxXst]*)")

_SHIFT = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}


def normal(text: str) -> str:
    """The one spelling of a mode: octal without leading zeros, symbolic as it is. Raises ValueError."""
    if _OCTAL.match(text):
        mode = int(text, 8)
        if mode > 0o7777:
            raise ValueError(f"{text} is more than 7777")
        return f"{mode:o}"
    if all(_CLAUSE.match(clause) for clause in text.split(",")):
        return text
    raise ValueError(f"{text!r} is neither octal nor symbolic")


def changed(chmod: str, mode: int, is_dir: bool) -> int:
    """The permission bits (07777) of an entry that had `mode`. `chmod` is what `normal` returned."""
    if chmod.isdigit():
        return int(chmod, 8)
    for clause in chmod.split(","):
        match = _CLAUSE.match(clause)
        if match is None:
            raise ValueError(f"{chmod!r} is not a mode")
        who = "ugo" if not match[1] or "a" in match[1] else match[1]
        for operator, what in _ACTION.findall(match[2]):
            bits = _bits(who, what, mode, is_dir)
            if operator == "+":
                mode |= bits
            elif operator == "-":
                mode &= ~bits
            else:
                mode = (mode & ~_all(who, is_dir)) | bits
    return mode


def _bits(who: str, what: str, mode: int, is_dir: bool) -> int:
    if what in _SHIFT:
        copied = mode >> _SHIFT[what] & 7
        return sum(copied << _SHIFT[one] for one in set(who))
    found = 0
    for letter in what:
        if letter == "s":
            found |= (0o4000 if "u" in who else 0) | (0o2000 if "g" in who else 0)
        elif letter == "t":
            found |= 0o1000 if "o" in who else 0
        elif letter != "X" or is_dir or mode & 0o111:
            bit = _BITS["x" if letter == "X" else letter]
            for one in set(who):
                found |= bit << _SHIFT[one]
    return found


def _all(who: str, is_dir: bool) -> int:
    """What `=` clears. A directory keeps its set-ID bits, as with GNU chmod."""
    found = sum(7 << _SHIFT[one] for one in set(who))
    if not is_dir:
        found |= (0o4000 if "u" in who else 0) | (0o2000 if "g" in who else 0)
    return found | (0o1000 if "o" in who else 0)
