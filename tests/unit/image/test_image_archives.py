"""OCI layouts and Docker archives: what is written is read again, damage and missing parts are explained."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.support.image_parts import Blobs, make_image
from tests.support.layer_trees import directory, entry, facts, hard_link, link, tar_of, workspace

from lamina.diagnostics import BuildFailure
from lamina.image.archivefiles import ImageFiles, open_image_files, read_tar_files
from lamina.image.archivesinks import DirectorySink, FileSink, TarSink
from lamina.image.dockerarchive import DockerArchive, is_docker_archive, write_docker_archive
from lamina.image.ocilayout import Layout, NamedImage, blob_path, is_layout, read_manifest, referred, write_layout
from lamina.image.unpack import Unpacker
from lamina.oci import mediatypes
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Index, Manifest, encode_manifest
from lamina.ports.layers import Limits

NAME = "docker.io/library/app:1.0"


@pytest.fixture
def layers(tmp_path: Path) -> list[Path]:
    for number in (1, 2):
        (tmp_path / f"layer{number}").mkdir()
        (tmp_path / f"layer{number}" / "file").write_text(f"{number}")
    return [tmp_path / "layer1", tmp_path / "layer2"]


@pytest.fixture
def blobs() -> Blobs:
    return Blobs()


def tar(write: Callable[[FileSink], object]) -> bytes:
    pieces: list[bytes] = []
    sink = TarSink(pieces.append)
    write(sink)
    sink.close()
    return b"".join(pieces)


def files_of(data: bytes, path: Path) -> ImageFiles:
    path.write_bytes(data)
    return open_image_files(path)


def failure(action: Callable[[], object]) -> str:
    with pytest.raises(BuildFailure) as caught:
        action()
    return caught.value.diagnostic.reference


@pytest.mark.parametrize("form", ["directory", "tar", "tar.gz", "pipe"])
def test_a_layout_is_read_as_it_was_written(tmp_path: Path, layers: list[Path], blobs: Blobs, form: str) -> None:
    root = make_image(blobs, layers)
    images = [NamedImage(root, (NAME, "example.org/app:2"))]
    if form == "directory":
        write_layout(DirectorySink(tmp_path / "out"), images, blobs)
        files = open_image_files(tmp_path / "out")
    else:
        data = tar(lambda sink: write_layout(sink, images, blobs))
        (tmp_path / "out").write_bytes(gzip.compress(data) if form == "tar.gz" else data)
        if form == "pipe":
            reading, writing = os.pipe()
            os.write(writing, data)
            os.close(writing)
            files = read_tar_files(os.fdopen(reading, "rb"))
        else:
            files = open_image_files(tmp_path / "out")
    assert is_layout(files)
    assert not is_docker_archive(files)
    layout = Layout(files)
    assert layout.images() == (NamedImage(root, (NAME, "example.org/app:2")),)
    assert {part.digest: layout.open_blob(part.digest).read() for part in referred(root, layout)} == blobs
    files.close()


def test_the_index_names_images_for_containerd_and_skopeo(tmp_path: Path, layers: list[Path], blobs: Blobs) -> None:
    write_layout(DirectorySink(tmp_path / "out"), [NamedImage(make_image(blobs, layers), (NAME,))], blobs)
    index = json.loads((tmp_path / "out/index.json").read_text())
    assert index["manifests"][0]["annotations"] == {
        "io.containerd.image.name": NAME,
        "org.opencontainers.image.ref.name": "1.0",
    }
    assert json.loads((tmp_path / "out/oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}


def test_the_same_images_give_the_same_bytes(layers: list[Path], blobs: Blobs) -> None:
    images = [NamedImage(make_image(blobs, layers), (NAME,))]
    for write in (write_layout, write_docker_archive):
        one, two = (tar(lambda sink, write=write: write(sink, images, blobs)) for _ in range(2))  # type: ignore[misc]
        assert one == two
        with tarfile.open(fileobj=io.BytesIO(one)) as archive:
            assert {(member.mtime, member.uid, member.gid, member.uname) for member in archive} == {(0, 0, 0, "")}
            assert archive.getnames()[:2] == ["blobs", "blobs/sha256"]


def test_an_index_of_several_platforms_with_shared_layers(tmp_path: Path, layers: list[Path], blobs: Blobs) -> None:
    parts = [make_image(blobs, layers), make_image(blobs, layers[:1])]
    root = blobs.add(mediatypes.OCI_INDEX, encode_manifest(Index(2, tuple(parts))))
    write_layout(DirectorySink(tmp_path / "out"), [NamedImage(root)], blobs)
    layout = Layout(open_image_files(tmp_path / "out"))
    assert layout.images() == (NamedImage(root),)
    assert {part.digest for part in referred(root, layout)} == set(blobs)
    assert failure(lambda: write_docker_archive(TarSink(len), [NamedImage(root)], blobs)) == "image-bad-archive"


def test_writing_into_a_layout_again_keeps_good_blobs_and_mends_short_ones(
    tmp_path: Path, layers: list[Path], blobs: Blobs
) -> None:
    root = make_image(blobs, layers)
    out = tmp_path / "out"
    write_layout(DirectorySink(out), [NamedImage(root)], blobs)
    (out / blob_path(root.digest)).write_bytes(b"short")
    write_layout(DirectorySink(out), [NamedImage(root, (NAME,))], blobs)
    assert (out / blob_path(root.digest)).read_bytes() == blobs[root.digest]
    assert not list(out.rglob(".new-*"))
    assert Layout(open_image_files(out)).images()[0].names == (NAME,)


@pytest.mark.parametrize("damage", [b"", b"longer ", b"changed"])
def test_a_damaged_blob_is_noticed_while_writing(
    tmp_path: Path, layers: list[Path], blobs: Blobs, damage: bytes
) -> None:
    root = make_image(blobs, layers)
    manifest = read_manifest(root, blobs)
    assert isinstance(manifest, Manifest)
    layer = manifest.layers[0].digest
    blobs[layer] = {b"": blobs[layer][:-1], b"longer ": blobs[layer] + b"x"}.get(damage, blobs[layer][:-1] + b"\xee")
    for sink in (DirectorySink(tmp_path / "out"), TarSink(len)):
        assert failure(lambda sink=sink: write_layout(sink, [NamedImage(root)], blobs)) == "image-blob-mismatch"  # type: ignore[misc]
    assert not (tmp_path / "out" / blob_path(layer)).exists()
    assert not (tmp_path / "out/index.json").exists()


def test_a_changed_manifest_is_noticed_while_reading(layers: list[Path], blobs: Blobs) -> None:
    root = make_image(blobs, layers)
    blobs[root.digest] = blobs[root.digest].replace(b"amd64", b"arm64") + b" "
    assert failure(lambda: list(referred(root, blobs))) == "image-blob-mismatch"


@pytest.mark.parametrize("case", ["missing", "no layout", "version", "index", "no json", "huge"])
def test_what_is_no_layout(tmp_path: Path, case: str) -> None:
    root = tmp_path / "x"
    if case != "missing":
        root.mkdir()
        (root / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        (root / "index.json").write_text('{"schemaVersion":2,"manifests":[]}')
    if case == "no layout":
        (root / "oci-layout").unlink()
    elif case == "version":
        (root / "oci-layout").write_text('{"imageLayoutVersion":"9"}')
    elif case == "index":
        (root / "index.json").write_text('{"schemaVersion":1}')
    elif case == "no json":
        (root / "oci-layout").write_bytes(b"\xff{")
    elif case == "huge":
        with (root / "index.json").open("wb") as file:
            file.truncate(17 << 20)
    expected = "image-too-large" if case == "huge" else "image-bad-archive"
    assert failure(lambda: Layout(open_image_files(root))) == expected


def test_a_directory_cannot_lead_out_by_links(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "x/blobs").mkdir(parents=True)
    (tmp_path / "x/blobs/sha256").symlink_to(tmp_path)
    (tmp_path / "x/oci-layout").symlink_to("../secret")
    os.mkfifo(tmp_path / "x/pipe")
    files = open_image_files(tmp_path / "x")
    for path in ("blobs/sha256/secret", "oci-layout", "../secret", "pipe", "blobs", "none"):
        assert failure(lambda path=path: files.open(path)) == "image-bad-archive"  # type: ignore[misc]
        assert not files.has(path)


def test_names_and_links_of_a_tar_stay_in_the_tar(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("outside")
    data = tar_of(
        link("a", "../secret"),
        link("b", str(tmp_path / "secret")),
        link("c", "d"),
        link("d", "c"),
        entry("./e", data=b"e"),
        link("dir/f", "../e"),
        hard_link("g", "e"),
        directory("h"),
        entry("e", data=b"newer"),
    )
    files = files_of(data, tmp_path / "x.tar")
    for path in "abcdh":
        assert not files.has(path)
    assert [files.open(path).read() for path in ("e", "dir/f", "g")] == [b"newer"] * 3


def test_parts_of_a_tar_are_read_independently(tmp_path: Path) -> None:
    contents = {f"f{number}": os.urandom(1000 * number) for number in range(400)}
    files = files_of(tar_of(*(entry(name, data=data) for name, data in contents.items())), tmp_path / "x.tar")
    first, second = files.open("f300"), files.open("f399")
    assert first.read(10) + second.read(10) == contents["f300"][:10] + contents["f399"][:10]
    assert first.read() == contents["f300"][10:]
    assert {name: files.open(name).read() for name in contents} == contents


@pytest.mark.parametrize("cut", [10, 700, 512 + 100_000, 512 + 600_000])
def test_a_truncated_tar(tmp_path: Path, cut: int) -> None:
    data = tar_of(entry("big", data=bytes(1_000_000)))
    assert failure(lambda: files_of(data[:cut], tmp_path / "x.tar")) == "image-bad-tar"


def test_a_compressed_archive_stops_at_the_limit(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(gzip.compress(tar_of(entry("big", data=bytes(1 << 20)))))
    limits = Limits(max_layer_bytes=1 << 19)
    assert failure(lambda: open_image_files(tmp_path / "x", limits)) == "image-too-large"


@pytest.mark.parametrize("compression", mediatypes.COMPRESSIONS)
def test_a_docker_archive_is_read_as_it_was_written(
    tmp_path: Path, layers: list[Path], blobs: Blobs, compression: str
) -> None:
    images = [NamedImage(make_image(blobs, layers, compression), (NAME,)), NamedImage(make_image(blobs, layers[:1]))]
    files = files_of(tar(lambda sink: write_docker_archive(sink, images, blobs)), tmp_path / "x.tar")
    assert is_layout(files)
    assert is_docker_archive(files)
    archive = DockerArchive(files)
    first, second = archive.images()
    assert (first.names, second.names) == (("app:1.0",), ())
    for path, diff_id, layer in zip(first.layers, first.config.rootfs.diff_ids, layers, strict=True):
        stream, found = archive.open_layer(path)
        assert found == compression
        work = workspace(tmp_path / diff_id)
        assert Unpacker().unpack(stream, found, work) == diff_id
        assert facts(work.upper) == facts(layer)


def test_the_older_docker_archive_with_linked_layers(tmp_path: Path, layers: list[Path], blobs: Blobs) -> None:
    manifest = read_manifest(make_image(blobs, [layers[0], layers[0]], "uncompressed"), blobs)
    assert isinstance(manifest, Manifest)
    data = tar_of(
        entry("cafe.json", data=blobs[manifest.config.digest]),
        directory("one"),
        entry("one/layer.tar", data=blobs[manifest.layers[0].digest]),
        directory("two"),
        link("two/layer.tar", "../one/layer.tar"),
        entry(
            "manifest.json",
            data=json.dumps(
                [{"Config": "cafe.json", "RepoTags": None, "Layers": ["one/layer.tar", "two/layer.tar"]}]
            ).encode(),
        ),
    )
    archive = DockerArchive(files_of(data, tmp_path / "x.tar"))
    (image,) = archive.images()
    assert image.names == ()
    assert archive.open_layer(image.layers[1])[0].read() == blobs[manifest.layers[0].digest]


@pytest.mark.parametrize(
    "table", ["[", "{}", '[{"Layers":[]}]', '[{"Config":"none","Layers":[]}]', '[{"Config":"c","Layers":["x"]}]']
)
def test_docker_archives_that_do_not_fit_together(tmp_path: Path, table: str) -> None:
    config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
    data = tar_of(entry("manifest.json", data=table.encode()), entry("c", data=config))
    assert failure(lambda: DockerArchive(files_of(data, tmp_path / "x.tar")).images()) == "image-bad-archive"


def test_a_descriptor_that_lies_about_its_size(layers: list[Path], blobs: Blobs) -> None:
    root: Descriptor = msgspec.structs.replace(make_image(blobs, layers), size=5)
    assert failure(lambda: write_layout(TarSink(len), [NamedImage(root)], blobs)) == "image-blob-mismatch"
