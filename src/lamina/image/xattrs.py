"""Extended attributes: which belong to the image, and which are overlayfs' own marks in a layer directory.

An image keeps `security.capability` and `user.*`. Labels of the machine (`security.selinux`), ACLs and `trusted.*` stay
here, as with Docker. Neither namespace of overlayfs' marks ever enters or leaves a tar: a tar that could set
`user.overlay.opaque` could hide files of a lower layer from the rootless user who unpacks it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from typing import Literal, NamedTuple

from lamina.diagnostics import BuildFailure

Namespace = Literal["trusted", "user"]
Mark = Literal["", "opaque", "whiteout"]

_OVERLAY = ("user.overlay.", "trusted.overlay.")


class Found(NamedTuple):
    """A file's attributes: those that the image keeps, sorted by name, and what overlayfs says of it."""

    kept: tuple[tuple[bytes, bytes], ...]
    mark: Mark


_NOTHING = Found((), "")


def belongs_to_image(name: str) -> bool:
    """Whether an image keeps the extended attribute `name`."""
    return name == "security.capability" or (name.startswith("user.") and not name.startswith(_OVERLAY))


def opaque_name(namespace: Namespace) -> str:
    """The attribute whose value `y` makes a directory opaque."""
    return f"{namespace}.overlay.opaque"


def read_attributes(descriptor: int, namespace: Namespace) -> Found:
    """The attributes of an open file or directory of a layer.

    Raises BuildFailure `image-unsupported-layer` for marks of overlayfs features (`redirect_dir`, `metacopy`) that put
    parts of a file's content elsewhere: reading on would lose them without a word.
    """
    try:
        names = os.listxattr(descriptor)
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.ENOSYS):
            return _NOTHING
        raise
    if not names:
        return _NOTHING
    own = f"{namespace}.overlay."
    for feature in ("redirect", "metacopy"):
        if own + feature in names:
            raise BuildFailure(
                "image-unsupported-layer",
                f"a layer directory was written with overlayfs' {feature} feature, which lamina cannot read",
                hint="mount overlayfs with redirect_dir=off,metacopy=off",
            )
    mark: Mark = ""
    if own + "opaque" in names and os.getxattr(descriptor, own + "opaque") == b"y":
        mark = "opaque"
    elif own + "whiteout" in names:
        mark = "whiteout"
    kept = [(os.fsencode(name), os.getxattr(descriptor, name)) for name in names if belongs_to_image(name)]
    return Found(tuple(sorted(kept)), mark)


def set_attributes(descriptor: int, attributes: Iterable[tuple[str, bytes]]) -> None:
    """Give an open file those of the attributes that belong to an image.

    A file system without them, or a user who may not set them, is no error: Docker goes on without, too.
    """
    for name, value in attributes:
        if not belongs_to_image(name):
            continue
        try:
            os.setxattr(descriptor, name, value)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM):
                raise
