"""Copies of a build context for `lamina repro`, such as another checkout of the same commit could be."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from lamina.context.ignore_file import load_rules
from lamina.context.modes import Modes
from lamina.context.reader import DirectoryContext
from lamina.diagnostics import BuildFailure
from lamina.keys.filetree import FileRecord
from lamina.workshop.config import NAME
from lamina.workshop.locate import Located


def copy_context(located: Located, to: Path, modes: Modes, *, backwards: bool, fresh: bool, group: bool) -> None:
    """Copy what the ignore rules leave of a context to `to`, which is made.

    `backwards`: in the reverse order. `fresh`: times are those of the copying, else those of the originals. `group`:
    with the group's right to write, where `modes` says that this does not count. Sockets are left out, as in an image.
    Raises BuildFailure `context-…`.
    """
    with DirectoryContext(located.directory, rules=load_rules(located.directory, located.path), modes=modes) as reader:
        records = reader.entries()
    to.mkdir(parents=True)
    folders = [record for record in records if record.kind == "dir"]
    files = [record for record in records if record.kind not in ("dir", "socket")]
    more = 0o020 if group and modes == "git" else 0
    try:
        for record in folders:
            (to / record.path).mkdir()
        for record in reversed(files) if backwards else files:
            _copy(located.directory / record.path, to / record.path, record, record.mode | more, fresh=fresh)
        for name in (".dockerignore", NAME):  # they count, also where the rules leave them out
            if (located.directory / name).is_file() and not (to / name).exists():
                shutil.copyfile(located.directory / name, to / name)
        for record in reversed(folders):
            _finish(located.directory / record.path, to / record.path, record.mode | more, fresh=fresh)
    except (OSError, shutil.Error) as error:
        raise BuildFailure("context-unreadable", "the build context cannot be copied", cause=str(error)) from None


def _copy(source: Path, target: Path, record: FileRecord, mode: int, *, fresh: bool) -> None:
    match record.kind:
        case "link":
            target.symlink_to(os.readlink(source))
            if not fresh:
                times = os.lstat(source).st_mtime_ns
                os.utime(target, ns=(times, times), follow_symlinks=False)
            return
        case "file":
            shutil.copyfile(source, target, follow_symlinks=False)
            for name in os.listxattr(source, follow_symlinks=False):
                if name.startswith("user.") or name == "security.capability":
                    os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False))
        case _:
            os.mknod(target, stat.S_IFMT(os.lstat(source).st_mode) | 0o600, os.lstat(source).st_rdev)
    _finish(source, target, mode, fresh=fresh)


def _finish(source: Path, target: Path, mode: int, *, fresh: bool) -> None:
    target.chmod(mode)
    if not fresh:
        times = os.lstat(source).st_mtime_ns
        os.utime(target, ns=(times, times))
