"""Edits that matter to steps that were observed, beside those of `edits`."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from tests.truth import edits
from tests.truth.edits import Edit, Edited
from tests.truth.state import Entry, State, with_parents

#: Steps and instructions name these.
_NAMED = ("src", "docs", "data", "hooks", "docs/pics")


def _below(state: State, folder: str) -> dict[str, Entry]:
    return {path: entry for path, entry in state.tree.items() if path.startswith(f"{folder}/")}


def _free(state: State) -> list[str]:
    return [path for path, entry in state.tree.items() if entry.kind == "dir" and path not in _NAMED]


def folder_gone(state: State, random: Random) -> Edited | None:
    free = _free(state)
    if not free:
        return None
    path = random.choice(free)
    return Edited(f"{path}/ is gone", state.with_tree(dict.fromkeys([path, *_below(state, path)])))


def folder_renamed(state: State, random: Random) -> Edited | None:
    free = _free(state)
    if not free:
        return None
    path, name = random.choice(free), f"moved{random.randrange(3)}"
    if name in state.tree:
        return None
    changes: dict[str, Entry | None] = {
        f"{name}{old[len(path) :]}": entry for old, entry in _below(state, path).items()
    }
    gone = dict.fromkeys([path, *_below(state, path)])
    return Edited(f"{path}/ becomes {name}/", state.with_tree({**gone, **changes, name: state.tree[path]}))


def folder_replaced(state: State, random: Random) -> Edited | None:
    """A directory becomes a link or a file."""
    free = _free(state)
    if not free:
        return None
    path = random.choice(free)
    new = random.choice([Entry("link", b"../docs", 0o777), Entry("link", b"none", 0o777), Entry("file", b"file\n")])
    changes = {**dict.fromkeys(_below(state, path)), path: new}
    return Edited(f"{path}/ becomes a {new.kind}", state.with_tree(changes))


def becomes_folder(state: State, random: Random) -> Edited | None:
    """A file or link becomes a directory with a file in it."""
    free = [
        path
        for path in ("data/one", "data/two", "docs/a.txt", "current", "src/alias", "hooks/20-b")
        if path in state.tree
    ]
    free = [path for path in free if state.tree[path].kind != "dir"]
    if not free:
        return None
    path = random.choice(free)
    changes = {path: Entry("dir", mode=0o755), f"{path}/inside": Entry("file", b"inside\n")}
    return Edited(f"{path} becomes a directory", state.with_tree(changes))


def added_deep(state: State, random: Random) -> Edited:
    """A file in new directories, somewhere."""
    top = random.choice(["", "src/", "docs/", "data/", "src/sub/"])
    return _put(state, f"{top}fresh{random.randrange(2)}/{random.choice('ab')}.py", Entry("file", b"fresh\n"))


def probed(state: State, random: Random) -> Edited:
    """A name that steps ask for."""
    names = ("setup.py", "new", "aaa", "src/new.py", "data/n", "broken", "nowhere", "bin/tool", "data/cache/x")
    path = random.choice(names)
    if random.random() < 0.3 and state.tree.get(path, Entry("dir")).kind == "file":
        return Edited(f"{path} is gone", state.with_tree({path: None}))
    return _put(state, path, Entry("file", b"#!/bin/sh\n", 0o755))


def _put(state: State, path: str, entry: Entry) -> Edited:
    """The state with a file more, and the directories that it needs; at the top where a file or link is in the way."""
    needed = with_parents({path: entry})
    if any(state.tree.get(one, Entry("dir")).kind != "dir" for one in needed if one != path):
        path, needed = "setup.py", {"setup.py": entry}
    new = {one: each for one, each in needed.items() if one == path or one not in state.tree}
    return Edited(f"{path} is there", state.with_tree(new))


def two_swapped(state: State, random: Random) -> Edited | None:
    """Two small files change places, with their times: of one size."""
    if {"data/one", "data/two"} - set(state.tree) or state.tree["data/one"] == state.tree["data/two"]:
        return None
    one, two = state.tree["data/one"], state.tree["data/two"]
    return Edited("data/one and data/two swapped", state.with_tree({"data/one": two, "data/two": one}), "same times")


def digit(state: State, random: Random) -> Edited | None:
    """Another content of the same size, at the same time."""
    path = random.choice([path for path, entry in state.tree.items() if entry.kind == "file" and path != "data.tar"])
    entry = state.tree[path]
    if not entry.data.rstrip():
        return None
    data = entry.data[:-2] + b"%d" % random.randrange(10) + entry.data[-1:]
    if len(data) != len(entry.data):
        return None
    return Edited(f"a digit in {path}, same times", state.with_tree({path: replace(entry, data=data)}), "same times")


_OWN: tuple[Edit, ...] = (
    folder_gone,
    folder_renamed,
    folder_replaced,
    becomes_folder,
    added_deep,
    added_deep,
    probed,
    probed,
    two_swapped,
    digit,
)
OF_FILES: tuple[Edit, ...] = (*edits.OF_FILES, *_OWN)
OF_INSTRUCTIONS: tuple[Edit, ...] = (
    edits.dockerfile_comment,
    edits.metadata_line,
    edits.step_inserted,
    edits.variable_inserted,
    edits.step_dropped,
    edits.lines_swapped,
    edits.command,
    edits.spelling,
    edits.environment,
    edits.stage_renamed,
    edits.base,
)
