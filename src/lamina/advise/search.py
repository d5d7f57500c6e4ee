"""The best order: one move after the other, each the one that saves most in a replay of the same history. Then what
saves no seconds, and costs none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from lamina.advise.merge_runs import merge_runs
from lamina.advise.moves import moves
from lamina.advise.replay import Replay, Replayer
from lamina.advise.scene import Move, Scene
from lamina.advise.sheet import Sheet
from lamina.diagnostics import BuildFailure
from lamina.plan.steps import Plan

#: A move that saves less than this part of all that is lost is not worth a change.
_WORTH = 0.002
_MOST_MOVES = 24
#: With at most so many moves at hand, pairs of them are tried where none alone saves anything.
_PAIRS = 12


class Found(Struct, frozen=True):
    """An order with the replay of it, and the moves that led to it from the one that was there."""

    scene: Scene
    replay: Replay
    moves: tuple[Move, ...] = ()


def search(scene: Scene, replayer: Replayer, planned: Callable[[Sheet], Plan]) -> Found:
    """Better orders until no move makes one, then one RUN of several; never one that the replay says is worse.

    `planned` plans a sheet as the builder does. Raises BuildFailure for the Dockerfile as it is.
    """
    best = _fastest(Found(scene, replayer.replay(scene.plan, scene.book.seconds)), replayer, planned)
    while len(best.moves) < 2 * _MOST_MOVES:
        unions = _tried(best, merge_runs(best.scene, best.replay), replayer, planned)
        better = next((one for one in unions if one.replay.seconds <= best.replay.seconds + 1e-6), None)
        if better is None:
            return best
        best = better
    return best


def _fastest(best: Found, replayer: Replayer, planned: Callable[[Sheet], Plan]) -> Found:
    worth = max(best.replay.seconds * _WORTH, 1e-6)
    while len(best.moves) < _MOST_MOVES:
        nexts = list(_after(best, replayer, planned))
        better = _least(nexts)
        if better is None or better.replay.seconds > best.replay.seconds - worth:
            better = _least(
                [each for one in nexts for each in _after(one, replayer, planned)] if len(nexts) <= _PAIRS else []
            )
        if better is None or better.replay.seconds > best.replay.seconds - worth:
            return best
        best = better
    return best


def _after(found: Found, replayer: Replayer, planned: Callable[[Sheet], Plan]) -> Iterator[Found]:
    return _tried(found, moves(found.scene), replayer, planned)


def _tried(
    found: Found, tries: Iterable[Move], replayer: Replayer, planned: Callable[[Sheet], Plan]
) -> Iterator[Found]:
    for move in tries:
        try:
            plan = planned(move.sheet)
            book = found.scene.book.derive(move.costs)
            replay = replayer.replay(plan, book.seconds)
        except BuildFailure:
            # The text that came out cannot be built: no move.
            continue
        yield Found(replace(found.scene, sheet=move.sheet, plan=plan, book=book), replay, (*found.moves, move))


def _least(found: list[Found]) -> Found | None:
    """The one that loses least; of several the one with the shortest text."""
    return min(found, key=lambda one: (round(one.replay.seconds, 6), len(one.scene.sheet.text)), default=None)
