"""What is to go from a shared cache, decided from a look at it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.digest import Digest
from lamina.registry.cachestore import Held, HeldBlob
from lamina.sharing.places import Limits
from lamina.sharing.prune import GRACE, choose
from lamina.sharing.survey import Known, Step, Survey

NOW = 10_000_000.0
DAY = 86_400.0
DOCUMENT = 10


def name(key: str, kind: str = "k") -> str:
    return f"{kind}-{key}"


def step(key: str, content: str, layer: str, files: Sequence[str] = ()) -> Step:
    blobs = {Digest(one): 100 for one in (layer, *files)}
    return Step(name(key), name(content), f"result-{layer}", Digest(layer), blobs, "ann", NOW)


def document(key: str, age: float, *steps: Step, version: str = "", foreign: bool = False, kind: str = "k") -> Known:
    held = Held(name(key, kind), version or f"version-{kind}-{key}", NOW - age, DOCUMENT, None)
    return Known(held, NOW - age, steps, foreign)


def pair(key: str, age: float, layer: str) -> list[Known]:
    """The two documents of a step and that of its address."""
    one = step(key, f"{key}c", layer)
    return [document(key, age, one), document(f"{key}c", age, one), document(key, age, one, kind="a")]


def place(*documents: Known, blobs: dict[str, float] | None = None, collects: bool = False) -> Survey:
    """`blobs` are ages; by default those that are named, as old as can be."""
    held = {Digest(digest): HeldBlob(100, NOW - age) for digest, age in (blobs or {}).items()}
    if blobs is None and not collects:
        held = {digest: HeldBlob(100, 0.0) for known in documents for digest in known.blobs}
    return Survey({known.name: known for known in documents}, held, collects)


def gone(found: Survey, **limits: int) -> tuple[set[str], set[str]]:
    doomed = choose(found, Limits(**limits), NOW)
    return {known.name for known in doomed.documents}, set(doomed.blobs)


def test_what_is_named_stays_without_a_limit() -> None:
    assert gone(place(*pair("1", 900 * DAY, "l1"))) == (set(), set())


def test_age_takes_documents_notes_and_blobs() -> None:
    found = place(*pair("1", 40 * DAY, "l1"), *pair("2", 2 * DAY, "l2"))
    assert gone(found, max_age=int(30 * DAY)) == ({"k-1", "k-1c", "a-1"}, {"l1"})


def test_the_oldest_go_until_the_rest_fits() -> None:
    found = place(*pair("1", 3 * DAY, "l1"), *pair("2", 2 * DAY, "l2"), *pair("3", 1 * DAY, "l3"))
    each = 3 * DOCUMENT + 100
    assert gone(found, max_size=3 * each) == (set(), set())
    assert gone(found, max_size=3 * each - 25) == ({"k-1", "k-1c", "a-1"}, {"l1"})
    assert gone(found, max_size=each)[1] == {"l1", "l2"}
    assert gone(found, max_size=0)[1] == {"l1", "l2", "l3"}


def test_a_layer_that_two_steps_have_counts_once_and_goes_with_the_last() -> None:
    found = place(*pair("1", 3 * DAY, "same"), *pair("2", 2 * DAY, "same"))
    assert found.bytes_of(found.documents.values()) == 6 * DOCUMENT + 100
    assert gone(found, max_age=int(2.5 * DAY)) == ({"k-1", "k-1c", "a-1"}, set())
    assert gone(found, max_age=int(1 * DAY))[1] == {"same"}


@pytest.mark.parametrize("limits", [{"max_size": 0}, {"max_age": 0}])
def test_nothing_young_goes(limits: dict[str, int]) -> None:
    assert gone(place(*pair("1", GRACE - 1, "l1"), document("x", 5), blobs={}), **limits) == (set(), set())


def test_a_content_document_is_as_young_as_what_leads_to_it() -> None:
    """Hits by definition leave it alone."""
    found = place(document("1", DAY, step("1", "c", "l")), document("c", 90 * DAY, step("1", "c", "l")))
    assert gone(found, max_age=int(30 * DAY)) == (set(), set())
    old = place(document("1", 90 * DAY, step("1", "c", "l")), document("c", DAY, step("1", "c", "l")))
    assert gone(old, max_age=int(30 * DAY)) == ({"k-1"}, set())


def test_one_manifest_goes_as_a_whole() -> None:
    """A registry deletes by digest, and all tags of a digest go."""
    one = step("1", "c", "l")
    found = place(
        document("1", 9 * DAY, one, version="m"), document("c", 9 * DAY, one, version="m"), *pair("2", DAY, "l2"),
        collects=True,
    )  # fmt: skip
    assert gone(found, max_size=130 + 119) == ({"k-1", "k-c"}, set())
    used = place(document("1", DAY, one, version="m"), document("c", 90 * DAY, one, version="m"), collects=True)
    assert gone(used, max_age=int(30 * DAY)) == (set(), set())


def test_what_is_of_no_use() -> None:
    found = place(
        document("damaged", DAY), document("empty", DAY, step("empty", "e", "gone")),
        document("half", DAY, step("half", "h", "gone"), step("half", "h", "there")),
        blobs={"there": 50 * DAY, "loose": 2 * GRACE, "fresh": 60},
    )  # fmt: skip
    assert gone(found) == ({"k-damaged", "k-empty"}, {"loose"})


def test_blobs_stay_for_documents_that_cannot_be_read_here() -> None:
    found = place(document("new", DAY, foreign=True), blobs={"perhaps": 9 * DAY})
    assert gone(found) == (set(), set())
    assert gone(found, max_age=3600) == ({"k-new"}, {"perhaps"})


def test_times_to_come_are_as_of_now() -> None:
    assert gone(place(*pair("1", -900 * DAY, "l1")), max_age=int(DAY), max_size=0) == (set(), set())


steps = st.builds(
    step,
    st.sampled_from("123456"),
    st.sampled_from("abc"),
    st.sampled_from(["l1", "l2", "l3", "l4"]),
    st.lists(st.sampled_from(["f1", "f2"]), max_size=2),
)


@st.composite
def documents(draw: st.DrawFn) -> Known:
    held = draw(st.lists(steps, max_size=3))
    key, kind = draw(st.sampled_from("123456abc")), draw(st.sampled_from("kka"))
    age, version = draw(st.floats(-DAY, 60 * DAY)), draw(st.sampled_from(["", "", "m1", "m2"]))
    return document(key, age, *held, version=version, kind=kind)


@given(
    st.lists(documents(), max_size=14, unique_by=lambda known: known.name),
    st.dictionaries(st.sampled_from(["l1", "l2", "l3", "f1", "loose"]), st.floats(-DAY, 60 * DAY)),
    st.booleans(),
    st.none() | st.integers(0, 700),
    st.none() | st.integers(0, int(60 * DAY)),
)
def test_whatever_lies_there(
    listed: list[Known], blobs: dict[str, float], collects: bool, size: int | None, age: int | None
) -> None:
    found = place(*listed, blobs={} if collects else blobs, collects=collects)
    doomed = choose(found, Limits(size, age), NOW)
    names = {known.name for known in doomed.documents}
    kept = [known for known in listed if known.name not in names]
    assert all(known.used < NOW - GRACE for known in doomed.documents)
    # No blob of what stays goes, and all that nothing names and is old does.
    named = {digest for known in kept for digest in known.blobs}
    old = {digest for digest, blob in found.blobs.items() if blob.used < NOW - GRACE}
    assert set(doomed.blobs) == old - named
    # Within the budget, or it is for what is young, or cannot be weighed against steps: notes that nothing leads to.
    if size is not None and all(known.used < NOW - GRACE for known in listed):
        assert found.bytes_of(kept) <= size or all(known.is_note for known in kept)
