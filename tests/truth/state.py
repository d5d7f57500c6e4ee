"""A project as a value, and how it is put on disk: only what differs is written, so the rest keeps its identity."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

#: How a changed file is written: in place; as a new file that takes the name; in place with its old mtime restored.
How = Literal["in place", "anew", "same times"]


@dataclass(frozen=True)
class Entry:
    """A file, directory or link of the context. `data` is the content, or the target of a link."""

    kind: Literal["file", "dir", "link"]
    data: bytes = b""
    mode: int = 0o644


@dataclass(frozen=True)
class State:
    """All that a build depends on. `lines` are the Dockerfile's instructions (and comments), `tree` the context
    without the Dockerfile; `allowed`, if not empty, are the only top names that the ignore file lets in; `hidden` are
    paths that it keeps out; `base` says which of the images goes by the base's name."""

    lines: tuple[str, ...]
    tree: Mapping[str, Entry]
    args: Mapping[str, str] = field(default_factory=dict)
    secret: str = "sesame"
    base: int = 1
    allowed: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    remark: str = ""

    @property
    def files(self) -> dict[str, Entry]:
        """The whole context: with the Dockerfile and the ignore file."""
        made = {"Dockerfile": Entry("file", ("\n".join(self.lines) + "\n").encode())}
        rules = [f"#{self.remark}"] if self.remark else []
        if self.allowed:
            rules += ["*", *(f"!{name}" for name in self.allowed)]
        rules += self.hidden
        if rules:
            made[".dockerignore"] = Entry("file", ("\n".join(rules) + "\n").encode())
        return {**self.tree, **made}

    def visible(self) -> dict[str, Entry]:
        """What of it is the build context, with the modes that count."""
        as_git = "lamina.toml" in self.tree
        return {
            path: replace(entry, mode=_git_mode(entry)) if as_git else entry
            for path, entry in self.files.items()
            if (not self.allowed or path.split("/")[0] in self.allowed)
            and not any(path == one or path.startswith(f"{one}/") for one in self.hidden)
        }

    def with_tree(self, changes: Mapping[str, Entry | None]) -> State:
        """This with some entries replaced or (None) gone."""
        tree = {**self.tree, **changes}
        return replace(self, tree={path: entry for path, entry in sorted(tree.items()) if entry is not None})

    def with_line(self, number: int, text: str) -> State:
        return replace(self, lines=(*self.lines[:number], text, *self.lines[number + 1 :]))

    def identity(self) -> tuple[object, ...]:
        """Equal for states in which a build must give the same image."""
        return (self.lines, tuple(sorted(self.visible().items())), tuple(sorted(self.args.items())), self.base)

    def __hash__(self) -> int:
        return hash(tuple((path, entry.data) for path, entry in sorted(self.files.items())))


def _git_mode(entry: Entry) -> int:
    """What is left of a mode with `modes = "git"`."""
    if entry.kind == "link":
        return entry.mode
    return 0o755 if entry.kind == "dir" or entry.mode & 0o100 else 0o644


def tree(
    files: Mapping[str, str | bytes], *, links: Mapping[str, str] | None = None, folders: Iterable[str] = ()
) -> dict[str, Entry]:
    """Entries from contents and targets; directories above them are added."""
    found = {path: Entry("file", data.encode() if isinstance(data, str) else data) for path, data in files.items()}
    found.update({path: Entry("link", target.encode(), 0o777) for path, target in (links or {}).items()})
    found.update({path: Entry("dir", mode=0o755) for path in folders})
    return with_parents(found)


def with_parents(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """These entries with the directories that they need."""
    above = {str(parent) for path in entries for parent in Path(path).parents} - {"."}
    return dict(sorted({**{path: Entry("dir", mode=0o755) for path in above}, **entries}.items()))


def put(folder: Path, before: Mapping[str, Entry], after: Mapping[str, Entry], how: How = "in place") -> None:
    """Make the directory, which holds `before`, hold `after`."""
    for path in sorted(before, reverse=True):
        new = after.get(path)
        if new is None or new.kind != before[path].kind or (new.kind == "link" and new != before[path]):
            _remove(folder / path, before[path])
    for path in sorted(after):
        old, new = before.get(path), after[path]
        if old == new:
            continue
        target = folder / path
        fresh = old is None or old.kind != new.kind
        if new.kind == "link":
            target.symlink_to(os.fsdecode(new.data))
            continue
        if new.kind == "dir" and fresh:
            target.mkdir()
        elif new.kind == "file" and (fresh or old is None or old.data != new.data):
            _write(target, new, how)
        target.chmod(new.mode)


def _write(target: Path, entry: Entry, how: How) -> None:
    times = target.stat() if how == "same times" and target.exists() else None
    if how == "anew":
        draft = target.with_name(target.name + ".draft")
        draft.write_bytes(entry.data)
        draft.replace(target)
    else:
        target.write_bytes(entry.data)
    if times is not None:
        os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))


def _remove(target: Path, entry: Entry) -> None:
    if entry.kind == "dir":
        target.rmdir()
    else:
        target.unlink()
