"""What a manifest names, and where that lies. Pure."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from lamina.plan.scope import normal_path

#: The text of a file, None if there is none or it is no text.
Reader = Callable[[str], str | None]

_ARCHIVES = (".whl", ".gz", ".zip", ".tgz")


class Unclear(Exception):
    """What an install reads cannot be told; the text says why."""


class More(Struct, frozen=True):
    """A further path that is read; a `folder` is needed with all below it."""

    path: str
    folder: bool = False


class Asked(Struct, frozen=True):
    """The install: its `tool`, the `words` of its command, and the absolute folder that it is started in."""

    tool: str
    words: tuple[str, ...]
    cwd: str


def beside(path: str, other: str) -> str:
    """A path that a file names, from the root."""
    return normal_path(other if other.startswith("/") else f"{path.rpartition('/')[0]}/{other}")


def named_folder(path: str, other: str) -> More:
    """A folder that a file has installed. Raises Unclear for the file's own, or one around it."""
    return named_path(path, beside(path, other))


def named_path(path: str, found: str) -> More:
    """The same by its absolute path; or an archive."""
    if path.startswith(found.rstrip("/") + "/"):
        raise Unclear(f"{path} has the project itself installed")
    return More(found, folder=not found.endswith(_ARCHIVES))
