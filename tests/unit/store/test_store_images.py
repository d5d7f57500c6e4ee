"""Images and names."""

from __future__ import annotations

import pytest
from tests.support.store_making import a_digest, add_image

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest
from lamina.store.images import Image
from lamina.store.store import Store


def fails(store: Store, text: str) -> str:
    with pytest.raises(BuildFailure) as caught:
        store.images.resolve(text)
    return caught.value.diagnostic.reference


def test_an_image_is_found_by_name_id_and_short_id(store: Store) -> None:
    image = add_image(store, "app:1")
    assert image.names == ("docker.io/library/app:1",)
    for text in ("app:1", "docker.io/library/app:1", image.id, image.id[7:], image.id[7:19], image.id[:12]):
        assert store.images.resolve(text) == image
    assert store.images.get("app:1") == image
    assert store.images.get("app") is None
    assert store.images.get("not a name!") is None
    for text in ("app:2", "ffffffffffff", "", "sha256:", "sha256:xyz", "NOT a name"):
        assert fails(store, text) == "store-image-missing"


def test_several_names_an_image(store: Store) -> None:
    image = add_image(store, "app:1")
    assert store.images.tag("app:1", "registry.example:5000/team/app:2").names == (
        "docker.io/library/app:1",
        "registry.example:5000/team/app:2",
    )
    assert store.images.tag(image.id[7:15], "app").id == image.id
    before, gone = store.images.untag("app:1")
    assert (len(before.names), gone) == (3, ())
    assert store.images.resolve("app").names == ("docker.io/library/app:latest", "registry.example:5000/team/app:2")


def test_an_image_goes_with_its_last_name_or_by_id(store: Store) -> None:
    image = add_image(store, "app")
    assert store.images.untag("app") == (image, (image.id,))
    assert store.images.list() == ()
    image = add_image(store, "app")
    store.images.tag("app", "more")
    assert store.images.untag(image.id[7:20])[1] == (image.id,)
    assert store.images.get("more") is None
    with pytest.raises(BuildFailure) as caught:
        store.images.untag("app")
    assert caught.value.diagnostic.reference == "store-image-missing"


def test_a_name_moves_and_leaves_a_nameless_image(store: Store) -> None:
    old = add_image(store, "app", created=1.0)
    new = Image(a_digest("new"), "linux/amd64", 2.0, names=("app",))
    store.images.add(new)
    assert store.images.resolve("app").id == new.id
    assert [(image.id, len(image.names)) for image in store.images.list()] == [(new.id, 1), (old.id, 0)]
    assert store.images.resolve(old.id[7:17]).names == ()
    assert store.images.forget_nameless() == (old.id,)
    assert fails(store, old.id) == "store-image-missing"


def test_a_name_holds_one_image_a_platform(store: Store) -> None:
    for platform in ("linux/amd64", "linux/arm64"):
        store.images.add(Image(a_digest(platform), platform, 1.0, names=("base:3",)))
    arm = store.images.get("base:3", "linux/arm64")
    assert arm is not None and arm.id == a_digest("linux/arm64")
    assert store.images.get("base:3", "linux/s390x") is None
    newest = store.images.get("base:3")
    assert newest is not None and newest.platform == "linux/arm64"
    assert store.images.forget_nameless() == ()


def test_short_ids(store: Store) -> None:
    ids = [Digest("sha256:" + start + "0" * (64 - len(start))) for start in ("abc1", "abc2")]
    for image_id in ids:
        store.images.add(Image(image_id, "linux/amd64", 1.0))
    assert fails(store, "abc") == "store-image-ambiguous"
    assert store.images.resolve("abc1").id == ids[0]
    store.images.tag("abc1", "abc")  # a name goes before the beginning of an ID
    assert store.images.resolve("abc").id == ids[0]
    assert store.images.resolve("sha256:abc2").id == ids[1]
    assert store.images.resolve(ids[1]).id == ids[1]


def test_what_is_known_of_an_image_is_kept(store: Store) -> None:
    image = Image(a_digest("i"), "linux/amd64", 1.0, a_digest("m"), "application/x", "r.example/base:1", ("base",))
    store.images.add(image)
    store.images.add(Image(a_digest("i"), "linux/amd64", 2.0, names=("other",)))
    found = store.images.resolve("other")
    assert (found.manifest, found.media_type, found.origin) == (a_digest("m"), "application/x", "r.example/base:1")
    assert (len(found.names), found.created) == (2, 2.0)


def test_a_name_with_a_digest(store: Store) -> None:
    name = f"base@{a_digest('index')}"
    store.images.add(Image(a_digest("i"), "linux/amd64", 1.0, names=(name,)))
    assert store.images.resolve(name).names == (f"docker.io/library/{name}",)


@pytest.mark.parametrize("name", ["UPPER", "a b", "app:", "-", "app:ü"])
def test_a_bad_name_is_the_users_error(store: Store, name: str) -> None:
    add_image(store, "app")
    with pytest.raises(BuildFailure) as caught:
        store.images.tag("app", name)
    assert caught.value.diagnostic.reference == "usage-image-name"
    with pytest.raises(BuildFailure):
        store.images.add(Image(a_digest("i"), "linux/amd64", 1.0, names=(name,)))
