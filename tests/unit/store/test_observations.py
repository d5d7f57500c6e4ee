"""Observations on disk: what was put comes back, small, and damage is never an observation."""

from __future__ import annotations

import hashlib
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.store_making import a_digest, a_record, add_layer

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest, digest_of
from lamina.keys.looks import ANSWER, Look, LookKind, Observations, SeenLayer
from lamina.store import gc, packed
from lamina.store.evict import evict
from lamina.store.gc import Wanted
from lamina.store.measure import disk_bytes
from lamina.store.observations import KeptObservations, from_bytes, to_bytes
from lamina.store.store import Store
from lamina.store.usage import usage


def seen(*looks: tuple[str, LookKind], files: int = 3) -> SeenLayer:
    made = tuple(sorted(Look(path, kind) for path, kind in looks))
    answers = b"".join(hashlib.sha256(repr(look).encode()).digest()[:ANSWER] for look in made)
    return SeenLayer(made, answers, files)


SMALL = Observations((seen(("", "list"), ("app/a.py", "entry"), ("app/a.py", "read")), seen(files=0)))


@pytest.fixture
def kept(store: Store) -> KeptObservations:
    return KeptObservations(store.layout, store.session)


def test_what_is_put_comes_back_under_its_content(kept: KeptObservations, store: Store) -> None:
    digest = kept.put(SMALL)
    assert kept.put(SMALL) == digest
    assert kept.get(digest) == SMALL
    assert kept.digests() == [digest]
    assert kept.size(digest) == (store.layout.looks / digest[7:]).stat().st_size
    other = Observations((*SMALL.seen, seen()))
    assert kept.put(other) != digest


def test_a_store_without_observations_has_no_folder_for_them(kept: KeptObservations, store: Store) -> None:
    assert kept.get(digest_of(b"none")) is None
    assert kept.digests() == []
    assert kept.size(digest_of(b"none")) == 0
    kept.delete(digest_of(b"none"))
    assert not store.layout.looks.exists()


def test_deleting(kept: KeptObservations) -> None:
    digest = kept.put(SMALL)
    kept.delete(digest)
    assert kept.get(digest) is None
    assert kept.digests() == []
    kept.put(SMALL)
    assert kept.get(digest) == SMALL


def test_another_process_finds_them(kept: KeptObservations, store: Store) -> None:
    digest = kept.put(SMALL)
    with Store.open(store.layout.root) as other:
        assert KeptObservations(other.layout, other.session).get(digest) == SMALL


def test_every_damaged_byte_is_noticed_and_the_file_written_anew(kept: KeptObservations, store: Store) -> None:
    digest = kept.put(SMALL)
    path = store.layout.looks / digest[7:]
    good = path.read_bytes()
    for place, change in itertools.product(range(len(good)), (0x01, 0x80, 0xFF)):
        path.write_bytes(good[:place] + bytes([good[place] ^ change]) + good[place + 1 :])
        found = kept.get(digest)
        # A byte of the frame that says nothing about its content may be anything.
        assert found == SMALL if path.exists() else found is None
        kept.put(SMALL)
        assert kept.get(digest) == SMALL or path.read_bytes() != good
        path.write_bytes(good)


@pytest.mark.parametrize("length", [0, 1, 10, -1])
def test_a_file_cut_short_or_too_long_is_noticed(kept: KeptObservations, store: Store, length: int) -> None:
    digest = kept.put(SMALL)
    path = store.layout.looks / digest[7:]
    path.write_bytes(path.read_bytes()[:length])
    assert kept.get(digest) is None
    assert not path.exists()


def test_another_ones_content_is_not_taken(kept: KeptObservations, store: Store) -> None:
    digest, other = kept.put(SMALL), kept.put(Observations(()))
    (store.layout.looks / digest[7:]).write_bytes((store.layout.looks / other[7:]).read_bytes())
    assert kept.get(digest) is None
    assert kept.get(other) == Observations(())


@pytest.mark.parametrize("raw", [b"", b"\xc0", b"\x91\x94\xc4\x00\xc4\x01\x01\xc4\x00\x00", b"\x91\x90", b"\x90\x90"])
def test_bytes_that_are_no_observations_are_damaged(kept: KeptObservations, store: Store, raw: bytes) -> None:
    """With the right digest, as another version might write them."""
    with pytest.raises(ValueError, match=r"damaged|answer"):
        from_bytes(raw)
    kept.put(SMALL)
    digest = digest_of(raw)
    (store.layout.looks / digest[7:]).write_bytes(packed.whole(raw))
    assert kept.get(digest) is None


@pytest.mark.parametrize("name", ["../x", "", "sha256:../../etc", "md5:00"])
def test_a_name_that_is_no_digest_leads_nowhere(kept: KeptObservations, name: str) -> None:
    with pytest.raises(ValueError, match="digest"):
        kept.get(Digest(name))


@pytest.mark.parametrize(
    "looks",
    [
        (Look("b", "entry"), Look("a", "entry")),
        (Look("a", "read"), Look("a", "entry")),
        (Look("a", "entry"), Look("a", "entry")),
        (Look("a", "entry"), Look("b", "entry"), Look("a", "read")),
    ],
)
def test_looks_that_are_not_sorted_are_refused(kept: KeptObservations, looks: tuple[Look, ...]) -> None:
    with pytest.raises(ValueError, match="sorted"):
        kept.put(Observations((SeenLayer(looks, bytes(ANSWER * len(looks)), 0),)))


