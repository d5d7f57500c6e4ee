"""Compressed layers: read by other programs, the same every time, digests of one pass, errors of the sink."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import threading

import pytest

from lamina.diagnostics import BuildFailure
from lamina.image.compress import CompressedLayer, LayerCompressor
from lamina.image.decompress import Decompressed, detect
from lamina.oci import mediatypes

DATA = b"".join(hashlib.sha256(b"%d" % number).digest() + b"text that repeats itself " * 20 for number in range(9000))
COMPRESSIONS = mediatypes.COMPRESSIONS


def compress(compression: str, step: int = 1 << 20, level: int | None = None) -> tuple[bytes, CompressedLayer]:
    out: list[bytes] = []
    with LayerCompressor(compression, out.append, level) as compressor:
        for at in range(0, len(DATA), step):
            compressor.write(DATA[at : at + step])
        layer = compressor.finish()
    return b"".join(out), layer


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_descriptor_and_diff_id(compression: str) -> None:
    blob, layer = compress(compression)
    assert layer.descriptor.digest == "sha256:" + hashlib.sha256(blob).hexdigest()
    assert layer.descriptor.size == len(blob)
    assert mediatypes.layer_compression(layer.descriptor.media_type) == compression
    assert layer.diff_id == "sha256:" + hashlib.sha256(DATA).hexdigest()
    assert layer.tar_size == len(DATA)
    assert detect(blob[:4]) == compression


@pytest.mark.parametrize(("compression", "level"), [*((one, None) for one in COMPRESSIONS), ("gzip", 4), ("gzip", 9)])
def test_the_result_does_not_depend_on_the_pieces(compression: str, level: int | None) -> None:
    assert len({compress(compression, step, level)[0] for step in (1 << 20, 333_333, len(DATA), 5 << 20)}) == 1


@pytest.mark.parametrize("processors", [1, 2, 16])
def test_the_result_does_not_depend_on_the_number_of_threads(processors: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = compress("gzip", level=6)[0]
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    assert compress("gzip", level=6)[0] == expected


@pytest.mark.parametrize(
    ("compression", "program", "level"), [("gzip", "gzip", None), ("gzip", "gzip", 6), ("zstd", "zstd", None)]
)
def test_other_programs_read_it(compression: str, program: str, level: int | None) -> None:
    blob, _ = compress(compression, level=level)
    assert len(blob) < len(DATA) / 4
    assert subprocess.run([program, "-dc"], input=blob, capture_output=True, check=True).stdout == DATA


@pytest.mark.parametrize("level", [None, 4, 9])
def test_the_gzip_header_holds_no_time_and_no_name(level: int | None) -> None:
    assert compress("gzip", level=level)[0][:8] == b"\x1f\x8b\x08\0\0\0\0\0"


@pytest.mark.parametrize(("compression", "levels"), [("gzip", tuple(range(10))), ("zstd", (1, 3, 9))])
def test_levels(compression: str, levels: tuple[int, ...]) -> None:
    blobs = [compress(compression, level=level)[0] for level in levels]
    for blob in blobs:
        source = Decompressed(io.BytesIO(blob), compression, len(DATA))
        assert b"".join(iter(source.read, b"")) == DATA
    assert len(blobs[0]) > len(blobs[-1])


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_nothing_at_all(compression: str) -> None:
    out: list[bytes] = []
    with LayerCompressor(compression, out.append) as compressor:
        layer = compressor.finish(docker=True)
    assert layer.diff_id == "sha256:" + hashlib.sha256(b"").hexdigest()
    assert layer.descriptor.media_type == mediatypes.layer_media_type(compression, docker=True)
    assert Decompressed(io.BytesIO(b"".join(out)), compression, 0).read() == b""


def test_random_bytes_of_every_level() -> None:
    noise = os.urandom(3_000_000)
    for level in range(10):
        out: list[bytes] = []
        with LayerCompressor("gzip", out.append, level) as compressor:
            compressor.write(noise)
            compressor.finish()
        assert gzip.decompress(b"".join(out)) == noise


@pytest.mark.parametrize(("compression", "level"), [*((one, None) for one in COMPRESSIONS), ("gzip", 5)])
def test_a_full_disk_is_reported_and_leaves_no_thread(compression: str, level: int | None) -> None:
    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    before = threading.active_count()
    with pytest.raises(OSError, match="No space left"), LayerCompressor(compression, full, level) as compressor:
        for _ in range(20):
            compressor.write(DATA)
        compressor.finish()
    assert threading.active_count() <= before  # some of an earlier test may have ended


@pytest.mark.parametrize("level", [None, 9])
def test_an_interrupted_writer_leaves_no_thread(level: int | None) -> None:
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), LayerCompressor("gzip", lambda _: None, level) as compressor:
        compressor.write(DATA)
        raise KeyboardInterrupt
    assert threading.active_count() <= before  # some of an earlier test may have ended


@pytest.mark.parametrize("make", [lambda: LayerCompressor("xz", print), lambda: Decompressed(io.BytesIO(), "xz", 1)])
def test_unknown_compressions(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match="xz"):
        make()


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_the_limit_is_exact(compression: str) -> None:
    blob, _ = compress(compression)
    assert sum(map(len, iter(Decompressed(io.BytesIO(blob), compression, len(DATA)).read, b""))) == len(DATA)
    source = Decompressed(io.BytesIO(blob), compression, len(DATA) - 1)
    with pytest.raises(BuildFailure) as caught:
        list(iter(source.read, b""))
    assert caught.value.diagnostic.reference == "image-too-large"


class Dripping(io.BytesIO):
    """A stream that gives seven bytes at a time, as a slow network may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(7)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_input_in_drops(compression: str) -> None:
    blob, _ = compress(compression)
    source = Decompressed(Dripping(blob), compression, 1 << 30)
    assert b"".join(iter(source.read, b"")) == DATA


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\x5e\x2a\x4d\x18", "zstd"),
        (b"etc/", "uncompressed"),
        (b"", "uncompressed"),
    ],
)
def test_detection(start: bytes, name: str) -> None:
    assert detect(start) == name
