"""Cache mounts on disk: between processes, after a kill, listed and deleted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lamina.diagnostics import BuildFailure
from lamina.store import gc
from lamina.store.cachemounts import CacheMounts, directory_name
from lamina.store.fsck import check
from lamina.store.store import Store
from lamina.store.usage import usage

COUNT = """
import sys
from pathlib import Path
from lamina.store.cachemounts import CacheMounts
mounts = CacheMounts(Path(sys.argv[1]))
def zero(folder):
    (folder / "n").write_text("0")
for _ in range(100):
    with mounts.lease("count", "locked", zero) as folder:
        number = int((folder / "n").read_text())
        (folder / "n").write_text(str(number + 1))
"""

HOLD = """
import sys
from pathlib import Path
from lamina.store.cachemounts import CacheMounts
with CacheMounts(Path(sys.argv[1])).lease(sys.argv[2], sys.argv[3], lambda folder: None) as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""

HANG_WHILE_MAKING = """
import sys
from pathlib import Path
from lamina.store.cachemounts import CacheMounts
def make(folder):
    (folder / "half").write_text("x")
    print("making", flush=True)
    sys.stdin.read()
with CacheMounts(Path(sys.argv[1])).lease("pip", "shared", make):
    pass
"""

CHURN = """
import sys
from pathlib import Path
from lamina.store.cachemounts import CacheMounts
mounts = CacheMounts(Path(sys.argv[1]))
def seed(folder):
    (folder / "seed").write_text("s")
for number in range(150):
    if sys.argv[2] == "delete":
        mounts.delete()
    else:
        with mounts.lease("pip", sys.argv[2], seed) as folder:
            assert (folder / "seed").read_text() == "s", number
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def started(script: str, *arguments: object) -> tuple[subprocess.Popen[str], str]:
    """A process, and the first line that it printed."""
    process = start(script, *arguments)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def end(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def nothing(folder: Path) -> None:
    pass


@pytest.fixture
def mounts(tmp_path: Path) -> CacheMounts:
    return CacheMounts(tmp_path / "deep" / "mounts")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "mounts"


def test_one_process_at_a_time_is_inside_a_locked_folder(mounts: CacheMounts, root: Path) -> None:
    end(*[start(COUNT, root) for _ in range(3)])
    with mounts.lease("count", "locked", nothing) as folder:
        assert (folder / "n").read_text() == "300"


def test_processes_share_or_get_folders_of_their_own(root: Path) -> None:
    held = [started(HOLD, root, "pip", sharing) for sharing in ("shared", "shared", "private", "private")]
    assert [Path(line).name for _, line in held] == ["0", "0", "1", "2"]
    end(*(process for process, _ in held))


@pytest.mark.parametrize("sharing", ["shared", "locked", "private"])
def test_a_killed_holder_frees_its_folder(mounts: CacheMounts, root: Path, sharing: str) -> None:
    process, line = started(HOLD, root, "pip", sharing)
    assert mounts.delete() == ()
    kill(process)
    with mounts.lease("pip", "locked", nothing) as folder:
        assert str(folder) == line


def test_a_kill_while_a_folder_is_made_leaves_none(mounts: CacheMounts, root: Path) -> None:
    process, line = started(HANG_WHILE_MAKING, root)
    assert line == "making"
    assert mounts.folders() == ()
    kill(process)
    assert mounts.folders() == ()
    with mounts.lease("pip", "shared", nothing) as folder:
        assert list(folder.iterdir()) == []
    assert sorted(path.name for path in folder.parent.iterdir()) == ["0", "0.json"]


def test_what_a_kill_left_is_deleted_too(mounts: CacheMounts, root: Path) -> None:
    process, _ = started(HANG_WHILE_MAKING, root)
    kill(process)
    assert mounts.delete() == ()
    assert list(root.iterdir()) == []


def test_folders_are_used_while_others_delete_them(mounts: CacheMounts, root: Path) -> None:
    end(*[start(CHURN, root, what) for what in ("delete", "shared", "private", "locked")])
    mounts.delete()
    assert list(root.iterdir()) == []


def test_a_listing_names_what_is_there(mounts: CacheMounts, root: Path) -> None:
    assert mounts.folders() == ()
    for name in ("/root/.cache/pip", "apt \udcff"):
        with mounts.lease(name, "shared", nothing) as folder, mounts.lease(name, "private", nothing) as second:
            (folder / "big").write_bytes(b"x" * 100_000)
            (folder / "same").hardlink_to(folder / "big")
            (second / "link").symlink_to("/")
    found = mounts.folders()
    assert [(one.name, one.path.name) for one in found] == [
        ("/root/.cache/pip", "0"),
        ("/root/.cache/pip", "1"),
        ("apt \\xff", "0"),
        ("apt \\xff", "1"),
    ]
    assert found[0].path.parent.name.startswith("root-.cache-pip-")
    assert 100_000 <= found[0].size() < 150_000
    assert found[1].size() < 50_000
    assert json.loads(found[0].path.with_name("0.json").read_text()) == {"name": "/root/.cache/pip"}


def test_the_last_use_is_kept_and_old_folders_alone_are_deleted(mounts: CacheMounts) -> None:
    for name in ("old", "new"):
        with mounts.lease(name, "shared", nothing) as folder:
            pass
        if name == "old":
            os.utime(folder.with_name("0.json"), (1000, 1000))
    assert [one.used for one in mounts.folders() if one.name == "old"] == [1000]
    assert [one.name for one in mounts.delete(unused_since=2000)] == ["old"]
    assert [one.name for one in mounts.folders()] == ["new"]
    os.utime(folder.with_name("0.json"), (1000, 1000))
    with mounts.lease("new", "shared", nothing):
        pass
    assert mounts.folders()[0].used > 2000


def test_deleting_copes_with_modes_owners_and_depth(mounts: CacheMounts, root: Path) -> None:
    with mounts.lease("pip", "shared", nothing) as folder:
        deep = folder
        for _ in range(33):
            deep = deep / ("d" * 100)
            deep.mkdir()
        for path in (deep, *list(deep.parents)[:32]):
            os.chown(path, 12345, 12345)
            path.chmod(0)
        folder.chmod(0)
    assert [one.name for one in mounts.delete()] == ["pip"]
    assert list(root.iterdir()) == []


def test_a_lock_without_its_description_is_listed_by_its_directory(mounts: CacheMounts) -> None:
    with mounts.lease("/x", "shared", nothing) as folder:
        pass
    folder.with_name("0.json").write_text("{")
    assert mounts.folders()[0].name == directory_name("/x")
    assert len(mounts.delete()) == 1


def test_a_link_in_the_place_of_a_folder_is_not_followed(mounts: CacheMounts, tmp_path: Path) -> None:
    with mounts.lease("pip", "shared", nothing) as folder:
        pass
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(BuildFailure) as caught, mounts.lease("pip", "shared", nothing):
        raise AssertionError
    assert caught.value.diagnostic.reference == "store-io"
    assert mounts.folders() == ()
    mounts.delete()
    assert tmp_path.is_dir()


def test_a_directory_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / directory_name("pip")).symlink_to("nowhere")
    for place in ("file", "link"):
        with pytest.raises(BuildFailure) as caught, CacheMounts(tmp_path / place).lease("pip", "shared", nothing):
            raise AssertionError
        assert caught.value.diagnostic.reference == "store-io"


def test_the_store_takes_its_folders_for_its_own(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        with CacheMounts(store.layout.cache_mounts).lease("pip", "shared", nothing) as folder:
            (folder / "big").write_bytes(b"x" * 10_000)
        assert check(store) == ()
        assert usage(store).of("cache mounts") >= 10_000
        gc.prune(store, gc.Wanted(older_than=float("inf"), max_size=0))
        assert (folder / "big").exists()
        assert gc.prune(store, gc.Wanted(cache_mounts=True, older_than=1000.0)).cache_mounts == 0
        store.layout.format.unlink()  # as when an older format is brought up to date
    with Store.open(tmp_path / "store") as store:
        assert [one.name for one in CacheMounts(store.layout.cache_mounts).folders()] == ["pip"]
