"""Digests, chain IDs and framed hashing, against sha256sum and the specification's own formulas."""

from __future__ import annotations

import hashlib
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.digest import ChainID, DiffID, FramedHash, chain_id, digest_of, parse_digest

HEX = "0123456789abcdef" * 4


@given(st.binary(max_size=200))
def test_digest_is_well_formed(data: bytes) -> None:
    assert parse_digest(digest_of(data)) == "sha256:" + hashlib.sha256(data).hexdigest()


def test_digest_agrees_with_coreutils() -> None:
    out = subprocess.run(["sha256sum"], input=b"lamina", capture_output=True, check=True).stdout
    assert digest_of(b"lamina") == "sha256:" + out.split()[0].decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEX,
        "sha256:",
        "sha256:" + HEX[:-1],
        "sha256:" + HEX + "0",
        "sha256:" + HEX.upper(),
        "sha256:" + HEX[:-1] + "g",
        "sha256:" + HEX[:-1] + "\n",
        "sha256:" + HEX + "\n",
        " sha256:" + HEX,
        "SHA256:" + HEX,
        "sha512:" + HEX * 2,
        "sha256:" + "../" * 21 + "a",
        "sha256:" + "٣" * 64,
    ],
)
def test_malformed_digests(text: str) -> None:
    with pytest.raises(ValueError, match="not a sha256 digest"):
        parse_digest(text)


def test_chain_ids_follow_the_specification() -> None:
    first, second, third = (DiffID(digest_of(text)) for text in (b"a", b"b", b"c"))
    one = chain_id(None, first)
    two = chain_id(one, second)
    assert str(one) == first
    assert two == "sha256:" + hashlib.sha256(f"{first} {second}".encode()).hexdigest()
    assert chain_id(two, third) == "sha256:" + hashlib.sha256(f"{two} {third}".encode()).hexdigest()
    assert chain_id(ChainID(second), first) != chain_id(ChainID(first), second)


def framed(parts: list[tuple[str, bytes]]) -> str:
    made = FramedHash()
    for name, value in parts:
        made.add(name, value)
    return made.digest()


PARTS = st.lists(st.tuples(st.text(alphabet="ab\0é", max_size=3), st.binary(max_size=4)), max_size=4)


@given(PARTS, PARTS)
def test_different_parts_give_different_digests(left: list[tuple[str, bytes]], right: list[tuple[str, bytes]]) -> None:
    assert (framed(left) == framed(right)) is (left == right)


def test_the_frame_is_the_documented_one() -> None:
    frame = (2).to_bytes(4, "big") + b"nm" + (3).to_bytes(8, "big") + b"abc"
    assert framed([("nm", b"abc")]) == "sha256:" + hashlib.sha256(frame).hexdigest()


def test_moving_a_byte_between_neighbours_shows() -> None:
    assert framed([("a", b"bc")]) != framed([("ab", b"c")])
    assert framed([("a", b"b"), ("c", b"")]) != framed([("a", b"bc")])
    assert framed([]) != framed([("", b"")])


def test_text_and_its_bytes_are_the_same_value() -> None:
    text = FramedHash()
    text.add("path", "na\udcffme é")
    assert text.digest() == framed([("path", b"na\xffme \xc3\xa9")])
