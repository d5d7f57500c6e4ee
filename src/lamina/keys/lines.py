"""Which lines of a text file changed. Pure: both contents are given."""

from __future__ import annotations

from itertools import takewhile

#: What is left to compare between the first and the last changed line may be this long; else it is one run.
_LINES = 2000


def is_text(data: bytes) -> bool:
    """Whether this looks like text: no NUL byte near its beginning, as git decides it."""
    return b"\0" not in data[:8000]


def only_line_ends(before: bytes, after: bytes) -> bool:
    """Whether two different contents are the same but for CRLF and LF."""
    return before.replace(b"\r\n", b"\n") == after.replace(b"\r\n", b"\n")


def changed_lines(before: bytes, after: bytes) -> tuple[tuple[int, int], ...]:
    """The runs of lines of `after` that are not in `before`, as in `FileChange.lines`."""
    old, new = before.splitlines(), after.splitlines()
    head = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))
    most = min(len(old), len(new)) - head
    pairs = zip(reversed(old), reversed(new), strict=False)
    tail = min(most, sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs)))
    old, new = old[head : len(old) - tail], new[head : len(new) - tail]
    if not old or not new or len(old) > _LINES or len(new) > _LINES:
        return ((head + 1, head + len(new)),)
    from difflib import SequenceMatcher  # here, because most builds have no file to compare

    blocks = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return tuple((head + start + 1, head + end) for tag, _, _, start, end in blocks if tag != "equal")
