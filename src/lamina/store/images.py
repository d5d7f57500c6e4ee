"""Images and their names. An image is its configuration: the image ID is the configuration's digest, as with Docker."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Sequence
from typing import Any

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest
from lamina.oci.reference import parse_reference
from lamina.store.index import Index

_HEX = frozenset("0123456789abcdef")
_COLUMNS = "id, platform, created, manifest, media_type, origin"


class Image(Struct, frozen=True):
    """One image in the store.

    `id` is the configuration's digest; `platform` such as `linux/amd64`; `created` when it was added (seconds since
    the epoch). `manifest` and `media_type` are those of its platform manifest if it has one; `origin` is the full
    reference under which a registry has its layers, None for an image that was never in one. `names` are full
    references, sorted.
    """

    id: Digest
    platform: str
    created: float
    manifest: Digest | None = None
    media_type: str | None = None
    origin: str | None = None
    names: tuple[str, ...] = ()


class Images:
    """Names → images. A name holds one image a platform, so that a build for two platforms keeps both bases."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def add(self, image: Image) -> None:
        """Keep an image and point all of `image.names` at it. Keeps what is known already where a field is None."""
        names = [_full(name) for name in image.names]
        with self._index.write() as connection:
            connection.execute(
                f"INSERT INTO images ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
                "manifest = coalesce(excluded.manifest, manifest), created = excluded.created, "
                "media_type = coalesce(excluded.media_type, media_type), origin = coalesce(excluded.origin, origin)",
                (image.id, image.platform, image.created, image.manifest, image.media_type, image.origin),
            )
            _point(connection, names, image.platform, image.id)

    def tag(self, source: str, name: str) -> Image:
        """Give what `source` means one more name: with a name, its images of all platforms. The new name holds nothing
        else then. Raises `store-image-missing`, `store-image-ambiguous`."""
        image = self.resolve(source)
        full, held = _full(name), _try_full(source)
        with self._index.write() as connection:
            if not connection.execute("SELECT 1 FROM images WHERE id = ?", (image.id,)).fetchone():
                raise _missing(source)
            rows = connection.execute(
                "SELECT platform, image FROM tags WHERE name = ?1 AND ?2 ORDER BY tagged", (held, held in image.names)
            ).fetchall()
            connection.execute("DELETE FROM tags WHERE name = ?", (full,))
            for platform, each in rows or [(image.platform, image.id)]:
                _point(connection, [full], platform, each)
        return self.resolve(image.id)

    def only(self, names: Sequence[str], platforms: Sequence[str]) -> None:
        """Have these names hold images of these platforms alone: what they held for others is of an older build."""
        full = [_full(name) for name in names]
        query = "SELECT name, platform FROM tags WHERE name = ?"
        held = [row for name in full for row in self._index.read(query, name)]
        older = [row for row in held if row[1] not in platforms]
        if older:
            with self._index.write() as connection:
                connection.executemany("DELETE FROM tags WHERE name = ? AND platform = ?", older)

    def untag(self, source: str) -> tuple[Image, tuple[Digest, ...]]:
        """Take away a name (for all platforms), or with an ID all its names; returns the image as it was, and the IDs
        of the images that went altogether.

        An image goes with its last name. Its blobs and layers stay until garbage collection.
        """
        image = self.resolve(source)
        name = _try_full(source)
        by_name = name in image.names
        with self._index.write() as connection:
            held = [(image.id,)]
            if by_name:
                held = connection.execute("SELECT DISTINCT image FROM tags WHERE name = ?", (name,)).fetchall()
                connection.execute("DELETE FROM tags WHERE name = ?", (name,))
            else:
                connection.execute("DELETE FROM tags WHERE image = ?", held[0])
            gone = tuple(
                one
                for (one,) in held
                if connection.execute(
                    "DELETE FROM images WHERE id = ? AND id NOT IN (SELECT image FROM tags)", (one,)
                ).rowcount
            )
            connection.executemany("DELETE FROM results WHERE image = ?", [(one,) for one in gone])
        return image, gone

    def get(self, name: str, platform: str | None = None) -> Image | None:
        """The image of a name, for a platform or the newest tagged. None for what is no name."""
        full = _try_full(name)
        if full is None:
            return None
        rows = self._index.read(
            f"SELECT {_COLUMNS} FROM images WHERE id = (SELECT image FROM tags WHERE name = ?1 "
            "AND (?2 IS NULL OR platform = ?2) ORDER BY tagged DESC LIMIT 1)",
            full,
            platform,
        )
        return self._image(rows[0]) if rows else None

    def resolve(self, text: str) -> Image:
        """The image that `text` means: an ID, a name, or the beginning of an ID (with or without `sha256:`).

        A name goes before the beginning of an ID. Raises `store-image-missing`, `store-image-ambiguous`.
        """
        prefix = text.removeprefix("sha256:")
        is_hex = bool(prefix) and len(prefix) <= 64 and _HEX.issuperset(prefix)
        if not (is_hex and len(prefix) == 64):
            image = self.get(text)
            if image is not None:
                return image
        if not is_hex:
            raise _missing(text)
        start = "sha256:" + prefix
        rows = self._index.read(f"SELECT {_COLUMNS} FROM images WHERE id >= ? AND id < ? LIMIT 2", start, start + "g")
        if not rows:
            raise _missing(text)
        if len(rows) > 1:
            raise BuildFailure(
                "store-image-ambiguous",
                f"several images have an ID that begins with {text}",
                hint="write more of the ID",
            )
        return self._image(rows[0])

    def remember_key(self, key: Digest, image_id: Digest) -> None:
        """Keep that a build with this final key made that image; the row goes with the image."""
        with self._index.write() as connection:
            connection.execute("INSERT OR REPLACE INTO results VALUES (?, ?)", (key, image_id))

    def by_key(self, key: Digest) -> Image | None:
        """The image of a final key, None if there never was one or it is gone."""
        rows = self._index.read(
            f"SELECT {_COLUMNS} FROM images WHERE id = (SELECT image FROM results WHERE key = ?)", key
        )
        return self._image(rows[0]) if rows else None

    def list(self) -> tuple[Image, ...]:
        """All images, newest first; those without a name too."""
        rows = self._index.read(f"SELECT {_COLUMNS} FROM images ORDER BY created DESC, id")
        return tuple(self._image(row) for row in rows)

    def forget_nameless(self, keep: Collection[str] = ()) -> tuple[Digest, ...]:
        """Drop images that no name points at, but for those in `keep`, and the keys that led to them; returns their
        IDs."""
        with self._index.write() as connection:
            found = connection.execute("SELECT id FROM images WHERE id NOT IN (SELECT image FROM tags)").fetchall()
            rows = [row for row in found if row[0] not in keep]
            connection.executemany("DELETE FROM images WHERE id = ?", rows)
            connection.execute("DELETE FROM results WHERE image NOT IN (SELECT id FROM images)")
        return tuple(row[0] for row in rows)

    def _image(self, row: tuple[Any, ...]) -> Image:
        names = self._index.read("SELECT DISTINCT name FROM tags WHERE image = ? ORDER BY name", row[0])
        return Image(*row, names=tuple(name for (name,) in names))  # type: ignore[misc]


def _point(connection: sqlite3.Connection, names: Sequence[str], platform: str, image: Digest) -> None:
    now = time.time()
    rows = [(name, platform, image, now) for name in names]
    connection.executemany("INSERT OR REPLACE INTO tags VALUES (?, ?, ?, ?)", rows)


def _full(name: str) -> str:
    try:
        return str(parse_reference(name))
    except ValueError as error:
        raise BuildFailure("usage-image-name", str(error), hint="a name looks like `user/app:1.0`") from error


def _try_full(text: str) -> str | None:
    try:
        return str(parse_reference(text))
    except ValueError:
        return None


def _missing(text: str) -> BuildFailure:
    return BuildFailure(
        "store-image-missing", f"no image {text!r} in the store", hint="`lamina images` lists what is there"
    )
