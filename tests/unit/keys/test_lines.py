"""Which lines changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.keys.lines import changed_lines, is_text, only_line_ends


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (b"a\nb\nc\n", b"a\nB\nc\n", ((2, 2),)),
        (b"a\nb\nc\n", b"a\nb\nc\nd\n", ((4, 4),)),
        (b"a\nb\nc\n", b"x\ny\na\nb\nc\n", ((1, 2),)),
        (b"a\nb\nc\n", b"a\nc\n", ((2, 1),)),
        (b"a\nb\nc\nd\ne\n", b"A\nb\nc\nd\nE\n", ((1, 1), (5, 5))),
        (b"", b"a\nb\n", ((1, 2),)),
        (b"a\n", b"", ((1, 0),)),
        (b"a\na\na\n", b"a\na\n", ((3, 2),)),
    ],
)
def test_runs_of_changed_lines(before: bytes, after: bytes, expected: tuple[tuple[int, int], ...]) -> None:
    assert changed_lines(before, after) == expected


def test_a_large_change_is_one_run() -> None:
    before = b"".join(b"%d\n" % number for number in range(10_000))
    after = b"".join(b"x%d\n" % number for number in range(10_000))
    assert changed_lines(before, b"0\n" + after + b"9999\n") == ((2, 10_001),)


LINES = st.lists(st.sampled_from([b"a", b"b", b"c", b"d"]), max_size=12)


@given(LINES, LINES)
def test_what_is_outside_the_runs_was_there_before_in_order(before: list[bytes], after: list[bytes]) -> None:
    runs = changed_lines(b"".join(line + b"\n" for line in before), b"".join(line + b"\n" for line in after))
    changed = {number for first, last in runs for number in range(first, last + 1)}
    kept = [line for number, line in enumerate(after, 1) if number not in changed]
    rest = iter(before)
    assert all(line in rest for line in kept)
    assert before != after or runs in ((), ((len(after) + 1, len(after)),))


def test_line_ends_and_text() -> None:
    assert only_line_ends(b"a\r\nb\r\n", b"a\nb\n")
    assert not only_line_ends(b"a\r\nb\r\n", b"a\nB\n")
    assert is_text(b"caf\xe9\n") and not is_text(b"\x7fELF\0\0")
