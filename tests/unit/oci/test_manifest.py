"""Manifests and indexes: what registries serve, what is refused, and that raw bytes keep their meaning."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.digest import Digest, digest_of
from lamina.oci import mediatypes
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Index, Manifest, decode_manifest, encode_manifest
from lamina.oci.platform import Platform

HEX = "sha256:" + "0" * 64


def described(media_type: str = mediatypes.OCI_LAYER_GZIP, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": HEX, "size": 3, **more}


def manifest(**changes: Any) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": mediatypes.OCI_MANIFEST,
        "config": described(mediatypes.OCI_CONFIG),
        "layers": [described()],
    }
    document.update(changes)
    return json.dumps({key: value for key, value in document.items() if value != "absent"}).encode()


def index(**changes: Any) -> bytes:
    entry = described(mediatypes.OCI_MANIFEST, platform={"os": "linux", "architecture": "amd64", "os.version": "1"})
    document = {"schemaVersion": 2, "mediaType": mediatypes.OCI_INDEX, "manifests": [entry]}
    document.update(changes)
    return json.dumps({key: value for key, value in document.items() if value != "absent"}).encode()


@pytest.mark.parametrize("kind", sorted(mediatypes.MANIFESTS))
def test_manifests(kind: str) -> None:
    found = decode_manifest(manifest(mediaType=kind, annotations={"a": "b"}, subject=described(), unknown=[1]))
    assert found == Manifest(
        2,
        kind,
        Descriptor(mediatypes.OCI_CONFIG, Digest(HEX), 3),
        (Descriptor(mediatypes.OCI_LAYER_GZIP, Digest(HEX), 3),),
        {"a": "b"},
    )


@pytest.mark.parametrize("kind", sorted(mediatypes.INDEXES))
def test_indexes(kind: str) -> None:
    found = decode_manifest(index(mediaType=kind))
    entry = Descriptor(mediatypes.OCI_MANIFEST, Digest(HEX), 3, Platform("linux", "amd64"))
    assert found == Index(2, (entry,), kind)


@pytest.mark.parametrize(
    ("raw", "header", "kind"),
    [
        (manifest(mediaType="absent"), "", mediatypes.OCI_MANIFEST),
        (manifest(mediaType="absent"), mediatypes.DOCKER_MANIFEST, mediatypes.DOCKER_MANIFEST),
        (manifest(mediaType="absent"), "application/json", mediatypes.OCI_MANIFEST),
        (manifest(mediaType=None), "", mediatypes.OCI_MANIFEST),
        (manifest(mediaType=""), "", mediatypes.OCI_MANIFEST),
        (manifest(), mediatypes.DOCKER_MANIFEST, mediatypes.OCI_MANIFEST),
        (manifest(annotations=None), "", mediatypes.OCI_MANIFEST),
        (manifest(layers=[described(annotations=None, platform=None)]), "", mediatypes.OCI_MANIFEST),
        (index(mediaType="absent"), "", mediatypes.OCI_INDEX),
        (index(mediaType="absent"), mediatypes.DOCKER_INDEX, mediatypes.DOCKER_INDEX),
        (index(mediaType="absent"), "text/plain", mediatypes.OCI_INDEX),
        (index(annotations=None), "", mediatypes.OCI_INDEX),
        (index(manifests=[described(platform=None)]), "", mediatypes.OCI_INDEX),
        (index(manifests=[described(platform={"os": "linux", "architecture": "arm", "variant": None})]), "",
         mediatypes.OCI_INDEX),
    ],
)  # fmt: skip
def test_the_kind_is_found(raw: bytes, header: str, kind: str) -> None:
    assert decode_manifest(raw, header).media_type == kind


def test_null_layers_are_none() -> None:
    found = decode_manifest(manifest(layers=None))
    assert isinstance(found, Manifest)
    assert found.layers == ()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "not a manifest"),
        (b"\xff", "not a manifest"),
        (b"null", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"[" * 100_000, "not a manifest"),
        (b'{"a":' * 100_000, "not a manifest"),
        (manifest(schemaVersion=1), "schemaVersion 1"),
        (manifest(schemaVersion="absent"), "schemaVersion None"),
        (manifest(schemaVersion="2"), "schemaVersion '2'"),
        (manifest(mediaType="application/vnd.oci.artifact.manifest.v1+json"), "media type"),
        (manifest(mediaType=["x"]), "media type"),
        (manifest(config="absent"), "not a manifest"),
        (manifest(layers={}), "not a manifest"),
        (manifest(layers=[5]), "not a manifest"),
        (manifest(layers=[described(size=-1)]), "size -1"),
        (manifest(layers=[described(size=1.5)]), "not a manifest"),
        (manifest(layers=[described(digest="sha256:../../etc/passwd")]), "not a sha256 digest"),
        (manifest(layers=[described(digest="sha512:" + "0" * 128)]), "not a sha256 digest"),
        (manifest(config=described(digest="")), "not a sha256 digest"),
        (manifest(manifests=[]), "could be read"),
        (index(layers=[]), "could be read"),
        (index(manifests=[described(digest="x")]), "not a sha256 digest"),
        (index(manifests="absent"), "not a manifest"),
    ],
)
def test_refused(raw: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        decode_manifest(raw)


SHORT = st.text(max_size=4)
DESCRIPTORS = st.builds(
    Descriptor,
    media_type=st.sampled_from((mediatypes.OCI_LAYER, mediatypes.DOCKER_LAYER_GZIP, "text/plain")),
    digest=st.binary(max_size=4).map(digest_of),
    size=st.integers(0, 2**62),
    platform=st.none() | st.builds(Platform, os=SHORT, architecture=SHORT, variant=SHORT),
    annotations=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
)


@given(
    st.builds(
        Manifest,
        schema_version=st.just(2),
        media_type=st.sampled_from(sorted(mediatypes.MANIFESTS)),
        config=DESCRIPTORS,
        layers=st.lists(DESCRIPTORS, max_size=3).map(tuple),
        annotations=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
    )
    | st.builds(Index, schema_version=st.just(2), manifests=st.lists(DESCRIPTORS, max_size=3).map(tuple))
)
def test_reading_what_was_written(value: Manifest | Index) -> None:
    raw = encode_manifest(value)
    assert decode_manifest(raw) == value
    assert json.loads(raw)["mediaType" if isinstance(value, Manifest) else "schemaVersion"]


MEMBERS = st.sampled_from(("schemaVersion", "mediaType", "layers", "config", "manifests", "digest"))
DOCUMENTS = st.recursive(
    st.none() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS, inner, max_size=5),
).map(lambda value: json.dumps({"schemaVersion": 2, "layers": value}).encode())


@given(st.binary(max_size=60) | DOCUMENTS)
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        decode_manifest(raw)
    except ValueError:
        pass


@pytest.mark.parametrize("compression", mediatypes.COMPRESSIONS)
@pytest.mark.parametrize("docker", [False, True])
def test_layer_media_types(compression: str, docker: bool) -> None:
    media_type = mediatypes.layer_media_type(compression, docker=docker)
    assert mediatypes.layer_compression(media_type) == compression
    assert ("docker" in media_type) is docker


def test_unknown_media_types_are_named() -> None:
    with pytest.raises(ValueError, match="text/plain"):
        mediatypes.layer_compression("text/plain")
    with pytest.raises(ValueError, match="bzip2"):
        mediatypes.layer_media_type("bzip2")
    assert mediatypes.layer_compression("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip") == "gzip"
