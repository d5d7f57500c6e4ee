"""Contexts that come as a stream: archives of all kinds, hostile ones too, and Dockerfiles alone."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from tests.support.layer_trees import directory, entry, hard_link, link, tar_of

from lamina.context.ignore_file import load_rules
from lamina.context.reader import DirectoryContext
from lamina.diagnostics import BuildFailure
from lamina.ports.layers import Limits
from lamina.workshop.archived_context import StreamedContext, read_context

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "two gzip members": lambda data: gzip.compress(data[:700]) + gzip.compress(data[700:]),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
}
FILES = tar_of(
    directory("./", mode=0o700),
    entry("./Dockerfile", data=b"FROM scratch\n", mode=0o600, mtime=1_000_000_000, uid=1234, gid=77),
    directory("./src", mode=0o2750, mtime=900_000_000),
    entry("./src/run", data=b"#!/bin/sh\n", mode=0o4755),
    link("./src/away", "/etc/passwd"),
    link("./src/up", "../../../etc"),
    hard_link("./src/same", "./src/run", mode=0o4755),
)


class Trickle(io.RawIOBase):
    """A pipe whose writer gives a few bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data, self._step = io.BytesIO(data), step

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._data.read(min(self._step, len(buffer)))
        buffer[: len(data)] = data
        return len(data)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "jail" / "context"


def read(data: bytes, into: Path, limits: Limits | None = None) -> StreamedContext:
    into.parent.mkdir()
    return read_context(io.BytesIO(data), into, "standard input", limits=limits)


def refused(data: bytes, into: Path, limits: Limits | None = None) -> str:
    """The cause of the refusal; nothing is beside `into` afterwards."""
    with pytest.raises(BuildFailure) as caught:
        read(data, into, limits)
    diagnostic = caught.value.diagnostic
    assert diagnostic.reference == "context-bad-archive"
    assert "standard input" in diagnostic.message and diagnostic.hint
    assert [path.name for path in into.parent.iterdir()] == ["context"]
    return diagnostic.cause or ""


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_an_archive_becomes_a_directory(into: Path, compression: str) -> None:
    found = read(COMPRESSIONS[compression](FILES), into)
    assert found == StreamedContext(into, None)
    assert sorted(str(path.relative_to(into)) for path in into.rglob("*")) == [
        "Dockerfile",
        "src",
        "src/away",
        "src/run",
        "src/same",
        "src/up",
    ]
    status = (into / "Dockerfile").stat()
    assert (status.st_mode & 0o7777, status.st_mtime, status.st_uid, status.st_gid) == (0o600, 1_000_000_000, 0, 0)
    status = (into / "src").stat()
    assert (status.st_mode & 0o7777, status.st_mtime) == (0o2750, 900_000_000)
    assert (into / "src" / "run").stat().st_mode & 0o7777 == 0o4755
    assert (into / "src" / "run").samefile(into / "src" / "same")
    assert os.readlink(into / "src" / "away") == "/etc/passwd"


def test_a_context_reader_reads_it(into: Path) -> None:
    read(gzip.compress(FILES), into)
    with DirectoryContext(into) as context:
        records = context.digested([record.path for record in context.entries()])
        assert [(record.path, record.kind, record.mode) for record in records] == [
            ("Dockerfile", "file", 0o600),
            ("src", "dir", 0o2750),
            ("src/away", "link", 0o777),
            ("src/run", "file", 0o4755),
            ("src/same", "file", 0o4755),
            ("src/up", "link", 0o777),
        ]
        with context.open(records[0]) as stream:
            assert stream.read() == b"FROM scratch\n"


@pytest.mark.parametrize("step", [1, 7, 511, 513])
@pytest.mark.parametrize("compression", ["plain", "gzip", "zstd"])
def test_a_slow_pipe_makes_no_difference(into: Path, compression: str, step: int) -> None:
    into.parent.mkdir()
    stream = io.BufferedReader(Trickle(COMPRESSIONS[compression](FILES), step))
    assert read_context(stream, into, "standard input").dockerfile is None
    assert (into / "Dockerfile").read_bytes() == b"FROM scratch\n"


@pytest.mark.parametrize("flags", [(), ("--gzip",), ("--bzip2",), ("--xz",), ("--format=v7",), ("--format=gnu",)])
def test_what_tar_writes_is_read(into: Path, tmp_path: Path, flags: tuple[str, ...]) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a file").write_text("x" * 100_000)
    made = subprocess.run(["tar", *flags, "-C", source, "-c", "."], capture_output=True, check=True).stdout
    assert read(made, into).dockerfile is None
    assert (into / "a file").stat().st_size == 100_000


@pytest.mark.parametrize(
    "text",
    [b"", b"FROM scratch\n", b"\n" * 600, b"\xef\xbb\xbfFROM busybox\r\nRUN true\r\n", b"# x\n" * 200_000, b"\x1f\x8b"],
    ids=["empty", "short", "blank", "bom", "long", "half a magic"],
)
def test_what_is_no_archive_is_a_dockerfile(into: Path, text: bytes) -> None:
    assert read(text, into) == StreamedContext(into, text)
    assert list(into.iterdir()) == []


def test_a_text_without_end_is_refused(into: Path) -> None:
    assert "longer than a Dockerfile" in refused(b"x" * (9 << 20), into)


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz", "zstd"])
def test_compressed_text_is_refused(into: Path, compression: str) -> None:
    assert "not a tar" in refused(COMPRESSIONS[compression](b"FROM scratch\n"), into)


