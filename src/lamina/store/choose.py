"""Which cached steps to give up first, so that a store becomes small enough.

Layers stand on each other: what a step's layer takes comes free only with all that stands on it. So the unit is a layer
with everything above it, and the unit with the least value goes first. The value of a step is what it took, in seconds,
halved for every week that it was not used; that of a unit is the sum over its steps, for each byte that the unit takes.
By age, a unit is as old as its last used step.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from lamina.digest import ChainID, Digest
from lamina.keys.record import CacheRecord
from lamina.store.snapshots import Row

WEEK = 604_800.0
Order = Literal["value", "age"]
#: A record's row number, the time of its last use (seconds since the epoch), and the record.
Entry = tuple[int, float, CacheRecord]


def worth(seconds: float, unused: float) -> float:
    """Seconds that a step saves, halved for every week of the `unused` seconds. A clock that was put back changes
    nothing: a use in the future is one just now."""
    return seconds * math.exp2(-max(0.0, unused) / WEEK)


def facts_of(record: CacheRecord) -> set[Digest]:
    """The lists of files and the observations that a record names."""
    named = {part.files for part in record.key.parts if part.files is not None}
    return named if record.looks is None else {*named, record.looks}


class Weights(Struct, frozen=True):
    """Bytes on the disk: of layers by number, of compressed layers by diff ID and digest (without those that an image
    holds anyway), and of lists of files and observations. `held` are lists that something else than a record keeps."""

    layers: Mapping[int, int]
    blobs: Mapping[str, Mapping[Digest, int]]
    facts: Mapping[Digest, int]
    held: Collection[Digest] = ()


class _Node(Struct):
    """A chain with the records whose result it is. Sums are over it and all above it."""

    row: Row
    entries: list[Entry] = field(default_factory=list)
    above: set[ChainID] = field(default_factory=set)
    locked: bool = False
    value: float = 0.0
    size: float = 0.0
    used: float = 0.0


def _packed(entries: list[Entry], by_chain: Mapping[ChainID, Row], weights: Weights) -> Iterator[Row]:
    """Rows for layers of steps that are blobs alone, for nobody has unpacked them."""
    results = {record.result: record for _, _, record in entries}
    for chain, record in results.items():
        diff_id = record.diff_id
        if chain is not None and chain not in by_chain and diff_id is not None and diff_id in weights.blobs:
            yield Row(chain, record.parent, diff_id, 0, record.size, 0, 0.0, "", 0, 0)


class Forest:
    """The layers that records lead to, and what may go of them. `dropped` and `layers` grow with each `drop`."""

    def __init__(
        self,
        rows: list[Row],
        entries: list[Entry],
        weights: Weights,
        *,
        keep: Collection[ChainID],
        now: float,
        may_go: Callable[[Entry], bool] = lambda entry: True,
        order: Order = "value",
    ) -> None:
        """`keep` are chains that stay with all below them, `may_go` says which records may be given up."""
        #: Row numbers of the records that go, and numbers of the layers that go with them: below 0 for blobs alone.
        self.dropped: list[int] = []
        self.layers: set[int] = set()
        self._weights = weights
        self._order = order
        self._nodes: dict[ChainID, _Node] = {}
        self._uses: Counter[int | str] = Counter()
        self._facts: Counter[Digest] = Counter(weights.held)
        by_chain = {row.chain: row for row in rows}
        for number, row in enumerate(_packed(entries, by_chain, weights), 1):
            by_chain[row.chain] = replace(row, layer=-number)
        for chain in keep:
            self._grow(chain, by_chain, locked=True)
        for entry in entries:
            record = entry[2]
            self._facts.update(facts_of(record))
            chain_of = record.result if record.result in by_chain else record.parent
            if chain_of in by_chain:
                assert chain_of is not None
                self._grow(chain_of, by_chain, locked=not may_go(entry))
                self._nodes[chain_of].entries.append(entry)
        self._add_up(now)
        self._heap = [(self._rank(node), chain) for chain, node in self._nodes.items() if not node.locked]
        heapq.heapify(self._heap)

    def _grow(self, chain: ChainID, by_chain: Mapping[ChainID, Row], *, locked: bool) -> None:
        below: ChainID | None = chain
        above: ChainID | None = None
        while below is not None and (row := by_chain.get(below)) is not None:
            node = self._nodes.get(below)
            known = node is not None and (node.locked or not locked) and (above is None or above in node.above)
            if node is None:
                node = self._nodes[below] = _Node(row)
                self._uses.update((row.layer, row.diff_id))
            node.locked = node.locked or locked
            if above is not None:
                node.above.add(above)
            if known:
                return
            above, below = below, row.parent

    def _add_up(self, now: float) -> None:
        for chain in self._from_the_top():
            node = self._nodes[chain]
            node.value += sum(worth(record.seconds, now - used) for _, used, record in node.entries)
            node.used = max([node.used, *(used for _, used, _ in node.entries)])
            node.size += self._weights.layers.get(node.row.layer, 0) / self._uses[node.row.layer]
            node.size += sum(self._weights.blobs.get(node.row.diff_id, {}).values()) / self._uses[node.row.diff_id]
            below = self._nodes.get(node.row.parent) if node.row.parent is not None else None
            if below is not None:
                below.value, below.size = below.value + node.value, below.size + node.size
                below.used = max(below.used, node.used)

    def _from_the_top(self) -> list[ChainID]:
        found: list[ChainID] = [chain for chain, node in self._nodes.items() if node.row.parent not in self._nodes]
        for chain in found:
            found.extend(self._nodes[chain].above)
        return found[::-1]

    def _rank(self, node: _Node) -> tuple[float, float]:
        if self._order == "age":
            return node.used, -node.size
        return node.value / max(1.0, node.size), node.used

    def drop(self, needed: float) -> int:
        """Give up units until `needed` bytes come free, or nothing more may go; returns the bytes that do."""
        freed = 0
        while freed < needed and self._heap:
            rank, chain = heapq.heappop(self._heap)
            node = self._nodes.get(chain)
            if node is not None and rank == self._rank(node):  # else it is gone, or stands in the heap anew
                freed += self._remove(chain, node)
        return freed

    def _remove(self, chain: ChainID, node: _Node) -> int:
        freed = 0
        below = node.row.parent
        value, size = node.value, node.size
        pending = [chain]
        while pending:
            one = self._nodes.pop(pending.pop())
            pending.extend(one.above)
            freed += self._freed_by(one)
        gone = True
        while below is not None and (under := self._nodes.get(below)) is not None:
            if gone:
                under.above.discard(chain)
            under.value, under.size = max(0.0, under.value - value), under.size - size
            chain, below = below, under.row.parent
            gone = not (under.locked or under.above or under.entries)
            if gone:  # only the unit stood on it
                del self._nodes[chain]
                value, size = value + under.value, size + under.size
                freed += self._freed_by(under)
            elif not under.locked:
                heapq.heappush(self._heap, (self._rank(under), chain))
        return freed

    def _freed_by(self, node: _Node) -> int:
        freed = 0
        for number, _, record in node.entries:
            self.dropped.append(number)
            for digest in facts_of(record):
                self._facts[digest] -= 1
                if not self._facts[digest]:
                    freed += self._weights.facts.get(digest, 0)
        self._uses.subtract((node.row.layer, node.row.diff_id))
        if not self._uses[node.row.layer]:
            self.layers.add(node.row.layer)
            freed += self._weights.layers.get(node.row.layer, 0)
        if not self._uses[node.row.diff_id]:
            freed += sum(self._weights.blobs.get(node.row.diff_id, {}).values())
        return freed
