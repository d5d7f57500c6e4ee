"""Advice on one Dockerfile and one history: what the order cost, what broke the cache, and a better order."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from lamina.advise.blame import Blamed, blame
from lamina.advise.cachemounts import Mountable, mountable
from lamina.advise.cost import CostBook
from lamina.advise.ignores import IgnoreLine, ignore_lines, with_lines
from lamina.advise.past import History
from lamina.advise.replay import Replay, Replayer
from lamina.advise.scene import Layers, Scene, unbuilt
from lamina.advise.search import Found, search
from lamina.advise.selections import Numbers, Selections
from lamina.advise.sheet import Sheet
from lamina.advise.timeline import timeline
from lamina.advise.wants import Seen
from lamina.diagnostics import BuildFailure
from lamina.dockerfile.ignore import IgnoreRules
from lamina.plan.named import Reader
from lamina.plan.steps import Plan

#: An ignore line that saves less than this part of what is lost is not worth a word.
_WORTH = 0.005


class Case(Struct, frozen=True):
    """All that advice is made of. `planned` plans a sheet as the builder does; `read` gives the text of a file of the
    context after the last commit; `earlier` are the Dockerfiles that there were, each from its commit on (by number, 0
    is the start); `seen`, `varying` and `layers` as in `scene.Scene`."""

    sheet: Sheet
    planned: Callable[[Sheet], Plan]
    book: CostBook
    history: History
    rules: IgnoreRules | None
    read: Reader
    seen: Mapping[tuple[str, str], Seen] = {}
    varying: Mapping[str, str] = {}
    earlier: Sequence[tuple[int, Sheet]] = ()
    layers: Layers = unbuilt


class Advice(Struct, frozen=True):
    """`before` is the order as it is, `after` the best that was found: the same if there is none. `blamed` are the
    files behind what `before` lost; `ignores` may be added to the ignore file on top of `after`, and `mounts` to its
    RUNs. `as_it_was` are the seconds that each commit's own Dockerfile lost, None if that is not known or the same."""

    case: Case
    before: Found
    after: Found
    blamed: tuple[Blamed, ...]
    ignores: tuple[IgnoreLine, ...]
    mounts: tuple[Mountable, ...] = ()
    as_it_was: float | None = None

    @property
    def saved(self) -> float:
        return self.before.replay.seconds - self.after.replay.seconds

    @property
    def better(self) -> bool:
        """Whether there is a patch."""
        return bool(self.after.moves)

    def patch(self) -> str:
        """The change of the Dockerfile as a unified diff, empty without one."""
        name, old, new = self.case.sheet.name, self.before.scene.sheet.text, self.after.scene.sheet.text
        return unified(name, old, new)


def unified(name: str, old: str, new: str) -> str:
    """A unified diff, with the marks of lines that do not end."""
    lines = difflib.unified_diff(_lines(old), _lines(new), f"a/{name}", f"b/{name}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def advise(case: Case) -> Advice:
    """Replay, search, replay again. Raises BuildFailure for a Dockerfile that cannot be planned."""
    selections = Selections(timeline(case.history, case.rules), Numbers())
    replayer = Replayer(selections, case.varying)
    head = selections.timeline.head()
    scene = Scene(
        sheet=case.sheet,
        plan=case.planned(case.sheet),
        book=case.book,
        tree=[head[path] for path in sorted(head)],
        read=case.read,
        seen=case.seen,
        varying=case.varying,
        layers=case.layers,
    )
    before = Found(scene, replayer.replay(scene.plan, scene.book.seconds))
    after = search(scene, replayer, case.planned)
    blamed = blame(before.replay)

    def seconds(lines: Sequence[str]) -> float:
        return _replayed(case, after, lines).seconds if lines else after.replay.seconds

    least = max(before.replay.seconds * _WORTH, 1e-6)
    paths = {path for each in (before, after) for path in _broken_by(each.replay)}
    ignores = ignore_lines(paths, case.sheet.text, case.read, seconds, least=least)
    return Advice(
        case, before, after, blamed, ignores, tuple(mountable(after.replay, least)), _as_it_was(case, replayer)
    )


def _as_it_was(case: Case, replayer: Replayer) -> float | None:
    if not case.earlier:
        return None
    try:
        plans = [(place, case.planned(sheet)) for place, sheet in case.earlier]
        return replayer.as_it_was(plans, case.book.seconds)
    except BuildFailure:
        return None  # a target or a stage that was not there yet


def _replayed(case: Case, found: Found, lines: Sequence[str]) -> Replay:
    """A replay with more ignore lines."""
    selections = Selections(timeline(case.history, with_lines(case.rules, lines)), Numbers())
    return Replayer(selections, case.varying).replay(found.scene.plan, found.scene.book.seconds)


def _broken_by(replay: Replay) -> set[str]:
    origins = {(origin, at) for track in replay.tracks for at, origin in track.ran.items()}
    return {path for origin, at in origins for path in replay.changed(origin, at)}


def _lines(text: str) -> list[str]:
    return [line + "\n" for line in text.split("\n")[:-1]] + ([text.rpartition("\n")[2]] if text[-1:] != "\n" else [])
