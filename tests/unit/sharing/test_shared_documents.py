"""The documents of a shared cache: round trips, damage, forgeries, and which of several layers is taken."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lamina.diagnostics import Span
from lamina.digest import ChainID, DiffID, Digest, chain_id, digest_of
from lamina.keys.compute import key_digest, over
from lamina.keys.filetree import FileRecord, tree_digest
from lamina.keys.record import CacheKey, CacheRecord, KeyPart
from lamina.keys.schema import SCHEMA
from lamina.oci.descriptor import Descriptor
from lamina.oci.mediatypes import OCI_LAYER_GZIP
from lamina.sharing.documents import (
    FORMAT,
    Entry,
    connected,
    is_sound,
    pack,
    pack_files,
    stripped,
    unpack,
    unpack_files,
)

FILES = (
    FileRecord("a", "file", 0o644, content="11" * 32, size=3),
    FileRecord("d", "dir", 0o755),
    FileRecord("d/\udcff", "link", 0o777, target="../a"),
)


def entry(name: str, *, parent: ChainID | None = None, over_key: str = "base", layer: str = "") -> Entry:
    """A sound entry of the step `name`, whose key stands on `over_key`; `layer` tells apart different outcomes."""
    files = tree_digest(FILES)
    parts = (KeyPart("parent", over_key), KeyPart("command", name), KeyPart("source .", files, files=files))
    key = CacheKey(SCHEMA, "run", parts, key_digest("run", parts))
    diff_id = DiffID(digest_of(f"{name} {layer}".encode()))
    record = CacheRecord(
        key=key,
        content_key=over(key, parent or ChainID("scratch")),
        address="0/1",
        project="",
        text=f"RUN {name}\udcff",
        parent=parent,
        result=chain_id(parent, diff_id),
        diff_id=diff_id,
        files=None,
        seconds=1.0,
        size=5,
        created=2.0,
        build="",
        version="1",
    )
    blob = Descriptor(OCI_LAYER_GZIP, digest_of(b"layer"), 5)
    return Entry(FORMAT, record, blob, {files: Descriptor("f", digest_of(b"files"), 5)}, "me", 3.0)


def test_documents_come_back() -> None:
    entries = (entry("one"), entry("two"))
    for secret in (None, b"s" * 32):
        assert unpack(pack(entries, secret), secret) == entries
        assert all(map(is_sound, entries))


def test_signatures() -> None:
    signed, plain = pack((entry("one"),), b"ours" * 8), pack((entry("one"),), None)
    assert unpack(signed, None) == unpack(plain, None)
    for document in (
        plain,
        pack((entry("one"),), b"theirs" * 8),
        b"lmc\1" + plain[4:],
        b"lmc\1" + b"\0" * 32 + plain[4:],
    ):
        with pytest.raises(ValueError, match="signed"):
            unpack(document, b"ours" * 8)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_damage_is_noticed(place: int, flip: int) -> None:
    for secret in (None, b"s" * 32):
        document = bytearray(pack((entry("one"),), secret))
        document[place % len(document)] ^= flip
        try:
            found = unpack(bytes(document), secret)
        except ValueError:
            continue
        assert found == (entry("one"),)  # only the head of the frame says less than it could


@given(st.binary(max_size=200))
def test_noise_is_no_document(noise: bytes) -> None:
    for document in (noise, b"lmc\0" + noise, b"lmc\1" + noise):
        with pytest.raises(ValueError):
            unpack(document, None)


def test_a_document_that_would_fill_the_memory() -> None:
    import zstandard

    bomb = zstandard.ZstdCompressor().compress(b"\0" * (64 << 20))
    with pytest.raises(ValueError, match="too long"):
        unpack(b"lmc\0" + bomb, None)
    stream = zstandard.ZstdCompressor(write_content_size=False).compress(b"\0" * (64 << 20))
    with pytest.raises(ValueError):
        unpack(b"lmc\0" + stream, None)


def test_forged_entries_are_not_sound() -> None:
    true = entry("one")
    record, other = true.record, digest_of(b"other")
    forged_parts = (KeyPart("parent", "base"), KeyPart("command", "another"))
    for forged in (
        replace(true, format=FORMAT + 1),
        replace(true, record=replace(record, key=replace(record.key, digest=other))),
        replace(true, record=replace(record, key=replace(record.key, parts=forged_parts))),
        replace(true, record=replace(record, key=replace(record.key, schema=SCHEMA - 1))),
        replace(true, record=replace(record, content_key=other)),
        replace(true, record=replace(record, result=ChainID(other))),
        replace(true, record=replace(record, diff_id=DiffID(other))),
        replace(true, record=replace(record, diff_id=None)),
        replace(true, record=replace(record, parent=ChainID(other))),
        replace(true, record=replace(record, looks=other)),
        replace(true, record=replace(record, size=-1)),
        replace(true, layer=replace(true.layer, media_type="text/html")),
        replace(true, layer=replace(true.layer, digest=Digest("sha256:../../etc/passwd"))),
        replace(true, layer=replace(true.layer, size=-1)),
        replace(true, files={other: Descriptor("f", Digest("md5:0"), 1)}),
    ):
        assert not is_sound(forged)


def test_what_is_of_this_machine_stays_here() -> None:
    record = entry("one").record
    parts = tuple(replace(part, span=Span("/home/me/Dockerfile", 1, 1, 1, 2)) for part in record.key.parts)
    local = replace(record, key=replace(record.key, parts=parts), project="/home/me", build="b1", looks=digest_of(b""))
    assert stripped(local) == record


def test_lists_of_files() -> None:
    for owners in (False, True):
        records = [replace(record, uid=7 * owners, gid=8 * owners) for record in FILES]
        assert unpack_files(pack_files(records), tree_digest(records, owners=owners)) == tuple(records)
    with pytest.raises(ValueError, match="not the list"):
        unpack_files(pack_files(FILES), digest_of(b"another"))
    with pytest.raises(ValueError):
        unpack_files(os.urandom(100), tree_digest(FILES))


def test_of_two_outcomes_the_one_that_others_stand_on() -> None:
    """Both machines ran the first step; the second step exists on the older outcome alone."""
    newer, older = entry("one", layer="newer"), entry("one", layer="older")
    second = entry("two", parent=older.record.result, over_key=older.record.key.digest)
    keys = [older.record.key.digest, second.record.key.digest]
    offers = {keys[0]: [newer, older], keys[1]: [second]}
    assert connected(keys, offers) == {keys[0]: older, keys[1]: second}
    assert connected(keys[:1], offers) == {keys[0]: newer}
    assert connected(keys, {}) == {}


def test_what_stands_on_the_stack_that_is_there_goes_first() -> None:
    here, there = ChainID(digest_of(b"here")), ChainID(digest_of(b"there"))
    wrong, right = entry("one", parent=there), entry("one", parent=here)
    above = entry("two", parent=wrong.record.result, over_key=wrong.record.key.digest)
    definition, content = right.record.key.digest, right.record.content_key
    offers = {definition: [wrong, right], content: [right], above.record.key.digest: [above]}
    chosen = connected([definition, content, above.record.key.digest], offers)
    assert (chosen[definition], chosen[content]) == (right, right)