def test_missing_answers_are_refused(kept: KeptObservations) -> None:
    with pytest.raises(ValueError, match="answer"):
        kept.put(Observations((SeenLayer((Look("a", "entry"),), b"short", 0),)))


def test_fifty_thousand_looks_take_less_than_two_megabytes(kept: KeptObservations) -> None:
    words = ["models", "views", "urls", "tests", "admin", "forms", "schema", "client", "server", "core", "auth", "x"]
    looks: list[tuple[str, LookKind]] = []
    for number, (top, below, name) in enumerate(itertools.product(words, words, words)):
        folder = f"app/venv/lib/python3.11/site-packages/{top}/{below}_{number % 7}"
        for tail in (".py", "_base.py", f"{number}.py", ".pyi"):
            looks += [(f"{folder}/{name}{tail}", "entry"), (f"{folder}/{name}{tail}", "read")]
        looks += [(f"{folder}/{name}.cpython-311-x86_64-linux-gnu{end}.so", "entry") for end in range(21)]
    observations = Observations((seen(*set(looks)),))
    assert len(observations.seen[0].looks) > 49_000
    digest = kept.put(observations)
    assert kept.size(digest) < 2 << 20
    assert kept.get(digest) == observations


# --- what keeps them -------------------------------------------------------------------------------------------------
def add_step(store: Store, name: str, observations: Observations) -> Digest:
    digest = store.observations.put(observations)
    snapshot = add_layer(store, None, name)
    store.records.add(replace(a_record(name, result=snapshot.chain_id), looks=digest))
    return digest


def test_a_step_keeps_what_it_saw_and_nobody_else_does(store: Store) -> None:
    named = add_step(store, "step", SMALL)
    stray = store.observations.put(Observations(()))
    size = disk_bytes(store.layout.looks / stray[7:])
    assert gc.prune(store, dry_run=True).bytes == size
    assert gc.prune(store).bytes == size
    assert store.observations.digests() == [named]
    gc.prune(store, Wanted(older_than=math.inf))
    assert store.observations.digests() == []


def test_two_steps_share_what_they_saw(store: Store) -> None:
    digest = add_step(store, "one", SMALL)
    assert add_step(store, "two", SMALL) == digest
    number = next(number for number, _, record in store.records.all() if record.key.digest == a_digest("one"))
    with store.index.write() as connection:
        connection.execute("DELETE FROM records WHERE id = ?", (number,))
    gc.prune(store)
    assert store.observations.get(digest) == SMALL


def test_their_bytes_are_counted(store: Store) -> None:
    before = store.limit.taken().total
    add_step(store, "step", SMALL)
    found = usage(store)
    assert found.of("observations") == disk_bytes(store.layout.looks)
    assert store.limit.taken().total - before >= found.of("observations") + found.own
    assert next(kind.count for kind in found.kinds if kind.name == "observations") == 1
    size = found.total - found.of("in progress")
    assert gc.prune(store, dry_run=True).left == pytest.approx(size, abs=1 << 16)


def test_making_room_takes_them_with_their_step(store: Store) -> None:
    gone = add_step(store, "step" + "." * 100_000, SMALL)
    stray = store.observations.put(Observations(()))  # of a step that another thread is about to record
    with Store.open(store.layout.root) as other:
        store.close()
        evict(other, 1 << 30)
        assert other.records.all() == []
        assert other.observations.get(gone) is None
        assert other.observations.get(stray) == Observations(())


BYTES = st.binary(min_size=1, max_size=6).filter(lambda name: b"\0" not in name)
PATHS = st.one_of(
    st.just(""), BYTES.map(lambda raw: raw.decode("utf-8", "surrogateescape")), st.text("a/é\n", max_size=5)
)
KINDS: st.SearchStrategy[LookKind] = st.sampled_from(["entry", "list", "read", "link", "xattrs"])
LAYERS = st.builds(
    lambda looks, files: seen(*looks, files=files), st.sets(st.tuples(PATHS, KINDS)), st.integers(0, 1 << 40)
)


@given(st.lists(LAYERS, max_size=4))
def test_any_observations_come_back(layers: list[SeenLayer]) -> None:
    observations = Observations(tuple(layers))
    raw = to_bytes(observations)
    assert from_bytes(raw) == observations
    assert to_bytes(from_bytes(raw)) == raw


@given(st.lists(LAYERS, max_size=3), st.lists(LAYERS, max_size=3))
def test_different_observations_are_different_bytes(one: list[SeenLayer], other: list[SeenLayer]) -> None:
    assert (to_bytes(Observations(tuple(one))) == to_bytes(Observations(tuple(other)))) == (one == other)


@given(st.binary(max_size=60))
def test_any_bytes_are_observations_or_an_error(raw: bytes) -> None:
    try:
        found = from_bytes(raw)
    except ValueError:
        return
    assert isinstance(found, Observations)


def test_what_the_disk_refuses_is_one_clear_error(kept: KeptObservations, store: Store) -> None:
    store.layout.looks.write_text("in the way")
    with pytest.raises(BuildFailure, match="store"):
        kept.put(SMALL)
