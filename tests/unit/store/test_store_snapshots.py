"""Layers: workspaces, commits, sharing."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from tests.support.store_making import a_digest, add_layer, content_diff_id

from lamina.diagnostics import BuildFailure
from lamina.digest import ChainID, DiffID, chain_id
from lamina.store.store import Store


def test_a_stack_is_topmost_first(store: Store) -> None:
    chain = None
    for text in ("a", "b", "c"):
        chain = add_layer(store, chain, text).chain_id
    assert [(layer / "file").read_text() for layer in store.snapshots.stack(chain)] == ["c", "b", "a"]
    assert store.snapshots.stack(None) == ()


def test_a_snapshot_knows_its_chain(store: Store) -> None:
    below = add_layer(store, None, "a")
    above = add_layer(store, below.chain_id, "bb")
    assert above.chain_id == chain_id(below.chain_id, above.diff_id)
    assert (above.parent, above.size) == (below.chain_id, 2)
    assert store.snapshots.get(above.chain_id) == above
    assert store.snapshots.get(ChainID(a_digest("none"))) is None


def test_a_workspace_goes_unless_committed(store: Store) -> None:
    with store.snapshots.begin(None) as work:
        assert {path.is_dir() for path in (work.upper, work.work, work.scratch)} == {True}
        assert work.upper.stat().st_dev == store.layout.layers.stat().st_dev
    store.session.swept()
    assert not work.upper.parent.exists()
    with pytest.raises(RuntimeError), store.snapshots.begin(None) as work:
        (work.upper / "file").write_text("x")
        raise RuntimeError
    store.session.swept()
    assert not work.upper.parent.exists()
    assert list(store.layout.layers.iterdir()) == []


def test_a_missing_parent(store: Store) -> None:
    with pytest.raises(BuildFailure) as caught, store.snapshots.begin(ChainID(a_digest("none"))):
        pass
    assert caught.value.diagnostic.reference == "store-snapshot-missing"


def test_the_root_directory_is_0755_and_then_as_the_parents(store: Store) -> None:
    before = os.umask(0o077)
    try:
        with store.snapshots.begin(None) as work:
            assert stat.S_IMODE(work.upper.stat().st_mode) == 0o755
            work.upper.chmod(0o1711)
            os.chown(work.upper, 12, 34)
            below = store.snapshots.commit(work, None, DiffID(a_digest("x")), 0)
        with store.snapshots.begin(below.chain_id) as work:
            status = work.upper.stat()
            assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o1711, 12, 34)
    finally:
        os.umask(before)


def test_committing_a_chain_twice_keeps_the_first(store: Store) -> None:
    first = add_layer(store, None, "same")
    inode = first.layer.stat().st_ino
    assert add_layer(store, None, "same") == first
    assert first.layer.stat().st_ino == inode
    assert len(list(store.layout.layers.iterdir())) == 1


def test_equal_layers_that_lamina_built_share_a_directory(store: Store) -> None:
    one = add_layer(store, add_layer(store, None, "one").chain_id, "same")
    two = add_layer(store, add_layer(store, None, "two").chain_id, "same")
    assert one.chain_id != two.chain_id
    assert one.layer == two.layer
    assert [path.name for path in store.layout.tmp.iterdir()] != []
    assert len(list(store.layout.layers.iterdir())) == 3


def test_unpacked_layers_share_with_nobody(store: Store) -> None:
    one = add_layer(store, add_layer(store, None, "one").chain_id, "same", built=False)
    two = add_layer(store, add_layer(store, None, "two").chain_id, "same", built=False)
    three = add_layer(store, add_layer(store, None, "three").chain_id, "same")
    assert len({one.layer, two.layer, three.layer}) == 3


def test_a_layer_that_somebody_deleted_is_a_miss_and_can_be_made_again(store: Store) -> None:
    snapshot = add_layer(store, None, "text")
    (snapshot.layer / "file").unlink()
    snapshot.layer.rmdir()
    assert store.snapshots.get(snapshot.chain_id) is None
    again = add_layer(store, None, "text")
    assert store.snapshots.get(snapshot.chain_id) == again
    assert content_diff_id(again.layer) == again.diff_id


def test_overlay_can_mount_a_stack_and_its_workspace(store: Store) -> None:
    import subprocess

    base = add_layer(store, None, "base")
    with store.snapshots.begin(base.chain_id) as work:
        merged = work.scratch / "merged"
        merged.mkdir()
        lower = ":".join(str(layer) for layer in work.layers)
        options = f"lowerdir={lower},upperdir={work.upper},workdir={work.work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, merged], check=True)
        try:
            assert (merged / "file").read_text() == "base"
            (merged / "file").unlink()
        finally:
            subprocess.run(["umount", merged], check=True)
        top = store.snapshots.commit(work, base.chain_id, DiffID(a_digest("whiteout")), 0)
    assert stat.S_ISCHR((top.layer / "file").lstat().st_mode)
    store.session.swept()
    assert not work.upper.parent.exists()


def test_what_was_not_committed_is_gone_when_the_store_closes(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s")
    with store.snapshots.begin(None) as work:
        (work.upper / "file").write_text("x")
        store.close()
        assert not work.upper.exists()
