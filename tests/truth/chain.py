"""One seed: a project, edited again and again over one store, each time forecast, built and compared."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, get_args

from tests.support.waiting import copied
from tests.truth import edits, image_files
from tests.truth.expect import Turn, Untrue, Wrong, check_images
from tests.truth.forked import Forked
from tests.truth.model import Step, steps
from tests.truth.shapes import SHAPES
from tests.truth.state import How, State, put

#: A file changed less than this many seconds ago is looked at again by the next build.
_SETTLED = 2.1

Image = tuple[image_files.Files, dict[str, Any]]


def make_store(root: Path, busybox: Path) -> None:
    """A store with the images base-1 and base-2, which differ in one file, at `root`; `busybox` is their root's tar."""
    other = root.with_suffix(".tar")
    shutil.copy(busybox, other)
    with tarfile.open(other, "a") as archive:
        archive.addfile(tarfile.TarInfo("etc/other"))
    for tar, name in ((busybox, "base-1"), (other, "base-2")):
        Forked(root).run("import", tar, name, "--env", "PATH=/bin").ok()


class Chain:
    """The project of a seed in `folder`, with two copies of `store`: one whose cache is used, one for builds that do
    without. `told` is what was done, and what came of it that is not true; `tally` counts."""

    def __init__(self, folder: Path, store: Path, seed: int, *, patient: bool = True) -> None:
        self.random = Random(seed)
        self.tally = Counter[str]()
        self.told: list[str] = []
        self.shape = SHAPES[seed % len(SHAPES)]
        self._patient = patient
        self._place = folder / "project"
        self._place.mkdir(parents=True)
        self._secret = folder / "secret"
        self._archive = folder / "image.tar"
        self._own, self._control = (self._copy(store, folder / name) for name in ("store", "control"))
        self._state = State((), {})
        self._states: list[State] = []
        self._known: set[str] = set()
        self._before: list[Step] = []
        self._images: dict[tuple[object, ...], Image] = {}

    @staticmethod
    def _copy(store: Path, root: Path) -> Forked:
        return Forked(copied(store, root))

    def run(self, count: int) -> None:
        """Build the project, then edit it that many times; a command that fails ends it."""
        try:
            self._turn("the first build", self.shape(), "in place")
            for _ in range(count):
                self._edit()
                self.tally["edits"] += 1
        except Untrue as untrue:
            self._note(untrue)
        except AssertionError as failed:  # a command that tests/support/command.py expected to succeed
            self._note(Untrue("failed", str(failed)[-1000:]))

    @property
    def wrong(self) -> int:
        """How much was found that is not true."""
        return sum(self.tally[kind] for kind in get_args(Wrong))

    def _edit(self) -> None:
        chance = self.random.random()
        settled = self._patient and self.random.random() < 0.25
        if settled:
            time.sleep(_SETTLED)
            self._plain_build()
        if chance < 0.06:
            self._turn("nothing", self._state, "in place")
        elif chance < 0.10:
            path = self.random.choice([path for path, entry in self._state.tree.items() if entry.kind == "file"])
            os.utime(self._place / path)
            self._turn(f"{path} touched", self._state, "in place")
        elif chance < 0.20:
            number = self.random.randrange(len(self._states))
            self._turn(f"back to state {number}", self._states[number], "anew")
        elif chance < 0.24:
            self._elsewhere()
        else:
            what, state, how = self._random_edit(self._state)
            if chance > 0.92:
                more, state, how = self._random_edit(state)
                what = f"{what}, {more}"
            self._turn(what, state, how)
        if settled:
            self._same_without_events()

    def _random_edit(self, state: State) -> edits.Edited:
        while True:
            chance = self.random.random()
            kinds = edits.OF_FILES if chance < 0.45 else edits.OF_INSTRUCTIONS
            if chance > 0.75:
                kinds = edits.FAVOURED.get(self.shape.__name__, kinds)
            edited = self.random.choice(kinds)(state, self.random)
            if edited is not None and (edited.state != state):
                return edited

    # --- one turn: edit, forecast, build, compare --------------------------------------------------------------------
    def _turn(self, what: str, state: State, how: How) -> None:
        self.told.append(f"{len(self._states)}. {what}")
        put(self._place, self._state.files if self._states else {}, state.files, how)
        self._secret.write_text(state.secret)
        for command in (self._own, self._control):
            if not self._states or state.base != self._state.base:
                command.run("tag", f"base-{state.base}", "base").ok()
        now = steps(state)
        foreseen = self._plan(self._place, state)
        done = self._own.build(self._place, *self._flags(state), "-o", f"type=docker,dest={self._archive}")
        if done.code != 0:
            raise Untrue("failed", done.err.rpartition('{"event"')[2])
        turn = Turn(foreseen, done.result["steps"], now, self._before, frozenset(self._known))
        self._note(*turn.check(self.tally))
        self._note(*check_images(self._expected(state), image_files.read(self._archive)))
        self.tally["images"] += 1
        self._state, self._image = state, done.image
        self._before = [step for stage in now for step in stage]
        self._known |= {step.key for step in self._before}
        self._states.append(state)

    def _note(self, *found: Untrue) -> None:
        self.told += [f"    → {untrue}" for untrue in found]
        self.tally.update(untrue.kind for untrue in found)

    def _plan(self, place: Path, state: State) -> list[dict[str, Any]]:
        done = self._own.run("plan", "--json", *self._arguments(state), place)
        if done.code not in (0, 10):
            raise Untrue("failed", done.err)
        told = json.loads(done.out)
        runs = any(row["verdict"] in ("CHANGED", "rebuilds", "new", "unknown") for row in told["steps"])
        if runs != (done.code == 10) or runs != (told["pending"] > 0):
            self._note(Untrue("prediction", f"exit status {done.code}, {told['pending']} pending"))
        found: list[dict[str, Any]] = told["steps"]
        return found

    def _expected(self, state: State) -> Image:
        identity = state.identity()
        if identity not in self._images:
            archive = self._archive.with_name("control.tar")
            flags = (*self._flags(state), "--no-cache", "-o", f"type=docker,dest={archive}")
            self._control.build(self._place, *flags).ok()
            self._images[identity] = image_files.read(archive)
        return self._images[identity]

    @staticmethod
    def _arguments(state: State) -> list[str]:
        return [word for name, value in state.args.items() for word in ("--build-arg", f"{name}={value}")]

    def _flags(self, state: State) -> list[str]:
        return [*self._arguments(state), "--secret", f"id=token,src={self._secret}"]

    # --- what a build with nothing to do is answered from -------------------------------------------------------------
    def _plain_build(self) -> str:
        done = self._own.run("build", *self._flags(self._state), self._place).ok()
        return (done.out + done.err).rsplit("image ", 1)[1].strip()

    def _same_without_events(self) -> None:
        image = self._plain_build()
        if image != self._image:
            self._note(Untrue("stale", f"a plain build gives {image}, not {self._image}"))

    def _elsewhere(self) -> None:
        """A copy of the project in another directory has all steps already."""
        other = self._place.with_name("elsewhere")
        shutil.copytree(self._place, other, symlinks=True)
        for row in self._plan(other, self._state):
            if row["verdict"] not in ("cached", "metadata"):
                self._note(Untrue("needless", f"a copy of the project: {row['text']} is {row['verdict']}"))
        shutil.rmtree(other)
