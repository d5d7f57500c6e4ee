"""The instructions that copy some of what a COPY copies to where that has it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lamina.dockerfile import syntax
from lamina.plan.steps import CopyOp

#: More instructions than that for one step, or more names, help nobody.
_MOST_LINES, _MOST_FILES = 12, 60
#: Names that mean themselves in a COPY.
PLAIN = re.compile(r"[\w.@+][\w.@+/-]*")
#: Flags that a COPY of some of the files takes over.
_KEPT = ("chown", "chmod", "link")


def copy_lines(
    instruction: syntax.Copy, op: CopyOp, landed: Mapping[str, str], files: Sequence[str], folders: Sequence[str]
) -> list[str] | None:
    """`landed` is `landing.landing` of the COPY; `files` and `folders` are paths of the context in it. None if that
    cannot be written."""
    root = op.dest.rstrip("/")
    named = instruction.dest if "$" not in instruction.dest else op.dest
    base = "./" if named in (".", "./") else named.rstrip("/") + "/"
    where = {context: path for path, context in landed.items()}
    groups: dict[str, list[str]] = {}
    for path in files:
        folder, _, name = where[path].rpartition("/")
        if name != path.rpartition("/")[2] or not (folder == root or folder.startswith(root + "/")):
            return None
        groups.setdefault(folder[len(root) :].strip("/"), []).append(path)
    flags = "".join(
        f"--{flag.name}{'' if flag.value is None else '=' + flag.value} "
        for flag in instruction.flags
        if flag.name in _KEPT
    )
    lines = [f"COPY {flags}{' '.join(paths)} {base}{folder}{'/' if folder else ''}" for folder, paths in groups.items()]
    for path in folders:
        below = next(context for context in landed.values() if context.startswith(path + "/"))
        folder = where[below].removesuffix(below[len(path) :])
        lines.append(f"COPY {flags}{path} {base}{folder[len(root) :].strip('/')}/")
    if len(lines) > _MOST_LINES or len(files) > _MOST_FILES or not all(map(PLAIN.fullmatch, (*files, *folders))):
        return None
    return lines
