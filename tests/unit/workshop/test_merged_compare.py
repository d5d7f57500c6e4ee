"""Two stacks of layers, compared as a container sees them."""

from __future__ import annotations

import os
from pathlib import Path

from lamina.advise.past import Commit
from lamina.cli.proving import chosen
from lamina.workshop.merged_compare import Pair, pairs


def layer(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def differences(one: list[Path], other: list[Path]) -> dict[str, str]:
    return {pair.path: pair.what for pair in pairs(one, other, "trusted") if pair.what}


def test_the_same_files_in_other_layers_are_the_same(tmp_path: Path) -> None:
    low = layer(tmp_path / "low", {"a": "1", "in/b": "1"})
    high = layer(tmp_path / "high", {"in/c": "2"})
    all_in_one = layer(tmp_path / "one", {"a": "1", "in/b": "1", "in/c": "2"})
    found = list(pairs([high, low], [all_in_one], "trusted"))
    assert {pair.path for pair in found} == {"/a", "/in", "/in/b", "/in/c"}
    assert found == [Pair(pair.path) for pair in found]
    os.utime(all_in_one / "a", (1, 1))
    assert differences([high, low], [all_in_one]) == {}


def test_every_sort_of_difference(tmp_path: Path) -> None:
    one = layer(tmp_path / "one", {"text": "same\nold", "gone": "", "mode": "", "kind": "", "dir/x": ""})
    other = layer(tmp_path / "other", {"text": "same\nnew", "mode": "", "kind/x": "", "owner": "", "new": ""})
    layer(one, {"owner": ""})
    (other / "mode").chmod(0o600)
    (one / "mode").chmod(0o644)
    os.chown(other / "owner", 5, 6)
    os.symlink("a", one / "link")
    os.symlink("b", other / "link")
    assert differences([one], [other]) == {
        "/text": "content, byte 5",
        "/gone": "the file is gone",
        "/mode": "mode, 0644 → 0600",
        "/kind": "file → directory",
        "/dir": "the directory is gone",
        "/owner": "owner, 0:0 → 5:6",
        "/new": "a new file",
        "/link": "target, a → b",
    }


def test_what_is_deleted_in_a_layer_above_is_not_there(tmp_path: Path) -> None:
    low = layer(tmp_path / "low", {"a": "1", "b": "1"})
    high = tmp_path / "high"
    high.mkdir()
    os.mknod(high / "b", 0o20000, 0)
    assert differences([high, low], [layer(tmp_path / "one", {"a": "1"})]) == {}
    assert differences([low], [high, low]) == {"/b": "the file is gone"}


def test_the_commits_of_a_proof() -> None:
    commits = [Commit(str(number), 0, "", ()) for number in range(200)]
    assert [one.id for one in chosen(commits, 3)] == ["0", "66", "133", "199"]
    assert [one.id for one in chosen(commits, 1)] == ["0", "199"]
    assert [one.id for one in chosen(commits[:1], 3)] == ["0"]
    assert len(chosen(commits[:3], 10)) == 3
