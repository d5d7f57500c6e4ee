"""Other people's programs judge our layers and archives, and we read theirs."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
from pathlib import Path

import pytest
from tests.support.image_parts import Blobs, make_image
from tests.support.layer_trees import Facts, facts, said, workspace

from lamina.image.archivefiles import open_image_files
from lamina.image.archivesinks import DirectorySink, TarSink
from lamina.image.diff import diff
from lamina.image.dockerarchive import DockerArchive, write_docker_archive
from lamina.image.flatten import flatten_to_tar
from lamina.image.ocilayout import Layout, NamedImage, read_manifest, write_layout
from lamina.image.unpack import Unpacker
from lamina.oci.manifest import Manifest
from lamina.oci.mediatypes import COMPRESSIONS, layer_compression

NAME = "docker.io/library/app:1.0"


def run(*argv: str | Path, data: bytes | None = None) -> bytes:
    done = subprocess.run([str(part) for part in argv], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def seconds(found: Facts) -> Facts:
    """Facts without overlayfs' marks, which are no part of a plain tree."""
    return {
        path: (*fact[:7], tuple(x for x in fact[7] if ".overlay." not in x[0]), fact[8]) for path, fact in found.items()
    }


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Everything that a layer may hold but whiteouts."""
    root = tmp_path / "tree"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/tool").write_bytes(b"#!" * 400_000)
    (root / "usr/bin/tool").chmod(0o4755)
    run("setcap", "cap_net_raw+ep", root / "usr/bin/tool")
    os.link(root / "usr/bin/tool", root / "usr/bin/again")
    (root / "link").symlink_to("usr/" + "long/" * 40)
    (root / "n" / ("d" * 200)).mkdir(parents=True)
    (root / "n" / ("d" * 200) / ("f" * 200)).write_text("long")
    Path(os.fsdecode(os.fsencode(root) + b"/bytes-\xff\xfe")).write_text("x")
    (root / "größe").write_text("ü")
    os.setxattr(root / "größe", "user.note", b"\0binary\n\xff")
    os.mkfifo(root / "pipe")
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(root / "disk", stat.S_IFBLK | 0o660, os.makedev(7, 200))
    os.chown(root / "größe", 3_000_000_000, 65_534)
    for above, names, files in os.walk(root, topdown=False):
        for name in names + files:
            os.utime(f"{above}/{name}", (1_500_000_000, 1_500_000_000), follow_symlinks=False)
    return root


def test_gnu_tar_extracts_the_same_tree(tmp_path: Path, tree: Path) -> None:
    pieces: list[bytes] = []
    diff(tree, sink=pieces.append)
    (tmp_path / "out").mkdir()
    flags = ("--xattrs", "--xattrs-include=*", "--numeric-owner", "-p")
    run("tar", "-C", tmp_path / "out", *flags, "-xf", "-", data=b"".join(pieces))
    assert facts(tmp_path / "out") == facts(tree)
    listing = run("tar", "--numeric-owner", "-tvf", "-", data=b"".join(pieces)).decode()
    assert "-rwsr-xr-x 0/0" in listing
    assert "3000000000/65534" in listing


def test_we_read_gnu_tar(tmp_path: Path, tree: Path) -> None:
    for number, form in enumerate(("gnu", "pax")):
        flags = ("--xattrs", "--xattrs-include=*") if form == "pax" else ()
        data = run("tar", "-C", tree, f"--format={form}", *flags, "-cf", "-", ".")
        work = workspace(tmp_path / str(number))
        Unpacker().unpack(io.BytesIO(data), "uncompressed", work)
        ours, theirs = facts(work.upper), facts(tree)
        if form == "gnu":
            ours, theirs = ({path: fact[:7] for path, fact in found.items()} for found in (ours, theirs))
        assert {path: fact[:8] for path, fact in ours.items()} == {path: fact[:8] for path, fact in theirs.items()}


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_skopeo_and_umoci_accept_the_layout(tmp_path: Path, tree: Path, compression: str) -> None:
    (tmp_path / "second/usr/bin").mkdir(parents=True)
    os.mknod(tmp_path / "second/null", stat.S_IFCHR, 0)
    os.setxattr(tmp_path / "second/usr/bin", "trusted.overlay.opaque", b"y")
    (tmp_path / "second/usr/bin/only").write_text("")
    blobs = Blobs()
    root = make_image(blobs, [tree, tmp_path / "second"], compression)
    write_layout(DirectorySink(tmp_path / "out"), [NamedImage(root, (NAME,))], blobs)
    shown = json.loads(run("skopeo", "inspect", f"oci:{tmp_path}/out:1.0"))
    assert shown["Digest"] == root.digest
    assert len(shown["Layers"]) == 2
    run("skopeo", "copy", "--insecure-policy", f"oci:{tmp_path}/out:1.0", f"dir:{tmp_path}/copied")
    if compression == "zstd":
        return  # umoci 0.4 does not know zstd
    run("umoci", "unpack", "--image", f"{tmp_path}/out:1.0", tmp_path / "bundle")
    unpacked = facts(tmp_path / "bundle/rootfs")
    assert "null" not in unpacked
    assert [path for path in unpacked if path.startswith("usr/bin/")] == ["usr/bin/only"]
    kept = [path for path in facts(tree) if not path.startswith("usr") and path != "null"]
    assert {path: unpacked[path] for path in kept} == {path: facts(tree)[path] for path in kept}


@pytest.mark.parametrize("form", ["oci-archive", "docker-archive"])
def test_skopeo_accepts_the_archives(tmp_path: Path, tree: Path, form: str) -> None:
    blobs = Blobs()
    images = [NamedImage(make_image(blobs, [tree]), (NAME,))]
    with (tmp_path / "x.tar").open("wb") as file:
        sink = TarSink(file.write)
        (write_layout if form == "oci-archive" else write_docker_archive)(sink, images, blobs)
        sink.close()
    run("skopeo", "copy", "--insecure-policy", f"{form}:{tmp_path}/x.tar", f"oci:{tmp_path}/copied:t")
    layout = Layout(open_image_files(tmp_path / "copied"))
    assert layout.images()[0].names == ("t",)
    manifest = read_manifest(layout.images()[0].root, layout)
    assert isinstance(manifest, Manifest)
    work = workspace(tmp_path / "w")
    layer = manifest.layers[0]
    got = Unpacker().unpack(layout.open_blob(layer.digest), layer_compression(layer.media_type), work)
    assert got == diff(tree).diff_id
    assert facts(work.upper) == facts(tree)


def test_we_read_what_skopeo_saves_for_docker(tmp_path: Path, tree: Path) -> None:
    blobs = Blobs()
    write_layout(DirectorySink(tmp_path / "out"), [NamedImage(make_image(blobs, [tree]), (NAME,))], blobs)
    target = f"docker-archive:{tmp_path}/saved.tar:app:1.0"
    run("skopeo", "copy", "--insecure-policy", f"oci:{tmp_path}/out:1.0", target)
    archive = DockerArchive(open_image_files(tmp_path / "saved.tar"))
    (image,) = archive.images()
    assert image.names in (("app:1.0",), (NAME,))
    stream, compression = archive.open_layer(image.layers[0])
    work = workspace(tmp_path / "w")
    assert Unpacker().unpack(stream, compression, work) == image.config.rootfs.diff_ids[0] == diff(tree).diff_id


def test_we_read_what_umoci_writes(tmp_path: Path, tree: Path) -> None:
    layout_path = tmp_path / "made"
    run("umoci", "init", "--layout", layout_path)
    run("umoci", "new", "--image", f"{layout_path}:t")
    run("umoci", "insert", "--image", f"{layout_path}:t", tree, "/put")
    layout = Layout(open_image_files(layout_path))
    (image,) = layout.images()
    assert image.names == ("t",)
    manifest = read_manifest(image.root, layout)
    assert isinstance(manifest, Manifest)
    work = workspace(tmp_path / "w")
    for layer in manifest.layers:
        Unpacker().unpack(layout.open_blob(layer.digest), layer_compression(layer.media_type), work)
    found = facts(work.upper / "put")
    expected = facts(tree)
    assert {path: fact[:3] for path, fact in found.items()} == {path: fact[:3] for path, fact in expected.items()}
    assert {path: fact[5:8] for path, fact in found.items()} == {path: fact[5:8] for path, fact in expected.items()}


def test_a_layer_that_the_kernel_wrote(tmp_path: Path, tree: Path) -> None:
    """Changes made through a real overlay mount: diff, unpack elsewhere, and compare what both stacks show."""
    work = workspace(tmp_path / "one", tree)
    merged = work.scratch / "merged"
    merged.mkdir()
    options = f"lowerdir={tree},upperdir={work.upper},workdir={work.work},redirect_dir=off,metacopy=off"
    run("mount", "-t", "overlay", "overlay", "-o", options, merged)
    try:
        (merged / "null").unlink()
        (merged / "größe").write_text("changed")
        run("rm", "-r", merged / "usr")
        (merged / "usr").mkdir()
        (merged / "usr/new").write_text("new")
        os.link(merged / "pipe", merged / "pipe2")
        shown = facts(merged)
    finally:
        run("umount", merged)
    pieces: list[bytes] = []
    made = diff(work.upper, sink=pieces.append)
    data = b"".join(pieces)
    names = run("tar", "-tf", "-", data=data).decode().splitlines()
    assert {".wh.null", "usr/.wh..wh..opq", "usr/new"} <= set(names)
    again = workspace(tmp_path / "two", tree)
    assert Unpacker().unpack(io.BytesIO(data), "uncompressed", again) == made.diff_id
    assert said(diff(again.upper)) == said(made)
    flat: list[bytes] = []
    flatten_to_tar((again.upper, tree), flat.append)
    (tmp_path / "flat").mkdir()
    flags = ("--xattrs", "--xattrs-include=*", "--numeric-owner", "-p")
    run("tar", "-C", tmp_path / "flat", *flags, "-xf", "-", data=b"".join(flat))
    assert seconds(facts(tmp_path / "flat")) == seconds(shown)
