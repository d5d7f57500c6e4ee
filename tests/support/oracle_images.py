"""A whole image read from a `docker save` archive, and how two of them differ. Only the standard library reads it.

Layers are flattened here by the rules of the image specification, so neither builder's own code is trusted.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from posixpath import normpath
from typing import Any

KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "dir",
    tarfile.SYMTYPE: "link",
    tarfile.LNKTYPE: "hard",
    tarfile.CHRTYPE: "char",
    tarfile.BLKTYPE: "block",
    tarfile.FIFOTYPE: "fifo",
}
#: A time this near is that of the build, which is another one on either side.
RECENT = 86_400.0
Config = dict[str, Any]


@dataclass
class Entry:
    """What a path is in the end. `mtime` is 0 for the time of the build; `same` is the group of hard links."""

    kind: str
    mode: str
    uid: int
    gid: int
    text: str
    link: str
    xattrs: dict[str, str]
    mtime: int
    device: tuple[int, int]
    same: tuple[str, ...] = ()


@dataclass
class Image:
    """`config` is the whole configuration; `layers` what each layer really changes, directories left aside: `path`, or
    `-path` for one that is gone. However a builder writes it: a file that is the same again changes nothing."""

    config: Config
    layers: list[list[str]]
    files: dict[str, Entry]


def read_image(archive: Path | bytes) -> Image:
    """Read an archive of one image."""
    stream = io.BytesIO(archive if isinstance(archive, bytes) else archive.read_bytes())
    with tarfile.open(fileobj=stream) as outer:

        def member(name: str) -> bytes:
            found = outer.getmember(name)
            # A layer that stands twice in the archive is a link the second time.
            if found.issym():
                found = outer.getmember(str(Path(name).parent.parent / found.linkname.lstrip("./")))
            data = outer.extractfile(found)
            assert data is not None
            return data.read()

        (manifest,) = json.loads(member("manifest.json"))
        config = json.loads(member(manifest["Config"]))
        files: dict[str, Entry] = {}
        layers = [_apply(member(name), files) for name in manifest["Layers"]]
    _group_links(files)
    return Image(config, layers, files)


def _apply(data: bytes, files: dict[str, Entry]) -> list[str]:
    """Lay one layer over `files`; returns what it changes."""
    before, new = dict(files), {}
    with tarfile.open(fileobj=io.BytesIO(data)) as layer:
        for member in layer:
            path = normpath("/" + member.name)
            folder, name = path.rsplit("/", 1)
            if name == ".wh..wh..opq":
                _remove(files, folder, keep=True)
            elif name.startswith(".wh."):
                _remove(files, f"{folder}/{name.removeprefix('.wh.')}", keep=False)
            elif path != "/":
                new[path] = _entry(layer, member)
    for path, entry in new.items():
        if entry.kind != "dir" or files.get(path, entry).kind != "dir":
            _remove(files, path, keep=False)
        files[path] = files[normpath("/" + entry.link)] if entry.kind == "hard" else entry
    changed = [path for path, entry in files.items() if entry != before.get(path) and entry.kind != "dir"]
    gone = [f"-{path}" for path, entry in before.items() if path not in files and entry.kind != "dir"]
    return sorted(changed + gone)


def _remove(files: dict[str, Entry], path: str, *, keep: bool) -> None:
    below = path.rstrip("/") + "/"
    for each in [each for each in files if each.startswith(below) or (each == path and not keep)]:
        del files[each]


def _entry(layer: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    data = layer.extractfile(member) if member.isreg() else None
    prefix = "SCHILY.xattr."
    return Entry(
        kind=KINDS[member.type],
        mode=f"{member.mode & 0o7777:o}",
        uid=member.uid,
        gid=member.gid,
        text=data.read().decode(errors="backslashreplace") if data else "",
        link=member.linkname,
        xattrs={key.removeprefix(prefix): value for key, value in member.pax_headers.items() if key.startswith(prefix)},
        mtime=0 if abs(member.mtime - time.time()) < RECENT else int(member.mtime),
        device=(member.devmajor, member.devminor) if member.ischr() or member.isblk() else (0, 0),
    )


def _group_links(files: dict[str, Entry]) -> None:
    groups: dict[int, list[str]] = {}
    for path, entry in files.items():
        groups.setdefault(id(entry), []).append(path)
    for path, entry in files.items():
        group = groups[id(entry)]
        entry.same = tuple(sorted(group)) if len(group) > 1 else ()
        assert path in group


# --- comparing -------------------------------------------------------------------------------------------------------
def differences(docker: Image, lamina: Image) -> dict[str, list[Any]]:
    """Where the two differ: place → [Docker's, lamina's]. Places are `/path`, `/path mode`, `config Env`, `history 3`,
    `layers`, `layer 2` and `author`."""
    return {place: both for place, *both in _differences(docker, lamina) if both[0] != both[1]}


def _differences(docker: Image, lamina: Image) -> Iterator[tuple[str, Any, Any]]:
    one, other = _config(docker), _config(lamina)
    for key in sorted({*one, *other}):
        yield key, one.get(key), other.get(key)
    for number, layer in enumerate(docker.layers[: len(lamina.layers)]):
        yield f"layer {number}", layer, lamina.layers[number]
    for path in sorted({*docker.files, *lamina.files}):
        mine, theirs = lamina.files.get(path), docker.files.get(path)
        if mine is None or theirs is None:
            yield path, theirs and theirs.kind, mine and mine.kind
            continue
        for each in fields(Entry):
            if each.name != "mtime" or mine.kind != "dir":
                yield f"{path} {each.name}", getattr(theirs, each.name), getattr(mine, each.name)


def _config(image: Image) -> Config:
    """The configuration's fields under the names of `differences`, without what is empty."""
    config = image.config
    result: Config = {f"config {key}": value for key, value in (config.get("config") or {}).items()}
    for name in ("author", "architecture", "os"):
        result[name] = config.get(name)
    for number, entry in enumerate(config.get("history") or []):
        result[f"history {number}"] = (_comparable(entry.get("created_by", "")), entry.get("empty_layer", False))
    result["layers"] = len(config["rootfs"]["diff_ids"])
    return {key: value for key, value in result.items() if value not in (None, "", [], {})}


def _comparable(text: str) -> str:
    """A history text without what differs between versions of BuildKit: the dumps of Go values for EXPOSE and
    HEALTHCHECK, the value of an ARG (20.10 has its default), WORKDIR's path as written, the flags of COPY and ADD."""
    keyword = text.split(" ", 1)[0]
    if keyword in ("EXPOSE", "HEALTHCHECK"):
        return keyword
    if keyword == "ARG":
        return re.sub(r"=.*", "", text)
    if keyword == "WORKDIR":
        return f"WORKDIR {normpath(text.removeprefix('WORKDIR '))}"
    return re.sub(r" --(from|chown)=\S+", "", text) if keyword in ("ADD", "COPY") else text
