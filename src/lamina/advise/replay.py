"""Which steps a build of each commit would have run: the keys of a build, with what files are in place of the files.

A step's key is `keys.compute`'s over its parent's; here both parts are kept apart and numbered, so that a replay of
hundreds of commits takes milliseconds: a number stands for (the stage's number above, the step's key on no parent, the
numbers of what it reads). What is read of another stage is known by that stage's number, as in `engine.identity`: where
a real build finds that the files it takes came out the same, it is cached although the replay says that it ran.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

import msgspec
from msgspec import Struct

from lamina.advise.selections import Course, Numbers, Selections
from lamina.digest import Digest
from lamina.keys.compute import copy_key, is_linked, run_key, workdir_key
from lamina.oci.platform import Platform
from lamina.plan.steps import (
    BindMount,
    CacheMount,
    CopyOp,
    MetaOp,
    Op,
    Origin,
    Plan,
    RunOp,
    Source,
    Stage,
    StageRef,
    Step,
    WorkdirOp,
    origins,
)

_NO_PARENT = Digest("scratch")


class Track(Struct, frozen=True):
    """One step over the history. `ran` are the places of the commits (from 1) at which it would have run, each with the
    place in `Replay.tracks` of the step whose input had changed: itself, or one above that dragged it along."""

    stage: Stage
    step: Step
    ran: dict[int, int]
    seconds: float

    @property
    def lost(self) -> float:
        return self.seconds * len(self.ran)


class Replay(Struct, frozen=True):
    """All steps that make layers, in the order of the plan. `changed` is what a commit changed for a step whose own
    input it was: paths of files, or `$NAME` for a build argument. `missing` are the commits at which some source names
    nothing, so that the build fails there."""

    tracks: tuple[Track, ...]
    changed: Callable[[int, int], tuple[str, ...]]
    missing: frozenset[int]
    commits: int

    @property
    def seconds(self) -> float:
        """What all rebuilds take, one step after the other."""
        return sum(track.lost for track in self.tracks)

    @property
    def waited(self) -> float:
        """What all rebuilds take where stages run side by side, and wait for what they read of each other."""
        total = 0.0
        for ran in self.ran():
            ends: dict[int, float] = {}
            for number in range(len(self.tracks)) if ran else ():
                stage, step = self.tracks[number].stage, self.tracks[number].step
                read = [*origins(step.op), *([stage.base] if stage.index not in ends else [])]
                begin = [ends.get(one.index, 0.0) for one in read if isinstance(one, StageRef)]
                seconds = self.tracks[number].seconds if number in ran else 0.0
                ends[stage.index] = max([ends.get(stage.index, 0.0), *begin]) + seconds
            total += max(ends.values(), default=0.0)
        return total

    def ran(self) -> list[set[int]]:
        """The places in `tracks` of the steps that ran, for each commit, oldest first."""
        found: list[set[int]] = [set() for _ in range(self.commits)]
        for number, track in enumerate(self.tracks):
            for at in track.ran:
                found[at - 1].add(number)
        return found


class Replayer:
    """Replays plans over one history. `varying` are build arguments with another value at each commit, by the value
    that stands for it in the plan."""

    def __init__(self, selections: Selections, varying: Mapping[str, str] | None = None) -> None:
        self._selections = selections
        self._numbers: Numbers = selections.numbers
        self._varying = dict(varying or {})
        self._own: dict[tuple[Op, Platform], tuple[int, tuple[str, ...]]] = {}
        self._places = len(selections.timeline.events) + 1

    def replay(self, plan: Plan, seconds: Callable[[Step], float]) -> Replay:
        """Raises BuildFailure for a source that is no valid pattern."""
        return _Pass(self, plan, seconds, {}, range(self._places)).run()

    def as_it_was(self, plans: Sequence[tuple[int, Plan]], seconds: Callable[[Step], float]) -> float:
        """The seconds that all rebuilds took with several plans one after the other, each from its place on (the first
        from 0): a Dockerfile that was itself changed."""
        made: dict[int, int] = {}
        ends = [first for first, _ in plans[1:]] + [self._places]
        return sum(
            _Pass(self, plan, seconds, made, range(first, end)).run().seconds
            for (first, plan), end in zip(plans, ends, strict=True)
        )

    def course(self, by: CopyOp | BindMount | CacheMount, source: str) -> Course:
        return self._selections.course(by, source)

    @property
    def places(self) -> int:
        """Commits, and the start."""
        return self._places

    def number(self, value: Hashable) -> int:
        return self._numbers.of(value)

    def own(self, op: Op, platform: Platform) -> tuple[int, tuple[str, ...]]:
        """The number of a step's key on no parent and without its files; and the varying arguments in it."""
        known = self._own.get((op, platform))
        if known is None:
            text = msgspec.json.encode(op).decode() if self._varying else ""
            names = tuple(name for name, mark in self._varying.items() if mark in text)
            known = self._own[(op, platform)] = (self._numbers.of(_key(op, platform)), names)
        return known


