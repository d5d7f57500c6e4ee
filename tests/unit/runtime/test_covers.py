"""Finding paths in a root with mounts that are yet to be made."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lamina.runtime.inside import Cover, covering, find_program, locate


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "a/hidden").mkdir(parents=True)
    (root / "to-mount").symlink_to("/a/inner")
    other = tmp_path / "other"
    (other / "inner").mkdir(parents=True)
    (other / "inner/tool").write_text("")
    (other / "inner/tool").chmod(0o755)
    (other / "back").symlink_to("../to-mount/tool")
    return root


@pytest.fixture
def opened(root: Path, tmp_path: Path) -> Iterator[tuple[int, dict[str, Cover]]]:
    with ExitStack() as held:
        descriptors = []
        for folder in (root, tmp_path / "other"):
            descriptors.append(os.open(folder, os.O_PATH))
            held.callback(os.close, descriptors[-1])
        folder_mode = stat.S_IFDIR | 0o755
        yield (
            descriptors[0],
            {
                "/a": Cover(folder_mode, descriptors[1]),
                "/far": Cover(folder_mode, stub=True),
                "/far/off": Cover(stat.S_IFREG | 0o755),
                "/dev": Cover(folder_mode),
            },
        )


@pytest.mark.parametrize(
    ("path", "place", "existing", "kind"),
    [
        ("/a", "/a", 1, stat.S_IFDIR),
        ("/a/hidden", "/a/hidden", 1, None),
        ("/a/inner/tool", "/a/inner/tool", 3, stat.S_IFREG),
        ("/to-mount/tool", "/a/inner/tool", 3, stat.S_IFREG),
        ("/a/back", "/a/inner/tool", 3, stat.S_IFREG),
        ("/a/../dev/x", "/dev/x", 1, None),
        ("/far", "/far", 0, stat.S_IFDIR),
        ("/far/off", "/far/off", 2, stat.S_IFREG),
        ("/far/away", "/far/away", 0, None),
    ],
)
def test_what_is_mounted_is_seen(
    opened: tuple[int, dict[str, Cover]], path: str, place: str, existing: int, kind: int | None
) -> None:
    found = locate(opened[0], path, covers=opened[1])
    assert (found.path, found.existing) == (place, existing)
    assert (None if found.mode is None else stat.S_IFMT(found.mode)) == kind


def test_programs_are_found_in_mounts(opened: tuple[int, dict[str, Cover]]) -> None:
    assert find_program(opened[0], "tool", "/nowhere:/to-mount", "/", opened[1])
    assert find_program(opened[0], "/far/off", "", "/", opened[1])
    assert not find_program(opened[0], "tool", "/a", "/", opened[1])


def test_the_innermost_cover(opened: tuple[int, dict[str, Cover]]) -> None:
    assert covering("/far/off/x", opened[1]) == "/far/off"
    assert covering("/far/other", opened[1]) == "/far"
    assert covering("/farther", opened[1]) is None
    assert covering("/", opened[1]) is None
