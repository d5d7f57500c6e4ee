"""`./dev test-truth --observed [EDITS] [--seed SEED]`: builds whose steps are observed, compared with builds that have
no cache and observe nothing.

Each project of `observed_shapes` is edited again and again over one store, each time forecast and built. True must be:
- the image has the files of a build without a cache, in another store (but for times);
- what steps wrote of times is what they write on the same layers again;
- a step that was foretold to be cached is cached.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple, get_args

from tests.support.base_images import busybox_rootfs
from tests.support.waiting import copied
from tests.truth import image_files
from tests.truth.chain import make_store
from tests.truth.edits import Edited
from tests.truth.forked import Forked
from tests.truth.observed_edits import OF_FILES, OF_INSTRUCTIONS
from tests.truth.observed_shapes import SHAPES
from tests.truth.state import How, State, put

_LENGTH = 8
#: `stale`: the image, or what it says of times, is another than without a cache; `prediction`: a step that was to be
#: cached ran; `unforeseen`: a step that was to run was found cached by observation, though nothing but copies ran above
#: it (what another step makes nobody can know before, nor that an edit left size and time); `failed`: a command failed
#: that does not without a cache, or the reverse.
Wrong = Literal["stale", "prediction", "unforeseen", "failed"]
Row = dict[str, Any]
_RUNS = ("CHANGED", "rebuilds", "new")


class ObservedChain:
    """The project of a seed in `folder`, with two copies of `store`. `told` is what was done, and what came of it that
    is not true; `tally` counts."""

    def __init__(self, folder: Path, store: Path, seed: int) -> None:
        self.random = Random(seed)
        self.tally = Counter[str]()
        self.told: list[str] = []
        self.shape = SHAPES[seed % len(SHAPES)]
        self._place = folder / "project"
        self._place.mkdir(parents=True)
        self._secret = folder / "secret"
        self._secret.write_text("sesame")
        self._archive = folder / "image.tar"
        self._own, self._control = (self._copy(store, folder / name) for name in ("store", "control"))
        self._state = State((), {})
        self._states: list[State] = []
        self._images: dict[tuple[object, ...], tuple[image_files.Files, Any] | None] = {}

    @staticmethod
    def _copy(store: Path, root: Path) -> Forked:
        return Forked(copied(store, root))

    def run(self, count: int) -> None:
        """Build the project, then edit it that many times."""
        self._turn("the first build", self.shape())
        for _ in range(count):
            self._edit()
            self.tally["edits"] += 1

    @property
    def wrong(self) -> int:
        return sum(self.tally[kind] for kind in get_args(Wrong))

    def _edit(self) -> None:
        chance = self.random.random()
        if chance < 0.1:
            number = self.random.randrange(len(self._states))
            self._turn(f"back to state {number}", self._states[number], "anew")
            return
        what, state, how = self._random_edit(self._state)
        if chance > 0.85:
            more, state, how = self._random_edit(state)
            what = f"{what}, {more}"
        if chance < 0.25:
            what += ", all times other"
            self._touch()
        self._turn(what, state, how, observe=self.random.random() > 0.06)

    def _random_edit(self, state: State) -> Edited:
        while True:
            kinds = OF_FILES if self.random.random() < 0.85 else OF_INSTRUCTIONS
            edited = self.random.choice(kinds)(state, self.random)
            if edited is not None and edited.state != state:
                return edited

    def _touch(self) -> None:
        """As a fresh checkout has it: all times are new."""
        for path in self._place.rglob("*"):
            when = 1_500_000_000 + self.random.randrange(10**8)
            os.utime(path, (when, when), follow_symlinks=False)

    # --- one turn --------------------------------------------------------------------------------------------------
    def _turn(self, what: str, state: State, how: How = "in place", *, observe: bool = True) -> None:
        flags = ["--observe"] if observe else []
        self.told.append(f"{len(self._states)}. {what}{'' if observe else ' (not observed)'}")
        put(self._place, self._state.files if self._states else {}, state.files, how)
        if not self._states or state.base != self._state.base:
            for command in (self._own, self._control):
                command.run("tag", f"base-{state.base}", "base").ok()
        self._state = state
        self._states.append(state)
        foreseen = self._own.run("plan", "--json", *flags, self._place)
        done = self._build(self._own, self._archive, *flags)
        expected = self._expected(state)
        if done.code != 0 or expected is None:
            if done.code != 0 and expected is None and foreseen.code in (0, 10):
                self.tally["failing"] += 1  # a build that must fail
            else:
                self._note("failed", done.err[-1500:] + foreseen.err or "only without a cache")
            return
        rows = json.loads(foreseen.out)["steps"]
        self._check_rows(rows, done.result["steps"], open_ended=how == "same times")
        if "not observed" in done.err or "cannot be observed" in done.err:
            self._note("failed", "not observed")
        self._check_image(expected, image_files.read(self._archive))
        if any(": times" in line for line in state.lines):
            self._check_times()
        self.tally["images"] += 1

    def _build(self, command: Forked, archive: Path, *flags: str) -> Any:
        secret = f"id=token,src={self._secret}"
        return command.build(self._place, *flags, "--secret", secret, "-o", f"type=docker,dest={archive}")

    def _note(self, kind: Wrong, message: str) -> None:
        self.told.append(f"    → {kind}: {message}")
        self.tally[kind] += 1

    def _expected(self, state: State) -> tuple[image_files.Files, Any] | None:
        """The image of a build without cache and observation; None if that fails."""
        identity = (*state.identity(), state.lines)
        if identity not in self._images:
            archive = self._archive.with_name("control.tar")
            done = self._build(self._control, archive, "--no-cache")
            self._images[identity] = image_files.read(archive) if done.code == 0 else None
        return self._images[identity]

    def _check_rows(self, foreseen: list[Row], built: list[Row], *, open_ended: bool) -> None:
        for plan, fact in zip(foreseen, built, strict=True):
            told, came = plan["verdict"], fact["verdict"]
            if came == "cached" and fact["how"] == "observation":
                self.tally["hits"] += 1
                self.tally["surprising hits"] += told != "cached"
                if told in _RUNS and not plan["possible"] and not open_ended:
                    self._note("unforeseen", fact["text"])
            elif came in _RUNS and fact["text"].startswith("RUN"):
                self.tally["misses" if fact["look"] else "other runs"] += 1
            copies = fact["text"].upper().startswith(("COPY", "ADD")) and "--from" not in fact["text"]
            open_ended = open_ended or (came in _RUNS and not copies)
            if told == "cached" and came != "cached":
                self._note("prediction", f"{fact['text']!r} was to be cached ({plan['how']}), {came}: {fact['look']}")

    def _check_image(self, expected: tuple[image_files.Files, Any], found: tuple[image_files.Files, Any]) -> None:
        for one, other in zip(map(_timeless, expected), map(_timeless, found), strict=True):
            if one != other:
                keys = [key for key in {*one, *other} if one.get(key) != other.get(key)]
                told = {key: (one.get(key), other.get(key)) for key in sorted(keys)[:5]}
                self._note("stale", f"(without the cache, with it) {told}")

    def _check_times(self) -> None:
        done = self._own.run("cache", "verify", "--steps", ": times", "--json")
        for step in json.loads(done.out)["steps"]:
            self.tally["repeated"] += step["verdict"] == "repeatable"
            if step["verdict"] != "repeatable":
                self._note("stale", f"again on the same layers: {step}")


def _timeless(values: dict[str, Any]) -> dict[str, Any]:
    """Files without the content of those that hold times."""
    return {path: value[:4] if path.startswith("times/") else value for path, value in values.items()}


class Report(NamedTuple):
    tally: Counter[str]
    story: str


def one(seed: int, store: Path, length: int = _LENGTH) -> Report:
    """Run a seed's chain in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix=f"observed-{seed}-") as folder:
        chain = ObservedChain(Path(folder), store, seed)
        chain.run(length)
    head = f"seed {seed} ({chain.shape.__name__}):"
    story = "\n  ".join([head, *chain.told]) if chain.wrong else ""
    return Report(chain.tally, story)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="./dev test-truth --observed", description=(__doc__ or "").partition("\n\n")[0]
    )
    parser.add_argument("edits", nargs="?", type=int, default=300, help="at least so many edits (default: 300)")
    parser.add_argument("--seed", type=int, help="this seed alone")
    arguments = parser.parse_args()
    started, total = time.monotonic(), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="observed-store-") as folder:
        store = Path(folder) / "store"
        make_store(store, busybox_rootfs(Path(folder)))
        seeds = range(-(-arguments.edits // _LENGTH)) if arguments.seed is None else [arguments.seed]
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            for seed, report in zip(seeds, pool.map(one, seeds, [store] * len(seeds)), strict=True):
                total.update(report.tally)
                if report.story:
                    say(f"{report.story}\n  again: ./dev test-truth --observed --seed {seed}\n")
    counted = ("edits", "images", "failing", "hits", "surprising hits", "misses", "other runs", "repeated")
    wrong = ", ".join(f"{total[kind]} {kind}" for kind in get_args(Wrong))
    checked = ", ".join(f"{total[name]} {name}" for name in counted)
    say(f"{checked} in {time.monotonic() - started:.0f}s. Wrong: {wrong}")
    return 1 if any(total[kind] for kind in get_args(Wrong)) else 0


if __name__ == "__main__":
    sys.exit(main())
