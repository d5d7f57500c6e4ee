"""A store of format 1 is brought up in place, once."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.store_making import a_digest, a_record, add_image, add_layer

from lamina.diagnostics import BuildFailure
from lamina.store.index import SCHEMA_VERSION
from lamina.store.layout import FORMAT, open_layout
from lamina.store.rebuild import rebuild_index
from lamina.store.store import Store
from lamina.store.usage import layer_sizes
from lamina.testing.crash import killed_at

_BACK = """
DROP TABLE results;
DROP INDEX snapshots_layer;
ALTER TABLE snapshots DROP COLUMN disk;
CREATE INDEX snapshots_layer ON snapshots (layer);
DELETE FROM counters WHERE name != 'layer';
ALTER TABLE layer_blobs DROP COLUMN checked;
ALTER TABLE images RENAME COLUMN origin TO pulled;
PRAGMA user_version = 1;
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A store of format 1 with five steps, two of which share a file, and an image."""
    root = tmp_path / "store"
    with Store.open(root) as store:
        for number in range(4):
            snapshot = add_layer(store, None, f"{number}" * 5000)
            store.records.add(a_record(f"k{number}", result=snapshot.chain_id))
        with store.snapshots.begin(None) as work:
            os.link(snapshot.layer / "file", work.upper / "linked")
            last = store.snapshots.commit(work, None, a_digest("linked"), None)  # type: ignore[arg-type]
        store.records.add(a_record("k4", result=last.chain_id))
        add_image(store, "app", snapshot.diff_id)
    make_old(root)
    return root


def make_old(root: Path) -> None:
    with closing(sqlite3.connect(root / "index.db", isolation_level=None)) as connection:
        connection.executescript(_BACK)
    (root / "format").write_text("1\n")


def assert_is_new(root: Path) -> None:
    with Store.open(root) as store:
        assert (root / "format").read_text() == f"{FORMAT}\n"
        assert store.index.read("PRAGMA user_version") == [(SCHEMA_VERSION,)]
        for number in range(5):
            assert store.records.find(a_digest(f"k{number}")) is not None
        image = store.images.resolve("app")
        store.images.remember_key(a_digest("key"), image.id)
        assert store.images.by_key(a_digest("key")) == image


def test_every_row_stays_and_layers_are_measured_when_somebody_asks(old: Path) -> None:
    assert_is_new(old)
    with Store.open(old) as store:
        assert {row.disk for row in store.snapshots.rows()} == {-1}
        assert store.limit.taken().layers == layer_sizes(store).total
        assert -1 not in {row.disk for row in store.snapshots.rows()}


def test_the_tables_are_those_of_a_new_store(old: Path, tmp_path: Path) -> None:
    def tables(root: Path) -> list[object]:
        with Store.open(root) as store:
            names = store.index.read("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
            columns = [store.index.read(f"PRAGMA table_info({name})") for (name,) in names]
            indexes = store.index.read("SELECT name, tbl_name FROM sqlite_master WHERE type = 'index' ORDER BY name")
            return [*names, *columns, *indexes, *store.index.read("SELECT name FROM counters ORDER BY name")]

    assert tables(old) == tables(tmp_path / "new")


OPENER = """
import sys
from pathlib import Path
from lamina.store.store import Store
sys.stdin.readline()
with Store.open(Path(sys.argv[1])) as store:
    print(len(store.records.all()))
"""


def test_several_processes_at_once(old: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", OPENER, str(old)]
    pipe = subprocess.PIPE
    running = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) for _ in range(4)]
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[0] for process in running] == ["5\n"] * 4
    assert_is_new(old)


def test_killed_anywhere_on_the_way(old: Path) -> None:
    def action() -> None:
        Store.open(old).close()

    points, line = 0, 1
    while killed_at(line, "/lamina/store/", action):
        version = (old / "format").read_text()
        assert version in ("1\n", f"{FORMAT}\n")
        assert_is_new(old)
        make_old(old)
        points += 1
        line += 5
    assert points > 15
    assert_is_new(old)


def test_an_old_index_that_is_missing_or_damaged_is_told_and_saved_from(old: Path) -> None:
    index = old / "index.db"
    good = index.read_bytes()
    index.unlink()
    with pytest.raises(BuildFailure) as caught:
        Store.open(old)
    assert caught.value.diagnostic.reference == "store-index-damaged"
    index.write_bytes(b"x" * 100)
    with pytest.raises(BuildFailure) as caught:
        Store.open(old)
    assert caught.value.diagnostic.reference == "store-index-damaged"
    index.write_bytes(good)
    saved = rebuild_index(open_layout(old))
    assert (saved["snapshots"], saved["records"], saved["images"]) == (5, 5, 1)
