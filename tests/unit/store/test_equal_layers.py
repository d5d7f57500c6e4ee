"""Two equal layers in one chain: they share a directory, and a stack names it once."""

from __future__ import annotations

from pathlib import Path

from lamina.digest import DiffID
from lamina.store.store import Store


def test_a_stack_names_a_shared_directory_once_at_its_topmost_place(tmp_path: Path) -> None:
    one, other = DiffID("sha256:" + "1" * 64), DiffID("sha256:" + "2" * 64)
    with Store.open(tmp_path / "store") as store:
        parent = None
        for diff_id in (one, other, one):
            with store.snapshots.begin(parent) as work:
                (work.upper / diff_id[7:10]).write_text("x")
                parent = store.snapshots.commit(work, parent, diff_id, 1).chain_id
        names = [sorted(path.name for path in layer.iterdir()) for layer in store.snapshots.stack(parent)]
    assert names == [["111"], ["222"]]
