"""The limit: held before a write, by evicting what is worth least, never what this process stands on."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from tests.support.store_making import a_digest, a_record, add_image, add_layer, content_diff_id

from lamina.diagnostics import BuildFailure
from lamina.digest import ChainID
from lamina.store import limit
from lamina.store.fsck import check
from lamina.store.limit import parse_size, read_setting, write_setting
from lamina.store.store import Store
from lamina.store.usage import layer_sizes, usage

BLOCK = 4096
MB = 1_000_000


def a_step(store: Store, name: str, *, size: int = MB, seconds: float = 1.0, parent: ChainID | None = None) -> ChainID:
    snapshot = add_layer(store, parent, name.ljust(size, "."))
    record = a_record(name, parent=parent, result=snapshot.chain_id)
    store.records.add(msgspec.structs.replace(record, seconds=seconds))
    return snapshot.chain_id


def on_disk(root: Path) -> int:
    return int(subprocess.check_output(["du", "-s", "--block-size=1", "--exclude=tmp", root]).split()[0])


def is_cached(store: Store, name: str) -> bool:
    return bool(store.index.read("SELECT 1 FROM records WHERE key = ?", a_digest(name)))


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("12", 12), ("1kB", 1000), ("1.5g", 1_500_000_000), ("2TB", 2 * 10**12), (" 5M ", 5 * MB)],
)
def test_sizes_are_in_powers_of_1000(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "1x", "1 2"])
def test_what_is_no_size_is_told(text: str) -> None:
    with pytest.raises(BuildFailure) as caught:
        parse_size(text)
    assert caught.value.diagnostic.reference == "usage-bad-arguments"


@pytest.mark.parametrize("setting", ["auto", "none", 12_345])
def test_the_setting_is_kept(store: Store, setting: int | str) -> None:
    assert read_setting(store.layout) == "auto"
    write_setting(store.layout, setting)
    assert read_setting(store.layout) == setting == store.limit.current()
    store.layout.format.unlink()
    Store.open(store.layout.root).close()  # the file is the store's own


def test_a_damaged_setting_is_told_when_something_is_to_be_written(store: Store) -> None:
    store.layout.limit.write_bytes(b"\xff12")
    with pytest.raises(BuildFailure) as caught:
        store.blobs.put(b"x")
    assert caught.value.diagnostic.reference == "store-bad-limit"


def test_many_steps_in_a_row_stay_below_the_limit(tmp_path: Path) -> None:
    most = 20 * MB
    for number in range(30):
        with Store.open(tmp_path / "store", max_size=most) as store:
            a_step(store, f"step {number}")
            store.session.swept()
            assert on_disk(store.layout.root) <= most
            assert store.records.find(a_digest(f"step {number}")) is not None
    with Store.open(tmp_path / "store") as store:
        assert check(store, content_diff_id) == ()
        assert 3 < len(store.records.all()) < 15


def test_the_estimate_without_a_walk_is_what_the_disk_says(tmp_path: Path) -> None:
    """Also with shared files, whose first owner goes."""
    root = tmp_path / "store"
    with Store.open(root, max_size=40 * MB) as store:
        for number in range(4):
            first = add_layer(store, None, f"{number}" * MB)
            store.records.add(a_record(f"first {number}", result=first.chain_id))
            with store.snapshots.begin(None) as work:
                os.link(first.layer / "file", work.upper / "linked")
                (work.upper / "own").write_bytes(os.urandom(50_000))
                diff_id = content_diff_id(first.layer).replace("sha256:", f"sha256:{number}", 1)[:71]
                second = store.snapshots.commit(work, None, diff_id, None)  # type: ignore[arg-type]
            record = a_record(f"second {number}", result=second.chain_id)
            store.records.add(msgspec.structs.replace(record, seconds=1000.0))
            store.blobs.put(os.urandom(10_000))
        store.session.swept()
        assert store.limit.taken().layers + BLOCK == usage(store).of("layers")
    with Store.open(root, max_size=40 * MB) as store:
        store.limit.make_room(100_000)
        store.session.swept()
        assert not is_cached(store, "first 0") or not is_cached(store, "first 1")
        assert is_cached(store, "second 0") and is_cached(store, "second 3")
        taken = store.limit.taken()
        assert taken.layers == layer_sizes(store).total
        log = Path(f"{store.layout.index}-wal").stat().st_blocks * 512
        said = on_disk(root) - log
        assert abs(taken.total - limit._LOG - said) <= said // 100


def test_a_layer_that_is_too_big_alone_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store", max_size=13 * MB) as store:
        a_step(store, "small")
        with pytest.raises(BuildFailure) as caught:
            a_step(store, "big", size=20 * MB)
        store.session.swept()
        diagnostic = caught.value.diagnostic
        assert diagnostic.reference == "store-over-limit"
        assert "13,000,000" in diagnostic.message and diagnostic.hint is not None
        assert list(store.layout.layers.iterdir()) == [store.layout.layer(1)]
        assert [path.name for path in next(store.layout.tmp.iterdir()).iterdir()] == ["owner"]
        with pytest.raises(BuildFailure) as caught, store.blobs.writer(size=20 * MB):
            raise AssertionError  # not one byte of it is fetched
        assert caught.value.diagnostic.reference == "store-over-limit"
        with pytest.raises(BuildFailure) as caught, store.blobs.writer() as writer:
            writer.write(os.urandom(13 * MB))
            writer.commit()
        assert caught.value.diagnostic.reference == "store-over-limit"
        assert list(store.layout.blobs.iterdir()) == []


def test_what_this_process_used_stays_with_all_below_it(tmp_path: Path) -> None:
    root = tmp_path / "store"
    with Store.open(root) as store:
        base = a_step(store, "base", seconds=0.0)
        a_step(store, "used", parent=base, seconds=0.0)
        for number in range(4):
            a_step(store, f"other {number}", seconds=100.0)
        size = store.limit.taken().total
    with Store.open(root, max_size=size) as store:
        assert store.records.find(a_digest("used")) is not None
        a_step(store, "new", size=2 * MB)
        assert len(store.snapshots.stack(base)) == 1
        assert store.records.find(a_digest("used")) is not None
        assert sum(is_cached(store, f"other {number}") for number in range(4)) < 3
        with pytest.raises(BuildFailure) as caught:
            a_step(store, "more", size=6 * MB)
        assert caught.value.diagnostic.reference == "store-over-limit"
        assert all(is_cached(store, name) for name in ("base", "used", "new"))


def test_a_named_image_holds_its_layers(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        layer = add_layer(store, None, "x" * 4 * MB)
        add_image(store, "app", layer.diff_id)
    with Store.open(tmp_path / "store", max_size=13 * MB) as store:
        with pytest.raises(BuildFailure) as caught:
            a_step(store, "new", size=2 * MB)
        assert "lamina rmi" in str(caught.value.diagnostic.hint)
        store.images.untag("app")
    with Store.open(tmp_path / "store", max_size=13 * MB) as store:
        a_step(store, "new", size=2 * MB)
        assert not layer.layer.exists()


def test_with_other_processes_in_the_store_nothing_is_evicted(tmp_path: Path) -> None:
    root = tmp_path / "store"
    with Store.open(root) as store:
        a_step(store, "old", size=3 * MB)
    with Store.open(root) as other, Store.open(root, max_size=13 * MB) as store:
        with pytest.raises(BuildFailure) as caught:
            a_step(store, "new", size=3 * MB)
        assert caught.value.diagnostic.reference == "store-over-limit"
        assert "other lamina processes" in str(caught.value.diagnostic.cause)
        assert other.records.find(a_digest("old")) is not None


def test_threads_never_lose_what_they_found(tmp_path: Path) -> None:
    """Many threads look up and commit while each has to make room."""
    most, failures = 18 * MB, list[BaseException]()
    root = tmp_path / "store"
    with Store.open(root) as store:
        for number in range(20):
            a_step(store, f"old {number}", size=200_000)
    for turn in range(3):
        with Store.open(root, max_size=most) as store:

            def work(thread: int, store: Store = store, turn: int = turn) -> None:
                try:
                    for number in range(20):
                        found = store.records.find(a_digest(f"old {(number * 7 + thread) % 20}"))
                        if found is not None and found.result is not None:
                            assert (store.snapshots.stack(found.result)[0] / "file").is_file()
                        mine = a_step(store, f"{turn} {thread} {number % 4}", size=300_000)
                        assert (store.snapshots.stack(mine)[0] / "file").is_file()
                except BuildFailure as failure:
                    if failure.diagnostic.reference != "store-over-limit":
                        failures.append(failure)
                except BaseException as failure:
                    failures.append(failure)

            threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert failures == []
            store.session.swept()
            log = Path(f"{store.layout.index}-wal").stat().st_blocks * 512
            assert on_disk(root) - max(0, log - limit._LOG) <= most, (store.limit.taken(), log, usage(store))
    with Store.open(root) as store:
        assert check(store, content_diff_id) == ()


class Disk(NamedTuple):
    f_blocks: int
    f_bavail: int
    f_frsize: int = 1


def test_auto_keeps_a_reserve_of_the_disk_but_not_below_its_floor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "store"
    with Store.open(root) as store:
        for number in range(4):
            a_step(store, f"old {number}")
    monkeypatch.setattr(os, "statvfs", lambda path: Disk(100 * MB, 9 * MB))  # a disk as small as the test
    with Store.open(root) as store:
        a_step(store, "new")
        assert len(store.records.all()) == 5
    monkeypatch.setattr(limit, "FLOOR", 2 * MB)
    with Store.open(root) as store:
        a_step(store, "newer")
        assert is_cached(store, "newer") and len(store.records.all()) < 6
    with Store.open(root) as other, Store.open(root) as store:
        before = len(store.records.all())
        a_step(store, "newest")  # nothing may go, and nothing fails
        assert len(other.records.all()) == before + 1


def test_none_is_no_limit(store: Store) -> None:
    write_setting(store.layout, "none")
    a_step(store, "any")
    assert store.index.read("SELECT value FROM counters WHERE name = 'elsewhere'") == [(-1,)]
