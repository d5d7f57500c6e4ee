"""What the FUSE server writes has the kernel's layout."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from lamina.runtime import fuse_protocol as protocol


def test_answers_have_the_lengths_that_they_claim(tmp_path: Path) -> None:
    info = os.lstat(tmp_path)
    answers = [
        protocol.answer(7, b"body"),
        protocol.refusal(7, 2),
        protocol.entry(7, 3, 4, info),
        protocol.no_entry(7),
        protocol.attributes(7, 4, info),
    ]
    assert [struct.unpack_from("=I", each)[0] for each in answers] == [len(each) for each in answers]
    assert [struct.unpack_from("=Q", each, 8)[0] for each in answers] == [7] * 5
    assert len(protocol.agreed(4096, 0)) == 64
    assert len(protocol.statistics()) == 80


def test_nothing_is_agreed_on_that_was_not_offered() -> None:
    assert struct.unpack_from("=I", protocol.agreed(1, 0), 12) == (0,)
    assert struct.unpack_from("=I", protocol.agreed(1, 0xFFFFFFFF), 12) == (protocol.WANTED,)


def test_times_before_1970_and_far_ahead(tmp_path: Path) -> None:
    for nanos in (-1, 0, 2**33 * 10**9 + 5):
        os.utime(tmp_path, ns=(0, nanos))
        data = protocol.attributes(1, 1, os.lstat(tmp_path))
        seconds, rest = struct.unpack_from("=q", data, 32 + 32)[0], struct.unpack_from("=I", data, 32 + 52)[0]
        assert seconds * 10**9 + rest == nanos


@given(st.lists(st.binary(min_size=1, max_size=255), max_size=50), st.integers(300, 4096))
def test_a_listing_in_portions_is_the_whole(names: list[bytes], room: int) -> None:
    entries = [(number + 1, 8, name) for number, name in enumerate(names)]
    found: list[bytes] = []
    offset = 0
    while data := protocol.listing(entries[offset:], offset, room):
        assert len(data) <= room
        while data:
            _, offset, length, _ = struct.unpack_from("=QQII", data)
            found.append(data[24 : 24 + length])
            data = data[(24 + length + 7) & ~7 :]
    assert found == names
