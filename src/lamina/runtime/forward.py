"""Passing on connections: a step talks to a socket of its own, and we to the machine's, with our identity.

An agent asks the kernel who has connected and answers nobody but its owner and root; so a plain mount of its socket
would be of no use to a step's other users.
"""

from __future__ import annotations

import os
import selectors
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

#: What is read at a time, and how much one side may be ahead of the other, in bytes.
_CHUNK = 64 * 1024


@contextmanager
def forwarding(routes: Iterable[tuple[socket.socket, Path]]) -> Iterator[None]:
    """Pass on every connection of a listening (non-blocking) socket to the Unix socket at its path, while the block
    runs; then all connections end."""
    stop, stopped = os.pipe()
    loop = _Loop(stop)
    for listener, source in routes:
        loop.listen(listener, source)
    thread = threading.Thread(target=loop.run, name="lamina-forward", daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.close(stopped)
        thread.join()
        os.close(stop)


class _Loop:
    def __init__(self, stop: int) -> None:
        self._ready = selectors.DefaultSelector()
        self._ready.register(stop, selectors.EVENT_READ, None)
        self._open: set[_Connection] = set()

    def listen(self, listener: socket.socket, source: Path) -> None:
        def accept(_: int) -> None:
            try:
                inner, _address = listener.accept()
            except OSError:
                return
            outer = _connected(source)
            if outer is None:
                inner.close()
                return
            self._open.add(_Connection(self._ready, inner, outer, self._open.discard))

        self._ready.register(listener, selectors.EVENT_READ, accept)

    def run(self) -> None:
        try:
            while True:
                for key, events in self._ready.select():
                    if key.data is None:
                        return
                    # An event of this round may have ended what another one is for; if it only changed what is waited
                    # for, the other comes again.
                    if self._ready.get_map().get(key.fd) is key:
                        key.data(events)
        finally:
            for connection in list(self._open):
                connection.end()
            self._ready.close()


def _connected(source: Path) -> socket.socket | None:
    # A blocking connect(2) would wait for a listener that is too busy, and with it everybody else.
    outer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        # By way of a descriptor, because the address of a socket holds 107 bytes only.
        place = os.open(source, os.O_PATH)
        try:
            outer.connect(f"/proc/self/fd/{place}")
        finally:
            os.close(place)
    except OSError:
        outer.close()
        return None
    return outer


class _Connection:
    """Two sockets and what is on its way between them. An end that says no more may still hear."""

    def __init__(
        self,
        ready: selectors.BaseSelector,
        inner: socket.socket,
        outer: socket.socket,
        ended: Callable[[_Connection], None],
    ) -> None:
        self._ready = ready
        self._ends = (inner, outer)
        self._ended = ended
        #: What each end has said and the other has not heard yet; None once that is all.
        self._said: list[bytearray | None] = [bytearray(), bytearray()]
        self._silent = [False, False]
        for number, end in enumerate(self._ends):
            end.setblocking(False)
            ready.register(end, selectors.EVENT_READ, lambda events, number=number: self._turn(number, events))

    def end(self) -> None:
        for end in self._ends:
            if end.fileno() in self._ready.get_map():
                self._ready.unregister(end)
            end.close()
        self._ended(self)

    def _turn(self, number: int, events: int) -> None:
        try:
            if events & selectors.EVENT_READ:
                self._hear(number)
            if events & selectors.EVENT_WRITE:
                self._tell(number)
            self._tell(1 - number)
        except OSError:
            self.end()
            return
        if self._said == [None, None]:
            self.end()
            return
        for each in (0, 1):
            self._watch(each)

    def _hear(self, number: int) -> None:
        said = self._said[number]
        if said is None or self._silent[number] or len(said) >= _CHUNK:
            return
        try:
            data = self._ends[number].recv(_CHUNK)
        except BlockingIOError:
            return
        said += data
        self._silent[number] = not data

    def _tell(self, number: int) -> None:
        """Give an end what the other has said, and tell it when that was all."""
        said = self._said[1 - number]
        if said is None:
            return
        if said:
            try:
                del said[: self._ends[number].send(said)]
            except BlockingIOError:
                return
        if not said and self._silent[1 - number]:
            self._said[1 - number] = None
            self._ends[number].shutdown(socket.SHUT_WR)

    def _watch(self, number: int) -> None:
        """Wait for what an end can do next; an end that has said all and heard all it can is left alone."""
        said, heard = self._said[number], self._said[1 - number]
        wanted = selectors.EVENT_READ if said is not None and not self._silent[number] and len(said) < _CHUNK else 0
        wanted |= selectors.EVENT_WRITE if heard else 0
        end = self._ends[number]
        known = end.fileno() in self._ready.get_map()
        if wanted and known:
            self._ready.modify(end, wanted, self._ready.get_key(end).data)
        elif wanted:
            self._ready.register(end, wanted, lambda events: self._turn(number, events))
        elif known:
            self._ready.unregister(end)
