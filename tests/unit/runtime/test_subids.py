"""Sub-uids: which ranges a file grants, and how they are mapped."""

from __future__ import annotations

from lamina.runtime.subids import mapping, ranges

TEXT = """\
# comment
alice:100000:65536
1000:300000:10 # by number
bob:200000:65536
alice:500000:1000
alice:broken:1
alice:1
"""


def test_ranges_are_found_by_name_and_by_number() -> None:
    assert ranges(TEXT, 1000, "alice") == ((100000, 65536), (300000, 10), (500000, 1000))
    assert ranges(TEXT, 1000, None) == ((300000, 10),)


def test_nobody_gets_the_ranges_of_others() -> None:
    assert ranges(TEXT, 7, "carol") == ()
    assert ranges("", 0, "root") == ()


def test_the_mapping_starts_with_the_user_and_has_no_gap() -> None:
    assert mapping(1000, ((100000, 65536), (500000, 10))) == [
        *("0", "1000", "1"),
        *("1", "100000", "65536"),
        *("65537", "500000", "10"),
    ]
