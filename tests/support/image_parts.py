"""Complete small images from layer directories, for tests of archives: a blob source, a manifest, a configuration."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

from lamina.digest import Digest, digest_of
from lamina.image.compress import LayerCompressor
from lamina.image.tarwrite import write_layer
from lamina.oci import mediatypes
from lamina.oci.config import ImageConfig, RootFS, RuntimeConfig, encode_config
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Manifest, encode_manifest


class Blobs(dict[Digest, bytes]):
    """Blobs in memory, as an `ocilayout.BlobSource`."""

    def open_blob(self, digest: Digest) -> BinaryIO:
        return io.BytesIO(self[digest])

    def add(self, media_type: str, data: bytes) -> Descriptor:
        digest = digest_of(data)
        self[digest] = data
        return Descriptor(media_type, digest, len(data))


def make_image(blobs: Blobs, layers: list[Path], compression: str = "gzip") -> Descriptor:
    """An image of these layer directories, lowest first; returns its manifest's descriptor."""
    made = []
    for layer in layers:
        pieces: list[bytes] = []
        with LayerCompressor(compression, pieces.append) as compressor:
            write_layer(layer, compressor.write)
            made.append(compressor.finish())
        blobs[made[-1].descriptor.digest] = b"".join(pieces)
    config = ImageConfig(
        architecture="amd64",
        os="linux",
        rootfs=RootFS("layers", tuple(layer.diff_id for layer in made)),
        config=RuntimeConfig(cmd=("/bin/true",)),
    )
    manifest = Manifest(
        2,
        mediatypes.OCI_MANIFEST,
        blobs.add(mediatypes.OCI_CONFIG, encode_config(config)),
        tuple(layer.descriptor for layer in made),
    )
    return blobs.add(mediatypes.OCI_MANIFEST, encode_manifest(manifest))