@pytest.mark.parametrize(
    "data",
    [bytes(10_240), gzip.compress(bytes(10_240), mtime=0), gzip.compress(b"", mtime=0)],
    ids=["zeros", "zeros in gzip", "nothing in gzip"],
)
def test_an_empty_archive_is_refused(into: Path, data: bytes) -> None:
    assert "empty" in refused(data, into)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_truncated_archive_is_refused(into: Path, compression: str) -> None:
    data = COMPRESSIONS[compression](tar_of(entry("a", data=os.urandom(50_000)), entry("b", data=os.urandom(50_000))))
    assert refused(data[: len(data) * 2 // 3], into)


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz"])
def test_a_wrong_checksum_at_the_end_is_noticed(into: Path, compression: str) -> None:
    data = bytearray(COMPRESSIONS[compression](FILES))
    data[-8 if compression == "gzip" else -6] ^= 0xFF
    assert refused(bytes(data), into)


def test_a_damaged_header_is_noticed(into: Path) -> None:
    data = bytearray(tar_of(entry("a", data=b"a"), entry("b", data=b"b")))
    data[1024 + 150] ^= 1  # in the second header's checksum
    assert refused(bytes(data), into)


@pytest.mark.parametrize("name", ["../out", "a/../../out", "..", "/../out"])
def test_names_that_lead_out_are_refused(into: Path, name: str) -> None:
    assert "leads out" in refused(tar_of(entry(name, data=b"x")), into)


def test_absolute_names_are_below_the_context(into: Path) -> None:
    read(tar_of(entry("/etc/shadow", data=b"mine")), into)
    assert (into / "etc" / "shadow").read_bytes() == b"mine"


@pytest.mark.parametrize("target", ["/", "..", "../..", "../outside", "/etc"])
def test_nothing_is_written_through_a_link(into: Path, target: str) -> None:
    into.parent.mkdir()
    (into.parent / "outside").mkdir()
    data = tar_of(link("l", target), entry("l/lamina-was-here", data=b"x"))
    try:
        read_context(io.BytesIO(data), into, "standard input")
    except BuildFailure as failure:
        assert failure.diagnostic.reference == "context-bad-archive"
    assert list((into.parent / "outside").iterdir()) == []
    assert not (into.parent / "lamina-was-here").exists()
    assert not Path("/lamina-was-here").exists() and not Path("/etc/lamina-was-here").exists()


@pytest.mark.parametrize("target", ["../secret", "/../secret", "l/secret", "nowhere"])
def test_a_hard_link_reaches_nothing_outside(into: Path, target: str) -> None:
    into.parent.mkdir()
    (into.parent / "secret").write_text("s")
    data = tar_of(link("l", ".."), hard_link("stolen", target))
    with pytest.raises(BuildFailure):
        read_context(io.BytesIO(data), into, "standard input")
    assert not (into / "stolen").exists()


def test_a_hard_link_to_a_link_is_the_link(into: Path) -> None:
    read(tar_of(link("l", "/etc/passwd"), hard_link("h", "l")), into)
    assert (into / "h").is_symlink()


def test_device_nodes_are_passed_over(into: Path) -> None:
    read(
        tar_of(
            entry("null", tarfile.CHRTYPE, devmajor=1, devminor=3),
            entry("whiteout", tarfile.CHRTYPE),
            entry("disk", tarfile.BLKTYPE, devmajor=8),
            entry("pipe", tarfile.FIFOTYPE),
            entry("file", data=b"x"),
        ),
        into,
    )
    assert sorted(path.name for path in into.iterdir()) == ["file", "pipe"]
    assert stat.S_ISFIFO((into / "pipe").stat().st_mode)


def test_what_comes_later_replaces_what_was_there(into: Path) -> None:
    read(tar_of(link("a", "/etc"), directory("a"), entry("a/b", data=b"1"), entry("a/b", data=b"2")), into)
    assert (into / "a" / "b").read_bytes() == b"2"
    assert not (into / "a").is_symlink()


def test_names_of_whiteouts_are_plain_names(into: Path) -> None:
    read(tar_of(entry("a", data=b"a"), entry(".wh.a", data=b"b")), into)
    assert sorted(path.name for path in into.iterdir()) == [".wh.a", "a"]


def test_more_than_the_limits_is_refused(into: Path, tmp_path: Path) -> None:
    many = tar_of(*(entry(str(number)) for number in range(20)))
    assert "more than" in refused(many, into, Limits(max_layer_entries=10))
    bomb = gzip.compress(tar_of(entry("zeros", data=bytes(5 << 20))))
    assert "more than" in refused(bomb, tmp_path / "second" / "context", Limits(max_layer_bytes=1 << 20))
    tail = gzip.compress(FILES + bytes(5 << 20))
    assert "after its end" in refused(tail, tmp_path / "third" / "context", Limits(max_layer_bytes=1 << 20))


def test_a_huge_extended_header_is_refused(into: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40
    assert refused(tar_of(entry("a"))[:512] + info.tobuf(tarfile.GNU_FORMAT), into)


def test_names_too_long_for_the_file_system_are_explained(into: Path) -> None:
    assert "too long" in refused(tar_of(entry("n" * 300, data=b"x")), into).lower()


def test_ignore_rules_of_the_archive_apply(into: Path) -> None:
    read(tar_of(entry(".dockerignore", data=b"*.log\n"), entry("a.log"), entry("b")), into)
    rules = load_rules(into, into / "Dockerfile")
    with DirectoryContext(into, rules=rules) as context:
        assert [record.path for record in context.entries()] == [".dockerignore", "b"]
