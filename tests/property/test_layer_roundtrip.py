"""Random layer directories: written, read by Python's tarfile, unpacked, and written again."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.layer_trees import facts, said, workspace

from lamina.image.diff import diff
from lamina.image.unpack import Unpacker

NAMES = st.one_of(
    st.sampled_from(["a", "b", "c", "a.b", "a-b", "lib"]),
    st.binary(min_size=1, max_size=12).map(
        lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"0").decode("utf-8", "surrogateescape")
    ),
    st.text("xyzäß", min_size=100, max_size=120),
).filter(lambda name: name not in (".", "..") and not name.startswith(".wh."))
OWNERS = st.sampled_from([0, 1, 1000, 2_097_151, 2_097_152, 4_294_967_294])
XATTRS = st.dictionaries(st.sampled_from(["user.a", "user.b.c"]), st.binary(max_size=40), max_size=2)
NODES = st.fixed_dictionaries(
    {
        "where": st.lists(st.integers(0, 100), max_size=4),
        "name": NAMES,
        "kind": st.sampled_from(
            ["dir", "dir", "file", "file", "file", "link", "fifo", "whiteout", "opaque", "hard", "device"]
        ),
        "content": st.one_of(st.binary(max_size=30), st.sampled_from([511, 512, 513, 300_000]).map(bytes)),
        "target": st.one_of(NAMES, st.just("/" + "t/" * 80)),
        "mode": st.integers(0, 0o7777),
        "uid": OWNERS,
        "gid": OWNERS,
        "mtime": st.one_of(st.integers(0, 4_000_000_000), st.integers(-1000, 0)),
        "xattrs": XATTRS,
    }
)


def grow(root: Path, nodes: list[dict[str, Any]]) -> None:
    """Make a tree; a name that is taken already is passed over."""
    directories = [os.fspath(root)]
    files: list[str] = []
    made: list[tuple[str, dict[str, Any], str]] = []
    for node in nodes:
        parent = directories[node["where"][0] % len(directories) if node["where"] else 0]
        path = f"{parent}/{node['name']}"
        if os.path.lexists(path) or len(os.fsencode(node["name"])) > 255:
            continue
        kind = node["kind"]
        if kind in ("dir", "opaque"):
            os.mkdir(path)
            directories.append(path)
            if kind == "opaque":
                os.setxattr(path, "trusted.overlay.opaque", b"y")
        elif kind == "file" or (kind == "hard" and not files):
            Path(path).write_bytes(node["content"])
            files.append(path)
        elif kind == "hard":
            os.link(files[0], path)
            continue
        elif kind == "link":
            os.symlink(node["target"], path)
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "device":
            os.mknod(path, stat.S_IFCHR, os.makedev(1, 3))
        else:
            os.mknod(path, stat.S_IFCHR, 0)
            continue
        made.append((path, node, kind))
    for path, node, kind in reversed(made):
        os.chown(path, node["uid"], node["gid"], follow_symlinks=False)
        if kind != "link":
            os.chmod(path, node["mode"])
        if kind in ("dir", "opaque", "file"):
            for key, value in node["xattrs"].items():
                os.setxattr(path, key, value)
    for path, node, _ in reversed(made):
        os.utime(path, (node["mtime"], node["mtime"]), follow_symlinks=False)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(NODES, max_size=25))
def test_a_layer_survives_the_way_there_and_back(nodes: list[dict[str, Any]]) -> None:
    base = Path(tempfile.mkdtemp())
    try:
        (base / "one").mkdir()
        grow(base / "one", nodes)
        pieces: list[bytes] = []
        first = diff(base / "one", sink=pieces.append)
        tar = b"".join(pieces)
        work = workspace(base / "two")
        assert Unpacker().unpack(io.BytesIO(tar), "uncompressed", work) == first.diff_id
        assert facts(work.upper) == facts(base / "one")
        assert said(diff(work.upper)) == said(first)
        assert first.diff_id == "sha256:" + hashlib.sha256(tar).hexdigest()
        _read_by_tarfile(tar, facts(base / "one"))
    finally:
        shutil.rmtree(base)


def _read_by_tarfile(tar: bytes, expected: dict[str, tuple[Any, ...]]) -> None:
    kinds = {
        stat.S_IFDIR: tarfile.DIRTYPE,
        stat.S_IFREG: tarfile.REGTYPE,
        stat.S_IFLNK: tarfile.SYMTYPE,
        stat.S_IFIFO: tarfile.FIFOTYPE,
        stat.S_IFCHR: tarfile.CHRTYPE,
    }
    with tarfile.open(fileobj=io.BytesIO(tar), errorlevel=2) as archive:
        seen = set()
        for member in archive:
            base = os.path.basename(member.name)
            if base.startswith(".wh."):
                continue
            kind, mode, owner, mtime, _, target, content, xattrs, first = expected[member.name]
            seen.add(member.name)
            assert (member.mode, (member.uid, member.gid), int(member.mtime)) == (mode, owner, mtime)
            if member.islnk():
                assert member.linkname == first
                continue
            assert member.type == kinds[kind]
            assert not member.issym() or member.linkname == target
            if member.isreg():
                stream = archive.extractfile(member)
                assert stream is not None
                assert hashlib.sha256(stream.read()).hexdigest() == content
            kept = {key for key, _ in xattrs if not key.startswith("trusted.")}
            assert {key.removeprefix("SCHILY.xattr.") for key in member.pax_headers if "xattr" in key} == kept
    assert seen == {name for name, fact in expected.items() if not (fact[0] == stat.S_IFCHR and fact[4] == 0)}