def _key(op: Op, platform: Platform) -> Digest:
    match op:
        case RunOp():
            return run_key(op, _NO_PARENT, platform).digest
        case CopyOp():
            return copy_key(op, _NO_PARENT, ()).digest
        case WorkdirOp():
            return workdir_key(op, _NO_PARENT).digest
    raise TypeError("a step that makes no layer has no key")


class _State(Struct, frozen=True):
    """A stage so far: its number at each place, and by which step (None: it is not new) it is new there."""

    numbers: Sequence[int]
    origin: Sequence[int | None]


class _Pass:
    """One plan's replay. `made` are the keys that were built, with the place; only builds in `valid` count."""

    def __init__(
        self,
        replayer: Replayer,
        plan: Plan,
        seconds: Callable[[Step], float],
        made: dict[int, int],
        valid: range,
    ) -> None:
        self._all = replayer
        self._plan = plan
        self._seconds = seconds
        self._stages: dict[int, _State] = {}
        self._made = made
        self._valid = valid
        self._tracks: list[Track] = []
        self._sources: list[tuple[tuple[Course, ...], tuple[str, ...]]] = []
        self._missing: set[int] = set()

    def run(self) -> Replay:
        for stage in self._plan.stages:
            state = self._base(stage)
            for step in stage.steps:
                if not isinstance(step.op, MetaOp):
                    state = self._step(stage, step, state)
            self._stages[stage.index] = state
        return Replay(tuple(self._tracks), self._changed, frozenset(self._missing - {0}), self._all.places - 1)

    def _base(self, stage: Stage) -> _State:
        if isinstance(stage.base, StageRef):
            return self._stages[stage.base.index]
        return self._constant(("base", stage.base, stage.platform))

    def _constant(self, value: Hashable) -> _State:
        places = self._all.places
        return _State((self._all.number(value),) * places, (None,) * places)

    def _step(self, stage: Stage, step: Step, above: _State) -> _State:
        own, varying = self._all.own(step.op, stage.platform)
        read: list[_State] = []
        courses: list[Course] = []
        for by, source, place_of in _reads(step.op):
            if place_of is None and isinstance(source, str):
                course = self._all.course(by, source)
                courses.append(course)
                self._missing |= course.missing
                read.append(_State(course.numbers, (None,) * self._all.places))
            elif isinstance(place_of, StageRef):
                read.append(self._stages[place_of.index])
            else:
                # An image, a named context, the web: nobody knows how they changed, so they stay as they are.
                read.append(self._constant(("outside", place_of, source)))
        linked = isinstance(step.op, CopyOp) and is_linked(step.op)
        place = len(self._tracks)
        numbers: list[int] = []
        origins: list[int | None] = []
        ran: dict[int, int] = {}
        for at in range(self._all.places):
            inputs = (own, *(state.numbers[at] for state in read), *((at,) if varying else ()))
            # The layer of a linked copy fits any parent; what stands on it does not.
            wanted = self._all.number(inputs if linked else (above.numbers[at], inputs))
            made = self._made.get(wanted)
            origin: int | None = None
            if at in self._valid and (made is None or made > at):
                self._made[wanted] = at
                if at:
                    sources = read if linked else (above, *read)
                    found = (state.origin[at] for state in sources if state.origin[at] is not None)
                    origin = ran[at] = next(found, place) or 0
            if linked:
                numbers.append(self._all.number((above.numbers[at], wanted)))
                origins.append(origin if origin is not None else above.origin[at])
            else:
                numbers.append(wanted)
                origins.append(origin)
        self._tracks.append(Track(stage, step, ran, self._seconds(step)))
        self._sources.append((tuple(courses), varying))
        return _State(numbers, origins)

    def _changed(self, place: int, at: int) -> tuple[str, ...]:
        courses, varying = self._sources[place]
        paths = dict.fromkeys(path for course in courses for path in course.changed.get(at, ()))
        return tuple(paths) or tuple(f"${name}" for name in varying)


def _reads(op: Op) -> list[tuple[CopyOp | BindMount | CacheMount, Source, Origin | None]]:
    """What an operation reads, as `engine.inputs.reads` has it: by what, the source, the origin."""
    match op:
        case CopyOp():
            return [(op, source, op.origin) for source in op.sources]
        case RunOp(mounts=mounts):
            return [
                (mount, mount.source, mount.origin)
                for mount in mounts
                if isinstance(mount, BindMount) or (isinstance(mount, CacheMount) and mount.origin is not None)
            ]
    return []
