"""Media types of images, of the OCI kind and of Docker's (image-spec, media-types.md)."""

from __future__ import annotations

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = OCI_LAYER + "+gzip"
OCI_LAYER_ZSTD = OCI_LAYER + "+zstd"

DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = DOCKER_LAYER + ".gzip"
DOCKER_LAYER_ZSTD = DOCKER_LAYER + ".zstd"

INDEXES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})

#: How a layer blob is compressed.
COMPRESSIONS = ("uncompressed", "gzip", "zstd")
#: The highest level of each.
LEVELS = {"uncompressed": 0, "gzip": 9, "zstd": 22}

_LAYERS = {
    OCI_LAYER: "uncompressed",
    OCI_LAYER_GZIP: "gzip",
    OCI_LAYER_ZSTD: "zstd",
    DOCKER_LAYER: "uncompressed",
    DOCKER_LAYER_GZIP: "gzip",
    DOCKER_LAYER_ZSTD: "zstd",
    # Layers that registries may refuse to hold ("foreign"): same bytes, another name.
    "application/vnd.oci.image.layer.nondistributable.v1.tar": "uncompressed",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": "gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd": "zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": "gzip",
}


def layer_compression(media_type: str) -> str:
    """The compression that a layer's media type names. Raises ValueError if it names no layer."""
    try:
        return _LAYERS[media_type]
    except KeyError:
        raise ValueError(f"not the media type of a layer: {media_type!r}") from None


def layer_media_type(compression: str, *, docker: bool = False) -> str:
    """The media type of a layer with this compression, OCI's or Docker's. Raises ValueError for an unknown one."""
    table = {
        "uncompressed": (OCI_LAYER, DOCKER_LAYER),
        "gzip": (OCI_LAYER_GZIP, DOCKER_LAYER_GZIP),
        "zstd": (OCI_LAYER_ZSTD, DOCKER_LAYER_ZSTD),
    }
    try:
        return table[compression][docker]
    except KeyError:
        raise ValueError(f"unknown compression {compression!r}: one of {', '.join(table)}") from None
