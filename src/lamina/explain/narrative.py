"""The chain of causes of one build: which step ran of its own accord, and what it dragged along. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from lamina.explain.advice import advice
from lamina.explain.needed import Needs, unknown
from lamina.explain.observed import Saw, saw
from lamina.explain.story import Story, ToldStage, ToldStep
from lamina.explain.table import Summary, own_causes, summary
from lamina.explain.taxonomy import name_of
from lamina.keys.decide import MissCause

_FROM = re.compile(r"(?:--from=|[=,]from=)([^\s,]+)")
#: Causes that several steps share without one being another's fault: kinds, and parts of the key.
_SHARED = ("first_build", "evicted", "forced")
_SHARED_PARTS = ("env", "user", "directory", "network", "host", "hostname")


class Dragged(Struct, frozen=True):
    """A step that ran only because of another. `through` names the stage whose files it takes, if that is the way;
    `saw` what it looked at that is otherwise now, if it was observed."""

    step: ToldStep
    through: str = ""
    saw: Saw | None = None


class Fault(Struct, frozen=True):
    """A step that ran because of something of its own. `causes` are its own, the first is the one to tell; `name` is
    that one's entry in the taxonomy. `dragged` ran only because of it; `alike` ran for the same reason in the same way
    (never built before, the same variable, and so on); `spared` are steps below that were cached by observation, as
    nothing that they looked at has changed. `under` is a step above that ran for a cause of its own, so that
    this one would have run anyway. `cures` are what would have avoided it, the most concrete first."""

    step: ToldStep
    causes: tuple[MissCause, ...]
    name: str
    alike: tuple[ToldStep, ...] = ()
    dragged: tuple[Dragged, ...] = ()
    spared: tuple[ToldStep, ...] = ()
    under: ToldStep | None = None
    cures: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[ToldStep, ...]:
        """All that ran because of this."""
        return (self.step, *self.alike, *(one.step for one in self.dragged))

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)

    @property
    def size(self) -> int:
        """Bytes of new layers; a step that kept its earlier layer adds none."""
        return sum(step.size for step in self.steps if not step.kept)

    @property
    def last_time(self) -> float:
        """What those of its steps that ran before took then, in seconds."""
        return sum(step.before.seconds for step in self.steps if step.before is not None)


class Narrative(Struct, frozen=True):
    """A build's causes, empty if all came from the cache: what cost most first, followed by what would have run anyway
    because of it. `fetched` are the base images that were fetched."""

    faults: tuple[Fault, ...]
    summary: Summary
    fetched: tuple[str, ...] = ()


def narrate(story: Story, needs: Needs = unknown) -> Narrative:
    """The causes of a build. `needs` tells what its observed steps needed, for advice."""
    faults: dict[str, _Open] = {}
    stages: dict[str, str] = {}  # label → address of the fault that made its files anew
    for stage in story.stages:
        if stage.base in stages:
            stages[stage.label] = stages[stage.base]
        for step in stage.steps:
            if step.how == "observation" and stage.label in stages:
                faults[stages[stage.label]].spared.append(step)
            if not step.causes:
                continue
            origin, through = _blamed(step, stages, faults)
            if origin is not None:
                origin.dragged.append(Dragged(step, through, saw(story, step)))
                stages[stage.label] = origin.step.address
                faults[step.address] = origin
                continue
            own = own_causes(step) or step.causes
            twin = _twin(own, faults)
            if twin is not None:
                twin.alike.append(step)
                faults[step.address] = twin
            else:
                faults[step.address] = _Open(step, own)
            stages[stage.label] = faults[step.address].step.address
    found = [one.closed(story, faults, needs) for one in dict.fromkeys(faults.values())]
    fetched = tuple(stage.base for stage in story.stages if stage.base_outcome == "fetched")
    return Narrative(tuple(_ordered(found)), summary(story), fetched)


class _Open:
    """A fault that still grows."""

    def __init__(self, step: ToldStep, causes: Sequence[MissCause]) -> None:
        self.step = step
        self.causes = tuple(causes)
        self.alike: list[ToldStep] = []
        self.dragged: list[Dragged] = []
        self.spared: list[ToldStep] = []

    def closed(self, story: Story, faults: dict[str, _Open], needs: Needs) -> Fault:
        above = next((faults[one.origin] for one in self.step.causes if one.origin in faults), None)
        under = above.step if above is not None and above is not self else None
        dragged, alike = tuple(self.dragged), tuple(self.alike)
        cures = advice(story, self.step, self.causes, [*alike, *(one.step for one in dragged)], needs)
        spared = tuple(self.spared)
        return Fault(self.step, self.causes, name_of(self.causes[0]), alike, dragged, spared, under, cures)


def _ordered(faults: Sequence[Fault]) -> Iterator[Fault]:
    """Each cause with those under it behind it, the dearest first."""
    above = {fault.step.address: fault.under.address for fault in faults if fault.under is not None}
    roots: dict[str, list[Fault]] = {}
    for fault in faults:
        root = fault.step.address
        while root in above:
            root = above[root]
        roots.setdefault(root, []).append(fault)
    for group in sorted(roots.values(), key=lambda group: -round(sum(one.seconds for one in group), 1)):
        yield from sorted(group, key=lambda one: (one.under is not None, -round(one.seconds, 1)))


def _blamed(step: ToldStep, stages: dict[str, str], faults: dict[str, _Open]) -> tuple[_Open | None, str]:
    """The fault that made a step run, if it has none of its own; and the stage whose files brought it."""
    own = own_causes(step)
    if not own:
        return faults.get(step.causes[0].origin), ""
    if all(cause.part.startswith("source ") and cause.kind == "changed" for cause in own):
        named = [name for name in _FROM.findall(step.text) if name in stages]
        if len(named) == 1:
            return faults[stages[named[0]]], named[0]
    return None, ""


def _twin(own: Sequence[MissCause], faults: dict[str, _Open]) -> _Open | None:
    """A fault of the same cause."""
    if own[0].kind in _SHARED:
        return next((one for one in faults.values() if one.causes[0].kind == own[0].kind), None)
    if not all(cause.part.partition(" ")[0] in _SHARED_PARTS for cause in own):
        return None
    wanted = [(cause.kind, cause.part, cause.before, cause.after) for cause in own]
    found = (one for one in faults.values() if wanted == [(it.kind, it.part, it.before, it.after) for it in one.causes])
    return next(found, None)


def stage_of(story: Story, step: ToldStep) -> ToldStage:
    """The stage that holds a step."""
    return next(stage for stage in story.stages if step in stage.steps)


def find_steps(story: Story, wanted: str) -> tuple[ToldStep, ...]:
    """The steps that `wanted` means: those on a line of the Dockerfile, or whose instruction is that text or has it in
    it, whatever the case."""
    steps = story.steps()
    if wanted.isdecimal():
        line = int(wanted)
        return tuple(step for step in steps if step.span.line <= line <= max(step.span.line, step.span.end_line))
    word = " ".join(wanted.split()).casefold()
    texts = {step.address: " ".join(step.text.split()).casefold() for step in steps}
    whole = tuple(step for step in steps if texts[step.address] == word)
    return whole or tuple(step for step in steps if word in texts[step.address])
