"""A full disk, a read-only disk, no permission."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.store_making import a_digest, a_record, add_image, add_layer, content_diff_id

from lamina.diagnostics import BuildFailure
from lamina.store import gc
from lamina.store.fsck import check
from lamina.store.store import Store

MIB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path) -> None:
    with (place / "filler").open("ab", buffering=0) as file:
        for size in (MIB, 4096):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass


def test_a_blob_that_does_not_fit(disk: Path) -> None:
    with Store.open(disk / "store") as store:
        with pytest.raises(BuildFailure) as caught, store.blobs.writer(size=100 * MIB) as writer:
            for _ in range(100):
                writer.write(os.urandom(MIB))
            writer.commit()
        diagnostic = caught.value.diagnostic
        assert diagnostic.reference == "store-full"
        assert "104,857,600 are needed" in diagnostic.message
        assert diagnostic.hint is not None and "lamina cache prune" in diagnostic.hint
        store.blobs.put(b"what fits still goes in")
        assert store.session.fresh().parent.stat().st_size < MIB


def test_a_full_disk_at_every_kind_of_write_loses_nothing_and_prune_makes_room(disk: Path) -> None:
    root = disk / "store"
    with Store.open(root) as store:
        kept = add_layer(store, None, "kept")
        store.records.add(a_record("kept", result=kept.chain_id))
        add_image(store, "app", kept.diff_id)
        with store.snapshots.begin(None) as work:
            (work.upper / "big").write_bytes(os.urandom(5 * MIB))
            big = store.snapshots.commit(work, None, content_diff_id(kept.layer.parent / "none"), 5 * MIB)
        store.records.add(a_record("big", result=big.chain_id))
        fill(disk)
        failures = []
        for number in range(300):
            for write in (
                lambda: store.blobs.put(os.urandom(8000)),
                lambda: add_layer(store, None, f"layer {number}"),  # noqa: B023 — called at once
                lambda: store.records.add(a_record(f"record {number}", text="x" * 8000)),  # noqa: B023
                lambda: add_image(store, f"app:{number}", kept.diff_id),  # noqa: B023
            ):
                try:
                    write()
                except BuildFailure as failure:
                    failures.append(failure.diagnostic.reference)
                except OSError:
                    pass  # the test's own write into the workspace
        assert set(failures) == {"store-full"}
        assert len(failures) > 300
    with Store.open(root, make_room=True) as store:
        assert check(store) == ()
        gc.prune(store, gc.Wanted(older_than=time.time() + 10))
        assert store.snapshots.get(kept.chain_id) == kept
        assert not big.layer.exists()
        assert store.images.get("app") is not None
        store.records.add(a_record("again", result=kept.chain_id))
        assert store.records.find(a_digest("again")) is not None
        assert store.layout.reserve.stat().st_size == 4 * MIB


def test_opening_a_new_store_on_a_full_disk(disk: Path) -> None:
    fill(disk)
    with pytest.raises(BuildFailure) as caught:
        Store.open(disk / "store")
    assert caught.value.diagnostic.reference == "store-full"
    (disk / "filler").unlink()
    with Store.open(disk / "store") as store:
        store.blobs.put(b"x")


def test_a_read_only_file_system(disk: Path) -> None:
    with Store.open(disk / "store") as store:
        store.blobs.put(b"x")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for root in (disk / "store", disk / "new"):
        with pytest.raises(BuildFailure) as caught:
            Store.open(root)
        assert caught.value.diagnostic.reference == "store-read-only"
        assert str(root) in caught.value.diagnostic.message


AS_NOBODY = """
import os, sys
from pathlib import Path
from lamina.diagnostics import BuildFailure
from lamina.store.store import Store
os.setgid(65534), os.setuid(65534)
try:
    Store.open(Path(sys.argv[1]))
except BuildFailure as failure:
    print(failure.diagnostic.reference)
"""


@pytest.mark.parametrize("made", [True, False])
def test_no_permission(made: bool) -> None:
    with tempfile.TemporaryDirectory() as place:  # pytest's own directories let nobody else in
        Path(place).chmod(0o755)
        root = Path(place) / "store"
        if made:
            Store.open(root).close()
            root.chmod(0o755)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", AS_NOBODY, str(root)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert done.stdout == "store-permission\n"


def test_what_is_still_mounted_in_a_workspace_is_not_deleted(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("the user's own")
    target = None
    try:
        with Store.open(tmp_path / "store") as store, store.snapshots.begin(None) as work:
            target = work.scratch
            subprocess.run(["mount", "--bind", precious, target], check=True)
        assert (precious / "file").read_text() == "the user's own"
    finally:
        assert target is not None and ctypes.CDLL(None).umount2(os.fsencode(target), 2) == 0
    Store.open(tmp_path / "store").close()
    assert list((tmp_path / "store" / "tmp").iterdir()) == []
    assert (precious / "file").exists()


def test_what_is_mounted_below_a_dead_workspace_is_not_deleted(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("the user's own")
    root = tmp_path / "store"
    Store.open(root).close()
    dead = root / "tmp" / "dead beef"
    target = dead / "0" / "scratch"
    target.mkdir(parents=True)
    subprocess.run(["mount", "--bind", precious, target], check=True)
    try:
        Store.open(root).close()
        assert (precious / "file").read_text() == "the user's own"
        assert dead.is_dir()
    finally:
        assert ctypes.CDLL(None).umount2(os.fsencode(target), 2) == 0
    Store.open(root).close()
    assert not dead.exists()
    assert (precious / "file").exists()
