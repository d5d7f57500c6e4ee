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
from tests.support.layer_making import DirectoryReader, Tree, describe, grow, merged, placement, workspace

from lamina.diagnostics import BuildFailure
from lamina.image.layerio import Layers
from lamina.ports.layers import Limits
from lamina.ports.storing import Workspace

Entry = tuple[str, bytes | str | None] | tarfile.TarInfo


def tar(*entries: Entry, **header: object) -> bytes:
    """A tar of files (bytes), links (`->x`), hard links (`=>x`), directories (None) and ready headers."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            data = b""
            if isinstance(entry, tarfile.TarInfo):
                info = entry
            else:
                info = tarfile.TarInfo(entry[0])
                what = entry[1]
                info.mode, info.mtime = 0o644, 1_000_000_000
                if what is None:
                    info.type, info.mode = tarfile.DIRTYPE, 0o755
                elif isinstance(what, bytes):
                    data, info.size = what, len(what)
                else:
                    info.type = tarfile.SYMTYPE if what.startswith("->") else tarfile.LNKTYPE
                    info.linkname = what[2:]
            for name, value in header.items():
                setattr(info, name, value)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def member(name: str, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


class Bench:
    def __init__(self, tmp_path: Path, data: bytes, *layers: Tree, limits: Limits | None = None) -> None:
        self.reader = DirectoryReader(grow(tmp_path / "context", {"a.tar": data}))
        below = [grow(tmp_path / f"layer{number}", tree) for number, tree in enumerate(layers)]
        self.work: Workspace = workspace(tmp_path / "work", *below)
        self.layers = Layers(limits=limits)

    def add(
        self, dest: str = "/app", owner: tuple[int, int] | None = None, chmod: str = ""
    ) -> dict[str, tuple[object, ...]]:
        group = self.reader.select("a.tar")
        self.layers.place(self.work, placement(dest, group, owner=owner, chmod=chmod, unpack=True), self.reader)
        return merged(self.work)

    def fails(self, dest: str = "/app") -> BuildFailure:
        with pytest.raises(BuildFailure) as caught:
            self.add(dest)
        return caught.value


@pytest.mark.parametrize(
    "compress", [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress]
)
def test_archives_are_known_by_their_content(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    data = os.urandom(300_000)
    bench = Bench(tmp_path, compress(tar(("d/f", data), ("d/l", "->f"), ("d/h", "=>d/f"))))
    tree = bench.add("/new/app")
    assert tree["new/app/d/f"][3] == data
    assert tree["new/app/d/l"][3] == "f"
    assert (bench.work.upper / "new/app/d/h").stat().st_nlink == 2
    assert (bench.work.upper / "new/app/d/f").stat().st_mtime == 1_000_000_000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        bytes(10240),
        gzip.compress(b"not a tar", mtime=0),
        gzip.compress(b"", mtime=0),
        b"\x1f\x8b\x08 cut",
        b"BZh9 nonsense",
        b"\xfd7zXZ\x00 nonsense",
        b"\x28\xb5\x2f\xfd nonsense",
        bz2.compress(b"text" * 1000),
    ],
)
def test_anything_else_is_copied_as_the_file_that_it_is(tmp_path: Path, data: bytes) -> None:
    assert Bench(tmp_path, data).add("/app/")["app/a.tar"][3] == data
    assert Bench(tmp_path / "2", data).add("/file")["file"][3] == data


def test_copy_never_unpacks(tmp_path: Path) -> None:
    data = tar(("f", b"1"))
    bench = Bench(tmp_path, data)
    Layers().place(bench.work, placement("/f", bench.reader.select("a.tar")), bench.reader)
    assert (bench.work.upper / "f").read_bytes() == data


def test_owners_and_modes(tmp_path: Path) -> None:
    data = tar(("d", None), ("d/f", b""), ("./", None), mode=0o4711, uid=7, gid=8)
    tree = Bench(tmp_path, data).add()
    assert tree["app"][:3] == (stat.S_IFDIR | 0o755, 0, 0)
    assert tree["app/d"][:3] == (stat.S_IFDIR | 0o4711, 7, 8)
    assert tree["app/d/f"][:3] == (stat.S_IFREG | 0o4711, 7, 8)
    tree = Bench(tmp_path / "2", data).add("/new/app", owner=(1, 2), chmod="600")
    assert tree["new"][:3] == tree["new/app"][:3] == (stat.S_IFDIR | 0o755, 1, 2)
    assert tree["new/app/d"][:3] == (stat.S_IFDIR | 0o4711, 1, 2)
    tree = Bench(tmp_path / "3", data).add(owner=(1, 2), chmod="u=,go-rwx")
    assert tree["app/d/f"][:3] == (stat.S_IFREG | 0o4711, 1, 2)


def test_missing_parents_and_times_of_directories(tmp_path: Path) -> None:
    bench = Bench(tmp_path, tar(("x/y/f", b""), ("d", None), ("d/f", b"")))
    tree = bench.add(owner=(3, 3))
    assert tree["app"][1:3] == tree["app/x/y/f"][1:3] == tree["app/d"][1:3] == (3, 3)
    assert tree["app/x"][:3] == tree["app/x/y"][:3] == (stat.S_IFDIR | 0o755, 0, 0)
    assert (bench.work.upper / "app/d").stat().st_mtime == 1_000_000_000


def test_nanoseconds_and_attributes_from_pax(tmp_path: Path) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    headers = {
        "mtime": "1000000000.123456789",
        "SCHILY.xattr.security.capability": capability.decode("utf-8", "surrogateescape"),
        "SCHILY.xattr.user.a": "b",
        "SCHILY.xattr.user.overlay.opaque": "y",
        "SCHILY.xattr.trusted.overlay.redirect": "/etc",
    }
    bench = Bench(tmp_path, tar(member("f", pax_headers=headers)))
    bench.add()
    path = bench.work.upper / "app/f"
    assert path.stat().st_mtime_ns == 1_000_000_000_123_456_789
    assert sorted(os.listxattr(path)) == ["security.capability", "user.a"]
    assert os.getxattr(path, "security.capability") == capability


def test_what_exists_gives_way_and_directories_merge(tmp_path: Path) -> None:
    below: Tree = {"app/f": b"old", "app/d/kept": b"kept", "app/wasdir/x": b"", "app/wasfile": b"", "app/l": "->f"}
    entries: list[Entry] = [("f", b"new"), ("d", None), ("wasdir", b"file"), ("wasfile", None), ("wasfile/y", b"")]
    tree = Bench(tmp_path, tar(*entries, ("l", None)), below).add()
    assert tree["app/f"][3] == b"new"
    assert {"app/d/kept", "app/wasfile/y"} <= set(tree)
    assert tree["app/wasdir"][3] == b"file"
    assert stat.S_ISDIR(tree["app/l"][0])  # type: ignore[arg-type]


def test_a_directory_that_was_a_file_meanwhile_shows_nothing_old(tmp_path: Path) -> None:
    data = tar(("d/new1", b""), ("d", b"file"), ("d", None), ("d/new2", b""))
    assert set(Bench(tmp_path, data, {"app/d/old": b""}).add()) == {"app", "app/d", "app/d/new2"}


def test_a_link_that_is_replaced_by_a_directory_is_no_longer_followed(tmp_path: Path) -> None:
    data = tar(("lib/a", b"1"), ("lib", None), ("lib/b", b"2"))
    tree = Bench(tmp_path, data, {"app/lib": "->usr/lib", "app/usr/lib": None}).add()
    assert tree["app/usr/lib/a"][3] == b"1"
    assert tree["app/lib/b"][3] == b"2"
    assert "app/usr/lib/b" not in tree


def test_members_follow_directory_links_inside_the_destination(tmp_path: Path) -> None:
    data = tar(("lib/x", b"1"), ("made", "->usr"), ("made/y", b"2"))
    tree = Bench(tmp_path, data, {"lib": "->usr/lib", "usr/lib": None}).add("/")
    assert tree["usr/lib/x"][3] == b"1"
    assert tree["usr/y"][3] == b"2"


@pytest.mark.parametrize("target", ["/etc", "../etc", "../../../../../../etc", "/app/../../etc"])
def test_no_link_leads_out_of_the_destination(tmp_path: Path, target: str) -> None:
    bench = Bench(tmp_path, tar(("l", "->" + target), ("l/passwd", b"evil")), {"etc/passwd": b"good"})
    tree = bench.add()
    assert tree["etc/passwd"][3] == b"good"
    (landed,) = (path for path, what in tree.items() if what[3] == b"evil")
    assert landed.startswith("app/")


def test_absolute_names_land_inside(tmp_path: Path) -> None:
    assert Bench(tmp_path, tar(("/etc/f", b"1"), ("a/../b", b"2"))).add().keys() >= {"app/etc/f", "app/b"}


@pytest.mark.parametrize(
    "entries",
    [
        [("../f", b"")],
        [("a/../../f", b"")],
        [("f", "=>../../etc/passwd")],
        [("f", "=>missing")],
        [("f", b""), ("f", "=>f")],
        [("d", None), ("f", "=>d")],
        [("ok", b""), member("f", type=b"V")],
        [("ok", b""), member("f", uid=(1 << 32) - 1)],
        [("ok", b""), member("f", pax_headers={"mtime": "9" * 30})],
        [("ok", b""), member("f", pax_headers={"mtime": "inf"})],
        [("ok", b""), member("f", pax_headers={"path": "a\0b"})],
    ],
)
def test_hostile_members_are_refused(tmp_path: Path, entries: list[Entry]) -> None:
    bench = Bench(tmp_path, tar(*entries), {"etc/passwd": b"good"})
    failure = bench.fails()
    assert failure.diagnostic.reference == "step-add-archive"
    assert failure.diagnostic.cause
    assert describe(tmp_path / "layer0")["etc/passwd"][3] == b"good"


def test_a_device_that_would_delete_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path, tar(("ok", b""), member("f", type=tarfile.CHRTYPE)), {"app/f": b"below"})
    assert bench.fails().exit_code == 5
    assert merged(bench.work)["app/f"][3] == b"below"


def test_devices_and_fifos(tmp_path: Path) -> None:
    null = member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
    tree = Bench(tmp_path, tar(null, member("pipe", type=tarfile.FIFOTYPE, mode=0o600))).add()
    assert tree["app/null"] == (stat.S_IFCHR | 0o666, 0, 0, os.makedev(1, 3))
    assert tree["app/pipe"][0] == stat.S_IFIFO | 0o600


def test_a_hard_link_to_a_file_of_a_lower_layer(tmp_path: Path) -> None:
    bench = Bench(tmp_path, tar(("h", "=>d/old"), ("hl", "=>l")), {"app/d/old": b"old", "app/l": "->/x"})
    os.chown(tmp_path / "layer0/app/d/old", 5, 6)
    tree = bench.add(owner=(7, 8))
    assert tree["app/h"] == tree["app/d/old"] == (stat.S_IFREG | 0o644, 7, 8, b"old")
    assert tree["app/hl"][3] == "/x"
    assert (bench.work.upper / "app/h").stat().st_nlink == 2
    assert (bench.work.upper / "app/h").stat().st_mtime == 1_000_000_000
    assert describe(tmp_path / "layer0")["app/d/old"][1:3] == (5, 6)


def test_the_header_of_a_hard_link_has_its_say(tmp_path: Path) -> None:
    link = member("h", type=tarfile.LNKTYPE, linkname="f", mode=0o4700, uid=9, gid=9, mtime=5)
    bench = Bench(tmp_path, tar(("f", b"1"), link))
    assert bench.add()["app/f"][:3] == (stat.S_IFREG | 0o4700, 9, 9)
    assert (bench.work.upper / "app/f").stat().st_mtime == 5


def test_a_hard_link_takes_no_capabilities_away(tmp_path: Path) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    headers = {"SCHILY.xattr.security.capability": capability.decode("utf-8", "surrogateescape")}
    bench = Bench(tmp_path, tar(member("f", pax_headers=headers), member("h", type=tarfile.LNKTYPE, linkname="f")))
    bench.add()
    assert os.getxattr(bench.work.upper / "app/h", "security.capability") == capability


def damaged_middle(data: bytes) -> bytes:
    broken = bytearray(data)
    broken[1024:1100] = b"?" * 76
    return bytes(broken)


@pytest.mark.parametrize(
    "damage",
    [
        damaged_middle,
        lambda data: data[:1100],
        lambda data: data[:1300],
        lambda data: gzip.compress(data)[:-20_000],
        lambda data: bz2.compress(data)[:-20_000],
        lambda data: lzma.compress(data)[:-20_000],
        lambda data: zstandard.ZstdCompressor().compress(data)[:-20_000],
    ],
)
def test_damage_is_never_passed_over(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    bench = Bench(tmp_path, damage(tar(("f", b"1"), ("g", os.urandom(2_500_000)))))
    assert bench.fails().diagnostic.reference == "step-add-archive"


@pytest.mark.parametrize("mtime", ["-1", "-1000.5", "9223372036.999999999", "99999999999"])
def test_times_that_cannot_be_told_are_1970(tmp_path: Path, mtime: str) -> None:
    bench = Bench(tmp_path, tar(member("f", pax_headers={"mtime": mtime})))
    bench.add()
    assert (bench.work.upper / "app/f").stat().st_mtime_ns == 0


def test_a_bomb_of_bytes_is_refused_before_it_is_written(tmp_path: Path) -> None:
    bomb = gzip.compress(tar(("ok", b"1"), ("zeros", bytes(64 << 20))))
    assert len(bomb) < 1 << 17
    bench = Bench(tmp_path, bomb, limits=Limits(max_layer_bytes=1 << 20))
    diagnostic = bench.fails().diagnostic
    assert diagnostic.reference == "image-too-large"
    assert str(1 << 20) in (diagnostic.cause or "")
    assert diagnostic.hint
    assert not (bench.work.upper / "app/zeros").exists()


def test_a_bomb_of_entries_is_refused(tmp_path: Path) -> None:
    many = tar(*[(f"f{number}", b"") for number in range(11)])
    diagnostic = Bench(tmp_path, many, limits=Limits(max_layer_entries=10)).fails().diagnostic
    assert diagnostic.reference == "image-too-large"
    assert "10 entries" in (diagnostic.cause or "")


def pax(kind: bytes, data: bytes) -> bytes:
    """An extended header with its data."""
    return member("x", type=kind, size=len(data)).tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512)


def record(name: str, value: str) -> bytes:
    line = f" {name}={value}\n".encode()
    size = len(line) + 1
    while len(str(size)) + len(line) != size:
        size = len(str(size)) + len(line)
    return str(size).encode() + line


SPARSE = record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0") + record("GNU.sparse.realsize", "1")


@pytest.mark.parametrize(
    "headers",
    [
        pax(tarfile.XHDTYPE, record("comment", "x")) * 2000,
        pax(tarfile.XGLTYPE, record("comment", "x")) * 2000,
        pax(tarfile.GNUTYPE_LONGNAME, b"name") * 2000,
        pax(tarfile.XHDTYPE, record("comment", "x" * 1_000_000)) * 9,
        pax(tarfile.XHDTYPE, SPARSE) + member("f").tobuf() + b"9999999\n" + b"0\n" * (5 << 20),
        pax(tarfile.XHDTYPE, SPARSE) + member("f").tobuf() + bytes(512),
    ],
)
def test_headers_that_do_not_end(tmp_path: Path, headers: bytes) -> None:
    data = headers + tar(("f", b""))
    assert Bench(tmp_path / "1", tar(("ok", b""))[:512] + data).fails().diagnostic.reference == "step-add-archive"
    assert Bench(tmp_path / "2", data).add("/file")["file"][3] == data


def test_global_headers_say_nothing(tmp_path: Path) -> None:
    data = pax(tarfile.XGLTYPE, record("path", "evil") + record("uid", "99") + record("comment", "commit"))
    assert Bench(tmp_path, data + tar(("f", b"1"))).add()["app/f"] == (stat.S_IFREG | 0o644, 0, 0, b"1")


def test_a_header_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    header = member("x", type=tarfile.XHDTYPE, size=1 << 33).tobuf(tarfile.GNU_FORMAT)
    bench = Bench(tmp_path, tar(("f", b""))[:512] + header + bytes(4096))
    assert "header" in (bench.fails().diagnostic.cause or "")


def test_trees_deeper_than_pythons_stack(tmp_path: Path) -> None:
    deep = "/".join(["d"] * 1500)
    bench = Bench(tmp_path, tar((deep, None), ("d", b"flat again")))
    assert bench.add()["app/d"][3] == b"flat again"


def test_paths_longer_than_any_process_can_use(tmp_path: Path) -> None:
    bench = Bench(tmp_path, tar(("/".join(["d"] * 3000), b"")))
    assert bench.fails().diagnostic.reference == "step-copy-name-too-long"


def test_what_gnu_tar_writes(tmp_path: Path) -> None:
    source = grow(
        tmp_path / "source", {os.fsdecode(b"caf\xe9"): b"1", "long/" + "n" * 200: b"2", "l": "->" + "t" * 150}
    )
    with (source / "sparse").open("wb") as stream:
        stream.seek(10 << 20)
        stream.write(b"end")
    for form in ("gnu", "pax", "ustar", "v7"):
        archive = tmp_path / f"{form}.tar"
        skip = ["--exclude=./long", "--exclude=./l"] if form in ("v7", "ustar") else []
        flags = ["-S"] if form in ("gnu", "pax") else []
        subprocess.run(["tar", f"--format={form}", *skip, *flags, "-cf", archive, "-C", source, "."], check=True)
        bench = Bench(tmp_path / form, archive.read_bytes())
        tree = bench.add()
        want = {f"app/{path}": what for path, what in describe(source).items() if not skip or path[0] != "l"}
        assert {path: what for path, what in tree.items() if path != "app"} == want
        if flags:
            assert (bench.work.upper / "app/sparse").stat().st_blocks * 512 < 1 << 20
