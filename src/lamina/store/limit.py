"""How much the store may take on the disk, asked before anything is published.

A limit that somebody named (`build --max-size`, else `lamina cache limit SIZE`) is hard: what does not fit is not kept.
Without one it is `auto`: so much that the disk keeps a reserve, and never less than `FLOOR`; that one only makes room.

What the store takes is known without a walk: layers and blobs by sums in the index; the index, facts, observations and
logs by `stat`. Files that layers share by hard links count for the one that brought them; what such a layer leaves to
others when it goes is in the counter `carried`. All else (cache mounts, downloads, memos) is in the counter
`elsewhere`, as it was at the end of the last command that wrote.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.store.failures import explained
from lamina.store.index import Index
from lamina.store.layout import Layout
from lamina.store.locks import NamedLocks
from lamina.store.measure import disk_bytes, measured

#: `auto` never evicts from a store below this many bytes.
FLOOR = 10 * 10**9
#: `auto` leaves a tenth of the disk free, and at most this.
_RESERVE = 20 * 10**9
#: Room for what is written without asking: rows, lists of files, the log.
_MARGIN = 1 << 20
#: SQLite moves its log into the index when it has 1000 pages; until then each commit makes it longer.
_LOG = 1000 * 4096 + (1 << 16)
#: Once something must go, so much of the limit goes at once, so that not every step of a build has to make room.
_SLACK = 20
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?\Z", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_size(text: str) -> int:
    """`500MB`, `10GB`, `1.5g` in bytes; the units are powers of 1000. Raises BuildFailure `usage-bad-arguments`."""
    found = _SIZE.match(text.strip())
    if not found:
        raise BuildFailure("usage-bad-arguments", f"{text!r} is not a size", hint="write 500MB or 10GB")
    return int(float(found[1]) * 1000 ** _POWERS[found[2].lower()])


def read_setting(layout: Layout) -> int | str:
    """What `lamina cache limit` wrote: bytes, `none`, or `auto` (also where nothing was written). Raises BuildFailure
    `store-bad-limit` if the file holds something else."""
    with explained(layout.limit):
        try:
            text = layout.limit.read_bytes().decode("ascii", "replace").strip()
        except FileNotFoundError:
            return "auto"
    if text in ("auto", "none"):
        return text
    if text.isdecimal():
        return int(text)
    raise BuildFailure(
        "store-bad-limit",
        f"the file {layout.limit} holds no limit",
        hint="set it anew: `lamina cache limit SIZE`, `auto` or `none`",
    )


def write_setting(layout: Layout, setting: int | str) -> None:
    """Keep bytes, `auto` or `none` for all later commands. Raises BuildFailure."""
    with explained(layout.limit):
        draft = layout.tmp / f"limit.{os.getpid()}"
        draft.write_text(f"{setting}\n")
        draft.rename(layout.limit)


class Taken(Struct, frozen=True):
    """Bytes on the disk, as far as they are known without a walk."""

    layers: int
    blobs: int
    elsewhere: int
    rest: int

    @property
    def total(self) -> int:
        return self.layers + self.blobs + self.elsewhere + self.rest


class Limit:
    """The limit of one open store. A command that publishes nothing never asks it for anything."""

    def __init__(self, layout: Layout, index: Index, locks: NamedLocks, max_size: int | None) -> None:
        """`max_size` goes before the setting. `make_room(bytes)` is to be set: it evicts, and raises BuildFailure
        `store-busy` where it may not."""
        self._layout = layout
        self._index = index
        self._locks = locks
        self._max_size = max_size
        self._setting: int | str | None = None
        self._flat = [_Flat(layout.facts), _Flat(layout.looks), _Flat(layout.logs)]
        self._guard = threading.Lock()
        self._tired = False
        self.make_room: Callable[[int], None] = lambda needed: None

    @contextmanager
    def room(self, size: int, *, written: bool = True) -> Iterator[None]:
        """A block in which `size` bytes are published. They are on the disk already, in `tmp/`, if `written`.

        Raises BuildFailure `store-over-limit` if a limit that was named does not allow it.
        """
        limit = self.current()
        if limit == "none":
            yield
        elif isinstance(limit, int):
            with self._locks.hold("limit"):  # who was let in has published before the next one is
                self._demand(size, limit)
                yield
        else:
            self._keep_reserve(0 if written else size)
            yield

    def current(self) -> int | str:
        """The limit in force: bytes, `auto` or `none`."""
        if self._max_size is not None:
            return self._max_size
        if self._setting is None:
            self._setting = read_setting(self._layout)
        return self._setting

    def taken(self) -> Taken:
        """What the store takes now. Raises BuildFailure."""
        layers, unmeasured, blobs, carried, elsewhere = self._sums()
        if unmeasured or elsewhere < 0:
            if unmeasured:
                _measure_layers(self._layout, self._index)
            if elsewhere < 0:
                _measure_elsewhere(self._layout, self._index)
            layers, _, blobs, carried, elsewhere = self._sums()
        return Taken(layers + carried, blobs, elsewhere, self._rest())

    def _sums(self) -> tuple[int, int, int, int, int]:
        return self._index.read(
            "SELECT (SELECT coalesce(sum(d), 0) FROM (SELECT max(disk, 0) AS d FROM snapshots GROUP BY layer)), "
            "(SELECT count(*) FROM snapshots WHERE disk < 0), "
            "(SELECT coalesce(sum((size + 4095) / 4096 * 4096), 0) FROM blobs), "
            "(SELECT value FROM counters WHERE name = 'carried'), "
            "(SELECT value FROM counters WHERE name = 'elsewhere')"
        )[0]

    def _rest(self) -> int:
        layout = self._layout
        log, shared = (layout.index.with_name(layout.index.name + end) for end in ("-wal", "-shm"))
        alone = sum(_blocks(path) for path in (layout.index, shared, layout.layers, layout.blobs))
        alone += max(_blocks(log), _LOG)
        return alone + sum(flat.size() for flat in self._flat)

    def _demand(self, size: int, limit: int) -> None:
        taken = self.taken()
        excess = taken.total + size + _MARGIN - limit
        if excess <= 0:
            return
        cause = None
        try:
            self.make_room(excess + limit // _SLACK)
        except BuildFailure as failure:
            if failure.diagnostic.reference != "store-busy":
                raise
            cause = failure.diagnostic.message
        taken = self.taken()
        if taken.total + size + _MARGIN > limit:
            raise _over_limit(self._layout.root, taken, size, limit, cause)

    def _keep_reserve(self, size: int) -> None:
        with explained(self._layout.root):
            disk = os.statvfs(self._layout.root)
        reserve = min(disk.f_blocks * disk.f_frsize // 10, _RESERVE)
        missing = reserve + size - disk.f_bavail * disk.f_frsize
        if missing <= 0 or self._tired:
            return
        with self._guard:
            over = self.taken().total + size - FLOOR
            if over <= 0 or self._tired:
                return
            before = disk.f_bavail
            with suppress(BuildFailure):  # what is wrong with the store, the write itself will say
                self.make_room(min(missing + reserve // _SLACK, over))
            with explained(self._layout.root):
                self._tired = os.statvfs(self._layout.root).f_bavail <= before  # nothing may go: not tried again


class _Flat:
    """A directory of files that do not change: only those that came since the first look are looked at again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._first: dict[str, int] | None = None

    def size(self) -> int:
        with explained(self._directory):
            try:
                names = os.listdir(self._directory)
            except FileNotFoundError:  # it is made when the first file comes
                return 0
        known = self._first
        sizes = {
            name: known[name] if known is not None and name in known else _blocks(self._directory / name)
            for name in names
        }
        if known is None:
            self._first = sizes
        return _blocks(self._directory) + sum(sizes.values())


