"""Names and images against a model of two dictionaries."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.support.store_making import a_digest

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest
from lamina.store.images import Image
from lamina.store.store import Store

NAMES = st.sampled_from([f"docker.io/library/app:{tag}" for tag in "abc"])
IDS = st.sampled_from([a_digest(text) for text in ("one", "two", "three")])


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.store = Store.open(self.root / "store")
        self.images: set[Digest] = set()
        self.names: dict[str, Digest] = {}

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.root)

    @rule(image=IDS, names=st.lists(NAMES, max_size=2))
    def add(self, image: Digest, names: list[str]) -> None:
        self.store.images.add(Image(image, "linux/amd64", 1.0, names=tuple(names)))
        self.images.add(image)
        self.names.update(dict.fromkeys(names, image))

    @rule(source=NAMES | IDS, name=NAMES)
    def tag(self, source: str, name: str) -> None:
        image = self.meant(source)
        try:
            assert self.store.images.tag(source, name).id == image
            assert image is not None
            self.names[name] = image
        except BuildFailure:
            assert image is None

    @rule(source=NAMES | IDS)
    def untag(self, source: str) -> None:
        image = self.meant(source)
        try:
            _, gone = self.store.images.untag(source)
        except BuildFailure:
            assert image is None
            return
        assert image is not None
        if source in self.names:
            del self.names[source]
        else:
            self.names = {name: held for name, held in self.names.items() if held != image}
        assert gone == (() if image in self.names.values() else (image,))
        if gone:
            self.images.remove(image)

    @rule()
    def forget(self) -> None:
        nameless = self.images - set(self.names.values())
        assert set(self.store.images.forget_nameless()) == nameless
        self.images -= nameless

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = Store.open(self.root / "store")

    @invariant()
    def agrees(self) -> None:
        listed = self.store.images.list()
        assert {image.id for image in listed} == self.images
        assert {name: image.id for image in listed for name in image.names} == self.names

    def meant(self, source: str) -> Digest | None:
        return self.names.get(source) or (Digest(source) if source in self.images else None)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=25, stateful_step_count=20, deadline=None, database=None)
