"""OCI image layouts, written and read (image-spec, image-layout.md): `oci-layout`, `index.json`, `blobs/sha256/…`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Protocol

import msgspec
from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest, digest_of
from lamina.image.archivefiles import ImageFiles
from lamina.image.archivesinks import FileSink
from lamina.oci import mediatypes
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Index, Manifest, decode_manifest, encode_manifest
from lamina.oci.reference import parse_reference

REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"

_VERSION = b'{"imageLayoutVersion":"1.0.0"}'
_CHUNK = 1 << 20
#: The longest manifest, index or configuration that is read, in bytes; registries allow 4 MiB.
_MAX_DOCUMENT = 16 << 20


class BlobSource(Protocol):
    """Where blobs come from: a store, a layout."""

    def open_blob(self, digest: Digest) -> BinaryIO: ...


class NamedImage(Struct, frozen=True):
    """An image to write or that was found: `root` points at its manifest or index, `names` are full references.

    A layout that others wrote may have a bare tag for a name.
    """

    root: Descriptor
    names: tuple[str, ...] = ()


def write_layout(sink: FileSink, images: Sequence[NamedImage], blobs: BlobSource) -> None:
    """Write images with all that they refer to. The same images give the same bytes.

    Raises BuildFailure `image-blob-mismatch` if a blob is not what its descriptor says, ValueError for a bad name.
    """
    wanted: dict[Digest, Descriptor] = {}
    for image in images:
        for descriptor in referred(image.root, blobs):
            wanted.setdefault(descriptor.digest, descriptor)
    for digest in sorted(wanted):
        sink.add(blob_path(digest), wanted[digest].size, _checked(wanted[digest], blobs))
    index = encode_manifest(Index(2, tuple(entry for image in images for entry in _index_entries(image))))
    sink.add("index.json", len(index), [index])
    sink.add("oci-layout", len(_VERSION), [_VERSION])


def blob_path(digest: Digest) -> str:
    """Where a blob lies in a layout."""
    return "blobs/" + digest.replace(":", "/")


def referred(root: Descriptor, blobs: BlobSource) -> Iterator[Descriptor]:
    """`root` and everything that it refers to, through indexes and manifests down to layers."""
    yield root
    if root.media_type not in mediatypes.INDEXES | mediatypes.MANIFESTS:
        return
    document = read_manifest(root, blobs)
    if isinstance(document, Manifest):
        yield document.config
        yield from document.layers
    else:
        for entry in document.manifests:
            yield from referred(entry, blobs)


def read_manifest(descriptor: Descriptor, blobs: BlobSource) -> Manifest | Index:
    """A manifest or index. Raises BuildFailure `image-bad-archive`, `image-blob-mismatch`."""
    raw = read_document(descriptor, blobs)
    try:
        return decode_manifest(raw, descriptor.media_type)
    except ValueError as error:
        raise BuildFailure("image-bad-archive", f"cannot read {descriptor.digest}", cause=str(error)) from error


def read_document(descriptor: Descriptor, blobs: BlobSource) -> bytes:
    """A small blob, whole and verified. Raises BuildFailure `image-blob-mismatch`, `image-too-large`."""
    raw = read_bounded(blobs.open_blob(descriptor.digest), descriptor.digest)
    if digest_of(raw) != descriptor.digest or len(raw) != descriptor.size:
        raise _mismatch(descriptor)
    return raw


def read_bounded(stream: BinaryIO, name: str) -> bytes:
    """A JSON document from a stream, which is closed. Raises BuildFailure `image-too-large` above 16 MiB."""
    with stream:
        raw = stream.read(_MAX_DOCUMENT + 1)
    if len(raw) > _MAX_DOCUMENT:
        raise BuildFailure("image-too-large", f"{name} is larger than {_MAX_DOCUMENT} bytes, too large for JSON")
    return raw


class Layout:
    """A layout to read; a `BlobSource`. Raises BuildFailure `image-bad-archive` if `files` is none."""

    def __init__(self, files: ImageFiles) -> None:
        self._files = files
        version = _json(files, "oci-layout")
        if not isinstance(version, dict) or version.get("imageLayoutVersion") != "1.0.0":
            raise BuildFailure("image-bad-archive", "the OCI layout has a version that lamina does not read")
        try:
            index = decode_manifest(read_bounded(files.open("index.json"), "index.json"), mediatypes.OCI_INDEX)
        except ValueError as error:
            raise BuildFailure("image-bad-archive", "cannot read index.json", cause=str(error)) from error
        self._entries = index.manifests if isinstance(index, Index) else ()

    def images(self) -> tuple[NamedImage, ...]:
        """The images in the order of the index, one for each digest, with the names that the index gives them."""
        names: dict[Digest, list[str]] = {}
        roots: dict[Digest, Descriptor] = {}
        for entry in self._entries:
            name = entry.annotations.get(CONTAINERD_NAME) or entry.annotations.get(REF_NAME)
            roots.setdefault(entry.digest, msgspec.structs.replace(entry, annotations={}))
            names.setdefault(entry.digest, []).extend([name] if name else [])
        return tuple(NamedImage(root, tuple(names[digest])) for digest, root in roots.items())

    def open_blob(self, digest: Digest) -> BinaryIO:
        """A blob's bytes, not verified: whoever stores them does that. Raises BuildFailure `image-bad-archive`."""
        return self._files.open(blob_path(digest))


def is_layout(files: ImageFiles) -> bool:
    return files.has("oci-layout") and files.has("index.json")


def _index_entries(image: NamedImage) -> Iterator[Descriptor]:
    if not image.names:
        yield image.root
    for name in image.names:
        reference = parse_reference(name)
        annotations = {CONTAINERD_NAME: str(reference)}
        if reference.tag:
            annotations[REF_NAME] = reference.tag
        yield msgspec.structs.replace(image.root, annotations=annotations)


def _checked(descriptor: Descriptor, blobs: BlobSource) -> Iterator[bytes]:
    """A blob's bytes; fails at the end if they were not what the descriptor says, and never gives more than it says."""
    digest, size = hashlib.sha256(), 0
    with blobs.open_blob(descriptor.digest) as stream:
        while piece := stream.read(_CHUNK):
            size += len(piece)
            if size > descriptor.size:
                break
            digest.update(piece)
            yield piece
    if size != descriptor.size or "sha256:" + digest.hexdigest() != descriptor.digest:
        raise _mismatch(descriptor)


def _mismatch(descriptor: Descriptor) -> BuildFailure:
    return BuildFailure(
        "image-blob-mismatch",
        f"the blob {descriptor.digest} is not what its name and size ({descriptor.size} bytes) say",
        hint="it was damaged; fetch or build the image again",
    )


def _json(files: ImageFiles, path: str) -> object:
    try:
        value: object = msgspec.json.decode(read_bounded(files.open(path), path))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BuildFailure("image-bad-archive", f"cannot read {path}", cause=str(error)) from error
    return value
