"""`--build-context NAME=oci-layout://…`: images of layouts on this machine, where FROM looks for images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from lamina.diagnostics import BuildFailure
from lamina.digest import ChainID, DiffID, Digest, parse_digest
from lamina.oci.manifest import Index
from lamina.oci.platform import Platform
from lamina.oci.reference import Reference
from lamina.ports.images import BaseImage, ImageSource
from lamina.ports.storing import Snapshot
from lamina.workshop.wire import Workshop

if TYPE_CHECKING:
    from lamina.image.ocilayout import Layout, NamedImage

PREFIX = "oci-layout://"
#: No registry has a name that ends so (RFC 2606, 2).
_REGISTRY = "oci-layout.invalid"


class _Place(Struct, frozen=True):
    """An image of a layout: `text` is what the user wrote; by `digest` if there is one, else by `tag` (empty: the only
    image, or `latest`)."""

    text: str
    path: Path
    tag: str
    digest: Digest | None


class LayoutImages:
    """A `ports.ImageSource` that also knows images of layouts, by names that `add` gives; all others are `inner`'s.

    What it takes into the store has no name there: garbage collection frees it when no cached step needs it.
    """

    def __init__(self, shop: Workshop, inner: ImageSource) -> None:
        self._shop = shop
        self._inner = inner
        self._places: dict[str, _Place] = {}
        self._taken: dict[tuple[str, Platform], BaseImage] = {}

    def add(self, text: str) -> str:
        """Know an image, written as `[oci-layout://]PATH[:TAG|@DIGEST]`; returns the name for `FROM`. The layout is
        read when it is first needed. Raises BuildFailure `usage-bad-arguments`, `image-bad-archive`."""
        place = _parsed(text)
        if not place.path.exists():
            raise BuildFailure("image-bad-archive", f"{place.text}: there is no {str(place.path)!r}")
        repository = hashlib.sha256(place.text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self._places[repository] = place
        return f"{_REGISTRY}/{repository}:latest"

    def resolve(self, reference: Reference, platform: Platform, *, fresh: bool) -> BaseImage:
        """See `ports.ImageSource`. Raises BuildFailure `image-…` as well: what is damaged is not kept."""
        if reference.registry != _REGISTRY or reference.repository not in self._places:
            return self._inner.resolve(reference, platform, fresh=fresh)
        key = reference.repository, platform
        if key not in self._taken:
            self._taken[key] = _take(self._shop, self._places[reference.repository], platform)
        return self._taken[key]

    def fetch(self, image: BaseImage, progress: Callable[[str, int, int | None], None]) -> None:
        self._inner.fetch(image, progress)

    def layer(self, parent: ChainID | None, diff_id: DiffID, name: str) -> Snapshot | None:
        return self._inner.layer(parent, diff_id, name)

    def ensure(self, image: BaseImage, progress: Callable[[str, int, int | None], None]) -> ChainID | None:
        return self._inner.ensure(image, progress)


def _parsed(text: str) -> _Place:
    rest, at, digest = text.removeprefix(PREFIX).partition("@")
    path, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        path, tag = rest, ""
    try:
        found = parse_digest(digest) if at else None
    except ValueError as error:
        raise BuildFailure("usage-bad-arguments", f"{text!r} is not an image of a layout", cause=str(error)) from None
    if not path:
        raise BuildFailure(
            "usage-bad-arguments", f"{text!r} names no layout", hint=f"write {PREFIX}PATH, PATH:TAG or PATH@DIGEST"
        )
    return _Place(PREFIX + text.removeprefix(PREFIX), Path(path), tag, found)


def _take(shop: Workshop, place: _Place, platform: Platform) -> BaseImage:
    from lamina.image.archivefiles import open_image_files
    from lamina.image.ocilayout import Layout
    from lamina.workshop.receiving import take_from_layout

    _ = shop.rung  # entered before there are threads
    try:
        with closing(open_image_files(place.path)) as files:
            layout = Layout(files)
            image = _by_digest(layout, place.digest) if place.digest else _by_tag(layout.images(), place.tag)
            return replace(take_from_layout(shop, layout, image, platform, ()), name=place.text)
    except BuildFailure as failure:
        raise failure.about(place.text) from None


def _by_tag(images: Sequence[NamedImage], tag: str) -> NamedImage:
    wanted = tag or "latest"
    # A bare tag, or a whole reference, which containerd writes.
    named = [image for image in images if any(f":{name}".endswith(f":{wanted}") for name in image.names)]
    if named or (not tag and len(images) == 1):
        return (named or images)[-1]
    raise _missing(wanted, [name for image in images for name in image.names])


def _by_digest(layout: Layout, digest: Digest) -> NamedImage:
    """The image, or the image inside an index, of that digest."""
    from lamina.image.ocilayout import NamedImage, read_manifest

    images = layout.images()
    for image in images:
        if image.root.digest == digest:
            return image
        document = read_manifest(image.root, layout)
        for entry in document.manifests if isinstance(document, Index) else ():
            if entry.digest == digest:
                return NamedImage(entry)
    raise _missing(digest, [image.root.digest for image in images])


def _missing(wanted: str, there: list[str]) -> BuildFailure:
    return BuildFailure(
        "image-not-in-layout",
        f"the layout has no image {wanted}",
        hint=f"it has: {', '.join(sorted(set(there)))}" if there else "it names none",
    )
