"""Past builds and their stories: kept, found, trimmed, and never a reason to fail."""

from __future__ import annotations

import msgspec
import pytest
from tests.support.store_making import a_digest

from lamina.diagnostics import BuildFailure
from lamina.store.builds import Build
from lamina.store.codec import encode, to_blob
from lamina.store.store import Store

LIST = a_digest("list")
BUILD = Build("b1", "/p\udcff", 10.0, 2.5, "done", "sha256:x", "b1.log", (LIST,), a_digest("key"))


class Tale(msgspec.Struct, frozen=True):
    text: str
    numbers: tuple[int, ...] = ()


class Other(msgspec.Struct, frozen=True):
    another: int


def put(store: Store, *ids: str, project: str = "/p", **fields: object) -> None:
    for each in ids:
        store.builds.add(msgspec.structs.replace(BUILD, id=each, project=project, **fields))


def test_builds_newest_first(store: Store) -> None:
    for number in range(15):
        put(store, f"b{number:02}", project=f"/p{number % 2}")
    assert [build.id for build in store.builds.last(3)] == ["b14", "b13", "b12"]
    assert [build.id for build in store.builds.last(2, "/p0")] == ["b14", "b12"]
    assert len(store.builds.last()) == 10
    assert [build.id for build in store.builds.newest("/p1")][:2] == ["b13", "b11"]
    assert len(list(store.builds.newest())) == 15


@pytest.mark.parametrize("text", ["plain", "a path \udcff that is no UTF-8"])
def test_a_build_comes_back_whole_with_its_story(store: Store, text: str) -> None:
    store.builds.add(BUILD, Tale(text, (1, 2)))
    assert store.builds.get("b1") == BUILD
    assert store.builds.story("b1", Tale) == Tale(text, (1, 2))
    assert store.builds.facts() == {LIST}
    put(store, "b1", result="failed")
    assert [build.result for build in store.builds.last()] == ["failed"]
    assert store.builds.story("b1", Tale) is None


def test_a_story_of_another_shape_and_a_damaged_one_are_none(store: Store) -> None:
    store.builds.add(BUILD, Tale("x" * 100))
    assert store.builds.story("b1", Other) is None
    assert store.builds.story("nowhere", Tale) is None
    ((data,),) = store.index.read("SELECT data FROM builds")
    for place in range(len(data) - 60, len(data)):  # the story is the last field
        torn = bytearray(data)
        torn[place] ^= 0x55
        store.index.read("UPDATE builds SET data = ?", bytes(torn))
        assert store.builds.story("b1", Tale) in (None, Tale("x" * 100))


def test_what_an_id_means(store: Store) -> None:
    put(store, "abc1", "abc2", "abc", "b7")
    assert store.builds.resolve("b").id == "b7"
    assert store.builds.resolve("abc").id == "abc"
    assert store.builds.get("x") is None
    with pytest.raises(BuildFailure) as ambiguous:
        store.builds.get("ab")
    assert ambiguous.value.diagnostic.reference == "store-build-ambiguous"
    assert ambiguous.value.diagnostic.hint == "abc, abc2, abc1"
    with pytest.raises(BuildFailure) as missing:
        store.builds.resolve("abc3")
    assert missing.value.diagnostic.reference == "store-build-missing"
    assert (missing.value.diagnostic.hint or "").startswith("did you mean abc")
    with pytest.raises(BuildFailure) as unlike:
        store.builds.resolve("zzzz")
    assert "lamina explain --list" in (unlike.value.diagnostic.hint or "")


def test_the_build_of_an_image_is_the_newest_and_one_of_this_store(store: Store) -> None:
    image = a_digest("image")
    assert store.builds.by_image(image) is None
    put(store, "other")
    put(store, "far", image=image, origin="CI")
    assert (found := store.builds.by_image(image)) is not None and found.id == "far"
    put(store, "own1", "own2", image=image)
    put(store, "far2", image=image, origin="CI")
    assert (found := store.builds.by_image(image)) is not None and found.id == "own2"


def test_old_builds_are_forgotten_by_age_and_by_number(store: Store) -> None:
    store.builds.add(BUILD)
    assert store.builds.forget(10.0) == ()
    assert store.builds.forget(10.5) == ("b1.log",)
    assert store.builds.last() == ()
    for project in ("/a", "/b"):
        for number in range(4):
            put(store, f"{project[1]}{number}", project=project, log=f"{project[1]}{number}.log")
    assert sorted(store.builds.trim(3)) == ["a0.log", "b0.log"]
    assert store.builds.trim(3) == ()
    assert sorted(store.builds.trim(1)) == ["a1.log", "a2.log", "b1.log", "b2.log"]
    assert [build.id for build in store.builds.last()] == ["b3", "a3"]


def test_a_damaged_build_is_passed_over(store: Store) -> None:
    put(store, "b1", "b2", facts=())
    store.index.read("UPDATE builds SET data = x'0102' WHERE id = 'b2'")
    assert [build.id for build in store.builds.last()] == ["b1"]
    assert store.builds.facts() == set()
    assert store.builds.get("b2") is None
    assert store.builds.trim(1) == ("b1.log",)


def test_a_row_of_an_older_lamina_lists_without_a_story(store: Store) -> None:
    fields = {name: getattr(BUILD, name) for name in ("id", "project", "started", "seconds", "result", "image", "log")}
    old = {**fields, "project": "/p", "decisions": b"[]"}
    with store.index.write() as connection:
        connection.execute(
            "INSERT INTO builds (id, project, started, data) VALUES ('b1', ?, 10.0, ?)", (to_blob("/p"), encode(old))
        )
    assert store.builds.last() == (Build(**{**fields, "project": "/p"}),)
    assert store.builds.story("b1", Tale) is None