def refresh_elsewhere(layout: Layout, index: Index) -> None:
    """Measure anew what the counter `elsewhere` holds, if anybody has asked for it before. Raises BuildFailure."""
    if index.read("SELECT value FROM counters WHERE name = 'elsewhere'")[0][0] >= 0:
        _measure_elsewhere(layout, index)


def recount(layout: Layout, index: Index, layers: int) -> None:
    """Make what is known without a walk equal to what a walk found: `layers` is the bytes of all layers together.

    Raises BuildFailure.
    """
    _measure_layers(layout, index)
    with index.write() as connection:
        connection.execute(
            "UPDATE counters SET value = ? - (SELECT coalesce(sum(d), 0) FROM "
            "(SELECT max(disk, 0) AS d FROM snapshots GROUP BY layer)) WHERE name = 'carried'",
            (layers,),
        )
    refresh_elsewhere(layout, index)


def elsewhere_paths(layout: Layout) -> list[Path]:
    """What of the root is neither layers, blobs, facts, observations, logs, index nor work in progress."""
    counted = {
        path.name for path in (layout.layers, layout.blobs.parent, layout.facts, layout.looks, layout.logs, layout.tmp)
    }
    with explained(layout.root):
        names = sorted(os.listdir(layout.root))
    return [layout.root / name for name in names if name not in counted and not name.startswith(layout.index.name)]


def _measure_elsewhere(layout: Layout, index: Index) -> int:
    found = _blocks(layout.root) + sum(map(disk_bytes, elsewhere_paths(layout)))
    with index.write() as connection:
        connection.execute("UPDATE counters SET value = ? WHERE name = 'elsewhere'", (found,))
    return found


def _measure_layers(layout: Layout, index: Index) -> None:
    """The layers of a store that was of an older format, once."""
    rows = index.read("SELECT DISTINCT layer FROM snapshots WHERE disk < 0")
    # What they share counts once: together, they take what the walk over all of them finds.
    sizes = [(measured([layout.layer(number)]), number) for (number,) in rows]
    own, shared = measured([layout.layer(number) for (number,) in rows])
    with index.write() as connection:
        connection.executemany("UPDATE snapshots SET disk = ? WHERE layer = ?", [(each[0], n) for each, n in sizes])
        connection.execute(
            "UPDATE counters SET value = value + ? WHERE name = 'carried'",
            (own + shared - sum(each[0] for each, _ in sizes),),
        )


def _blocks(path: Path) -> int:
    with suppress(OSError):
        return os.lstat(path).st_blocks * 512
    return 0


def _over_limit(root: Path, taken: Taken, size: int, limit: int, cause: str | None) -> BuildFailure:
    return BuildFailure(
        "store-over-limit",
        f"the store at {root} may take {limit:,} bytes; it takes {taken.total:,}, and {size:,} more are needed",
        cause=cause
        or (
            f"layers {taken.layers:,}, blobs {taken.blobs:,}, cache mounts, downloads and the like "
            f"{taken.elsewhere:,}, index, facts and logs {taken.rest:,}: what is left is needed by named images or by "
            "this build"
        ),
        hint="raise the limit (`--max-size`, `lamina cache limit`), remove images with `lamina rmi`, or delete cache "
        "mounts with `lamina cache mounts --delete`; `lamina cache du` shows what takes the room",
    )
