"""Images of layouts as named contexts. Each test runs a process: taking an image in enters namespaces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from tests.support.oci_layouts import MadeImage, make_layout

from lamina.digest import digest_of

PROGRAM = """
import json, os, sys
from pathlib import Path
from lamina.workshop.named_contexts import LayoutImages
from lamina.workshop.wire import workshop
from lamina.diagnostics import BuildFailure
from lamina.oci.platform import parse_platform, Platform
from lamina.oci.reference import parse_reference
from lamina.store import gc

class NoRegistry:
    def resolve(self, reference, platform, *, fresh):
        raise BuildFailure("registry-not-found", f"asked for {reference}")
    def ensure(self, image, progress):
        return shop.images.ensure(image, progress)

told = {}
with workshop(Path(sys.argv[1])) as shop:
    images = LayoutImages(shop, NoRegistry())
    try:
        name = images.add(sys.argv[2])
        platform = parse_platform(sys.argv[3], default=Platform("linux", "amd64"))
        image = images.resolve(parse_reference(name), platform, fresh=False)
        again = images.resolve(parse_reference(name), platform, fresh=True)
        chain = images.ensure(image, lambda *_: None)
        told["name"], told["shown"], told["digest"] = name, image.name, image.digest
        told["same"] = image == again
        stack = shop.store.snapshots.stack(chain)
        told["files"] = sorted({str(path.relative_to(layer)) for layer in stack for path in layer.rglob("*")})
        images.resolve(parse_reference("busybox"), platform, fresh=False)
    except BuildFailure as failure:
        told["error"], told["message"] = failure.diagnostic.reference, failure.diagnostic.message
        told["hint"] = failure.diagnostic.hint
    told["names"] = [name for image in shop.store.images.list() for name in image.names]
    told["images"] = len(shop.store.images.list())
    gc.prune(shop.store)
    kept = (shop.store.layout.layers, shop.store.layout.blobs)
    told["left"] = sum(len(list(directory.iterdir())) for directory in kept)
print(json.dumps(told))
"""


def take(tmp_path: Path, text: str, platform: str = "amd64") -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "store"), text, platform],
        capture_output=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def one(tmp_path: Path) -> MadeImage:
    return make_layout(tmp_path / "layout", [{"a": b"1"}, {"b": b"2"}], tag="v1")


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """`v1` and `latest`, and `multi`: an index with an image for arm64 and one for amd64."""
    folder = tmp_path / "layout"
    first = make_layout(folder, [{"first": b"1"}], tag="v1")
    entries = json.loads((folder / "index.json").read_text())["manifests"]
    second = make_layout(folder, [{"second": b"2"}], tag="docker.io/library/x:latest")
    entries += json.loads((folder / "index.json").read_text())["manifests"]
    kind = {"mediaType": "application/vnd.oci.image.manifest.v1+json"}
    platforms = [
        {**kind, "digest": made.digest, "size": len(made.manifest), "platform": {"os": "linux", "architecture": name}}
        for made, name in ((first, "arm64"), (second, "amd64"))
    ]
    index = json.dumps({"schemaVersion": 2, "manifests": platforms}).encode()
    digest = digest_of(index)
    (folder / "blobs" / "sha256" / digest[7:]).write_bytes(index)
    entries.append(
        {
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "digest": digest,
            "size": len(index),
            "annotations": {"org.opencontainers.image.ref.name": "multi"},
        }
    )
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    return folder


@pytest.mark.parametrize("suffix", ["", ":v1", "@DIGEST"])
@pytest.mark.parametrize("prefix", ["", "oci-layout://"])
def test_the_only_image_is_taken(tmp_path: Path, one: MadeImage, prefix: str, suffix: str) -> None:
    text = f"{prefix}{one.folder}{suffix.replace('DIGEST', one.digest)}"
    found = take(tmp_path, text)
    assert found["name"].startswith("oci-layout.invalid/")
    assert found["shown"] == "oci-layout://" + text.removeprefix("oci-layout://")
    assert (found["files"], found["digest"], found["same"]) == (["a", "b"], one.digest, True)
    assert found["message"] == "asked for docker.io/library/busybox:latest"


def test_nothing_of_it_stays_when_nobody_needs_it(tmp_path: Path, one: MadeImage) -> None:
    for _ in range(2):
        found = take(tmp_path, "layout")
        assert (found["files"], found["names"], found["images"], found["left"]) == (["a", "b"], [], 1, 0)


@pytest.mark.parametrize(
    ("suffix", "platform", "files"),
    [
        ("", "amd64", ["second"]),
        (":latest", "amd64", ["second"]),
        (":v1", "amd64", ["first"]),
        (":multi", "amd64", ["second"]),
        (":multi", "arm64", ["first"]),
    ],
)
def test_one_of_several_is_taken(tmp_path: Path, several: Path, suffix: str, platform: str, files: list[str]) -> None:
    assert take(tmp_path, f"layout{suffix}", platform)["files"] == files


def test_an_image_inside_an_index_is_taken_by_its_digest(tmp_path: Path, several: Path) -> None:
    index = json.loads((several / "index.json").read_text())
    first = index["manifests"][0]["digest"]
    index["manifests"] = index["manifests"][2:]
    (several / "index.json").write_text(json.dumps(index))
    assert take(tmp_path, f"layout@{first}")["files"] == ["first"]


@pytest.mark.parametrize(
    ("text", "reference", "message"),
    [
        ("layout:v9", "image-not-in-layout", "no image v9"),
        ("layout@sha256:" + "0" * 64, "image-not-in-layout", "no image sha256:0"),
        ("layout@sha256:xyz", "usage-bad-arguments", "not an image of a layout"),
        ("oci-layout://", "usage-bad-arguments", "names no layout"),
        ("nowhere", "image-bad-archive", "there is no 'nowhere'"),
        (".", "image-bad-archive", "oci-layout"),
        ("layout:multi", "image-no-platform", "linux/s390x"),
    ],
)
def test_what_is_not_there_is_said(tmp_path: Path, several: Path, text: str, reference: str, message: str) -> None:
    found = take(tmp_path, text, "s390x")
    assert found["error"] == reference
    assert message in found["message"]
    assert found["images"] == 0


@pytest.mark.parametrize("which", ["manifest", "config", "layer"])
def test_a_damaged_blob_is_refused(tmp_path: Path, one: MadeImage, which: str) -> None:
    digest = {"manifest": one.digest, "config": one.config, "layer": one.layers[1]}[which]
    path = one.folder / "blobs" / "sha256" / digest[7:]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    found = take(tmp_path, "layout")
    assert found["error"] in ("image-blob-mismatch", "store-blob-mismatch")
    assert "oci-layout://layout" in found["message"]
    assert (found["images"], found["left"]) == (0, 0)


def test_a_layout_in_a_tar_is_read(tmp_path: Path, one: MadeImage) -> None:
    with tarfile.open(tmp_path / "layout.tar", "w") as archive:
        archive.add(one.folder, ".")
    assert take(tmp_path, "layout.tar:v1")["files"] == ["a", "b"]
