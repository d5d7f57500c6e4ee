"""A Dockerfile with what is known of it, and what a change of it is: a move gives the whole text anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from lamina.advise.cost import Cost, CostBook
from lamina.advise.recorded import Recorded
from lamina.advise.sheet import Sheet
from lamina.advise.wants import Seen
from lamina.keys.filetree import FileRecord
from lamina.plan.named import Reader
from lamina.plan.steps import Plan, Step

#: The layers of the stage with a step of this text; None if they are not there.
Layers = Callable[[str], Recorded | None]


def unbuilt(text: str) -> Recorded | None:
    """`Layers` where nothing was built."""
    return None


class Move(Struct, frozen=True):
    """One change. `what` is a sentence, `why` what it rests on, `risks` what a build must show; `costs` are of steps
    that it makes, by their texts. `spared` are bytes that the image gets smaller by, as it was built last."""

    sheet: Sheet
    what: str
    why: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()
    costs: Mapping[str, Cost] = {}
    spared: int = 0


class Scene(Struct, frozen=True):
    """A Dockerfile with all that moves ask for. `tree` is the context after the last commit, sorted; `seen` what
    observed steps looked at, by the texts of the RUN and of the COPY; `varying` as in `replay.Replayer`; `layers` those
    of the stage in which a step of this text was built last."""

    sheet: Sheet
    plan: Plan
    book: CostBook
    tree: Sequence[FileRecord]
    read: Reader
    seen: Mapping[tuple[str, str], Seen] = {}
    varying: Mapping[str, str] = {}
    layers: Layers = unbuilt

    def steps(self) -> dict[int, Step]:
        """The steps by the places of their blocks; those of triggers have none."""
        found = {step.span: step for stage in self.plan.stages for step in stage.steps}
        return {
            at: found[block.instruction.span]
            for at, block in enumerate(self.sheet.blocks)
            if block.instruction is not None and block.instruction.span in found
        }
