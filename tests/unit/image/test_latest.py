"""The mark of reproducible layers: what is written out has no later time, what lies on the disk keeps its own."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from tests.support.layer_trees import said

from lamina.image.compare import first_time
from lamina.image.diff import diff
from lamina.image.flatten import flatten_to_directory, flatten_to_tar
from lamina.image.latest import NO_LIMIT, latest_of, mark_latest
from lamina.image.layerio import Layers
from lamina.image.tarwrite import write_layer
from lamina.image.xattrs import Namespace

LIMIT = 1_000
TIMES = {"old": 10, "young": 5_000, "folder/young": 6_000, "link": 7_000}


def layer(folder: Path, shift: int = 0) -> Path:
    """Files of these times, the young ones later by so many seconds."""
    (folder / "folder").mkdir(parents=True)
    for name in ("old", "young", "folder/young"):
        (folder / name).write_text(name)
    os.link(folder / "young", folder / "hard")
    (folder / "link").symlink_to("old")
    for name, when in TIMES.items():
        when += shift if when > LIMIT else 0
        os.utime(folder / name, (when, when), follow_symlinks=False)
    return folder


def times(data: bytes) -> dict[str, float]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: member.mtime for member in tar}


@pytest.mark.parametrize("namespace", ["trusted", "user"])
def test_no_entry_is_later_and_older_ones_stay(tmp_path: Path, namespace: Namespace) -> None:
    folder = layer(tmp_path / "layer")
    assert latest_of(folder, namespace) == NO_LIMIT
    mark_latest(folder, LIMIT, namespace)
    assert latest_of(folder, namespace) == LIMIT
    out: list[bytes] = []
    write_layer(folder, out.append, xattr_namespace=namespace)
    assert times(b"".join(out)) == {
        "old": 10,
        "young": LIMIT,
        "hard": LIMIT,
        "link": LIMIT,
        "folder": LIMIT,
        "folder/young": LIMIT,
    }
    assert (folder / "young").stat().st_mtime == 5_000
    assert b"lamina" not in b"".join(out)


def test_the_diff_id_does_not_tell_when_files_were_made(tmp_path: Path) -> None:
    layers = Layers("user")
    one, two = layer(tmp_path / "one"), layer(tmp_path / "two", shift=100)
    assert layers.diff(one).diff_id != layers.diff(two).diff_id
    marked = layers.diff(one, LIMIT)
    assert said(marked) == said(layers.diff(two, LIMIT)) == said(diff(one, "user"))
    assert marked.files == layers.diff(layer(tmp_path / "three")).files
    assert first_time(one, two, "user") is None
    os.utime(two / "old", (11, 11))
    assert layers.diff(two).diff_id != marked.diff_id
    found = first_time(one, two, "user")
    assert found is not None
    assert (found.path, found.kind) == ("/old", "time")
    assert (found.before, found.after) == ("1970-01-01 00:00:10+00:00", "1970-01-01 00:00:11+00:00")


def test_a_merged_tree_has_the_times_that_each_layer_is_written_with(tmp_path: Path) -> None:
    lower, upper = layer(tmp_path / "lower"), tmp_path / "upper"
    upper.mkdir()
    (upper / "new").touch()
    mark_latest(upper, LIMIT, "user")
    out: list[bytes] = []
    flatten_to_tar((upper, lower), out.append, "user")
    told = times(b"".join(out))
    assert (told["young"], told["new"], told["old"]) == (5_000, LIMIT, 10)
    flatten_to_directory((upper, lower), tmp_path / "out", "user", keep_owners=True)
    assert [(tmp_path / "out" / name).stat().st_mtime for name in ("young", "new", "old")] == [5_000, LIMIT, 10]
