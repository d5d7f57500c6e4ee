"""The cases of the oracle suite: `tests/oracle/cases/TOPIC.toml`, each a list of `[[case]]` tables.

A case says what to build; what must come out is Docker's own answer, unless the case says otherwise:

- nothing more: Docker and lamina must give the same image;
- `fails = LINE`: both must refuse it, lamina at that line (Docker too, where it names one; 0 is no line);
- `differs = "reason"`: a difference on purpose. `unlike` lists all the places where the two images differ, or `fails`
  or `docker_fails` says which side refuses it. The reasons are those of `docs/compatibility.md`;
- `source = "where it is said"`: Docker's 20.10 does not know the form yet. `expect` is what that source says.

`left` are mount points that the image lacks: 20.10 leaves them as empty directories, which today's BuildKit and lamina
remove. `flags` are for lamina; `{context}` in them is the context's path.

Fields of `files`: a text, or a table with `text`, `hex`, `mode`, `link` (symbolic), `hard` (another name), `tar` (a
table of files, `compress` gzip, bzip2, xz or none), `xattrs`, `mtime`. A name with `/` at its end is a directory.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

CASES = Path(__file__).parents[1] / "oracle" / "cases"
#: What files of a context have, unless the case says otherwise: long before any build.
MTIME = 1_500_000_000
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


class File(Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of a context or an archive."""

    text: str = ""
    hex: str = ""
    mode: str = ""
    link: str = ""
    hard: str = ""
    tar: dict[str, str | File] = {}
    compress: str = "none"
    xattrs: dict[str, str] = {}
    mtime: int = MTIME
    uid: int = 0
    gid: int = 0


class Expect(Struct, frozen=True, forbid_unknown_fields=True):
    """What must come out. `files`: path → its text, or a table of the attributes of `oracle_images.Entry` to look at;
    `only`: directories in which nothing else may be; `gone`: paths that must not be there; `config`: the fields of the
    configuration to look at; `created_by`: history text that must be there; `layers`: their number above the base."""

    files: dict[str, str | dict[str, Any]] = {}
    only: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    config: dict[str, Any] = {}
    created_by: tuple[str, ...] = ()
    layers: int | None = None


class Case(Struct, frozen=True, forbid_unknown_fields=True):
    """See the module's docstring. `quick` cases are those that `./dev test` runs."""

    name: str
    dockerfile: str
    files: dict[str, str | File] = {}
    args: dict[str, str] = {}
    target: str = ""
    labels: dict[str, str] = {}
    flags: tuple[str, ...] = ()
    quick: bool = False
    fails: int | None = None
    reference: str = ""
    docker_fails: bool = False
    differs: str = ""
    unlike: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    source: str = ""
    expect: Expect = field(default_factory=Expect)
    topic: str = ""


def cases() -> list[Case]:
    """All cases, by topic."""
    return [
        msgspec.convert({**table, "topic": path.stem}, Case)
        for path in sorted(CASES.glob("*.toml"))
        for table in tomllib.loads(path.read_text())["case"]
    ]


def make_context(case: Case, folder: Path) -> Path:
    """Write the case's files and its Dockerfile below `folder`, with fixed modes and times."""
    folder.mkdir()
    everything: dict[str, str | File] = {"Dockerfile": case.dockerfile, **case.files}
    for name, value in everything.items():
        _make(folder, name, value if isinstance(value, File) else File(text=value))
    # Directories last: their times change as files are made in them.
    for path in sorted(folder.rglob("*"), reverse=True):
        name = str(path.relative_to(folder))
        given = case.files.get(f"{name}/")
        if path.is_dir() and not path.is_symlink():
            path.chmod(int(given.mode or "755", 8) if isinstance(given, File) else 0o755)
            os.utime(path, (MTIME, given.mtime if isinstance(given, File) else MTIME))
    return folder


def _make(folder: Path, name: str, file: File) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith("/"):
        path.mkdir(exist_ok=True)
    elif file.link:
        path.symlink_to(file.link)
        os.utime(path, (file.mtime, file.mtime), follow_symlinks=False)
    elif file.hard:
        path.hardlink_to(folder / file.hard)
    else:
        path.write_bytes(_content(file))
        path.chmod(int(file.mode or "644", 8))
        os.utime(path, (file.mtime, file.mtime))
    for key, value in file.xattrs.items():
        os.setxattr(path, key, value.encode())


def _content(file: File) -> bytes:
    if file.tar:
        return COMPRESS[file.compress](_tar(file.tar))
    return bytes.fromhex(file.hex) if file.hex else file.text.encode()


def _tar(members: Mapping[str, str | File]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, value in members.items():
            file = value if isinstance(value, File) else File(text=value)
            member = tarfile.TarInfo(name)
            member.mtime, member.uid, member.gid = file.mtime, file.uid, file.gid
            member.mode = int(file.mode or ("755" if name.endswith("/") else "644"), 8)
            data = _content(file)
            if name.endswith("/"):
                member.type, data = tarfile.DIRTYPE, b""
            elif file.link or file.hard:
                member.type = tarfile.SYMTYPE if file.link else tarfile.LNKTYPE
                member.linkname, data = file.link or file.hard, b""
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()
