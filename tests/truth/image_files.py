"""What is in an image, read from a `docker save` archive without lamina: its files but for times, its configuration."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

_OPAQUE = ".wh..wh..opq"
_GONE = ".wh."

#: Path → type, mode, owner, content's digest or link's target.
Files = dict[str, tuple[Any, ...]]


def read(archive: Path) -> tuple[Files, dict[str, Any]]:
    """The files of the image's layers on top of each other, and what a container of it is started with."""
    with tarfile.open(archive) as outer:
        (manifest,) = json.load(_member(outer, "manifest.json"))
        config: dict[str, Any] = json.load(_member(outer, manifest["Config"]))
        files: Files = {}
        for name in manifest["Layers"]:
            with tarfile.open(fileobj=_member(outer, name)) as layer:
                _apply(files, layer)
    return files, {key: value for key, value in config["config"].items() if value}


def _member(outer: tarfile.TarFile, name: str) -> Any:
    file = outer.extractfile(name)
    assert file is not None, name
    return file


def _apply(files: Files, layer: tarfile.TarFile) -> None:
    added: Files = {}
    for member in layer:
        path = member.name.removeprefix("./").rstrip("/")
        folder, _, name = path.rpartition("/")
        if name == _OPAQUE:
            _drop(files, folder, itself=False)
        elif name.startswith(_GONE):
            _drop(files, f"{folder}/{name.removeprefix(_GONE)}".lstrip("/"), itself=True)
        else:
            added[path] = _facts(member, layer, added)
            if not member.isdir():
                _drop(files, path, itself=True)
    files.update(added)


def _facts(member: tarfile.TarInfo, layer: tarfile.TarFile, added: Files) -> tuple[Any, ...]:
    if member.islnk():
        return added[member.linkname.removeprefix("./")]
    kind = "file" if member.isreg() else member.type.decode()
    content = ""
    if member.isreg():
        file = layer.extractfile(member)
        assert file is not None
        content = hashlib.sha256(file.read()).hexdigest()
    mode = 0o777 if member.issym() else member.mode
    return kind, mode, member.uid, member.gid, content or member.linkname


def _drop(files: Files, path: str, *, itself: bool) -> None:
    below = f"{path}/" if path else ""
    for name in [name for name in files if name.startswith(below) or (itself and name == path)]:
        del files[name]
