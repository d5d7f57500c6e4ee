"""`ports.Catalog` over the store's images: what the engine needs to know of an image that the store has."""

from __future__ import annotations

from collections.abc import Sequence

from lamina.digest import Digest
from lamina.oci.config import decode_config
from lamina.oci.manifest import Manifest, decode_manifest
from lamina.oci.mediatypes import layer_compression
from lamina.oci.platform import Platform
from lamina.oci.reference import Reference, parse_reference
from lamina.ports.images import ImageEntry
from lamina.store.blobs import Blobs
from lamina.store.images import Image, Images
from lamina.store.layerblobs import LayerBlobs


class StoreCatalog:
    """Images by reference and platform; layers' descriptors are read from the manifest that the store keeps."""

    def __init__(self, images: Images, blobs: Blobs, layer_blobs: LayerBlobs) -> None:
        self._images = images
        self._blobs = blobs
        self._layer_blobs = layer_blobs

    def find(self, reference: Reference, platform: Platform) -> ImageEntry | None:
        """See `ports.Catalog`. An image whose configuration or manifest is gone from the store counts as absent."""
        image = self._images.get(str(reference), str(platform))
        return self.entry(image) if image is not None and self._blobs.has(image.id) else None

    def entry(self, image: Image) -> ImageEntry | None:
        """An image of the store with its layers' descriptors, where it has a manifest."""
        origin = parse_reference(image.origin) if image.origin is not None else None
        if image.manifest is None:
            return ImageEntry(image.id, origin=origin)
        if not self._blobs.has(image.manifest):
            return None
        manifest = decode_manifest(self._blobs.read(image.manifest))
        layers = manifest.layers if isinstance(manifest, Manifest) else ()
        return ImageEntry(image.id, image.manifest, layers, origin)

    def note(self, key: Digest, image_id: Digest) -> None:
        """See `ports.Catalog`. A build that made nothing new writes nothing."""
        known = self._images.by_key(key)
        if known is None or known.id != image_id:
            self._images.remember_key(key, image_id)

    def made(self, key: Digest) -> ImageEntry | None:
        """See `ports.Catalog`."""
        image = self._images.by_key(key)
        return self.entry(image) if image is not None and self._blobs.has(image.id) else None

    def add(self, entry: ImageEntry, references: Sequence[Reference], created: float) -> None:
        """See `ports.Catalog`: keep the image and point the references at it.

        Its compressed layers are noted as well: an unpacked layer that others made does not give back their tar, so
        what an image came with is what it is exported with. That they are what the configuration says is not certain
        before they are unpacked.
        """
        config = decode_config(self._blobs.read(entry.image_id))
        for diff_id, layer in zip(config.rootfs.diff_ids, entry.layers, strict=False):
            self._layer_blobs.add(diff_id, layer_compression(layer.media_type), layer, checked=False)
        self._images.add(
            Image(
                id=entry.image_id,
                platform=str(config.platform),
                created=created,
                manifest=entry.manifest,
                origin=str(entry.origin) if entry.origin is not None else None,
                names=tuple(str(reference) for reference in references),
            )
        )
