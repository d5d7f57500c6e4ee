"""Sockets that another thread can cut: whoever waits for a registry hears of the user's interrupt at once."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from lamina.registry.failures import TransportError

if TYPE_CHECKING:
    import urllib3


#: All that exist, for `cut_all`; guarded, as their sockets are.
_ALL: WeakSet[Wires] = WeakSet()
_GUARD = threading.Lock()


class Wires:
    """The sockets of a pool of connections, and the pauses between its requests. Safe to use from several threads."""

    def __init__(self) -> None:
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._cut = threading.Event()
        with _GUARD:
            _ALL.add(self)

    def cut(self) -> None:
        """End all that is under way, for good: what is asked from now on raises TransportError."""
        self._cut.set()
        with _GUARD:
            sockets = tuple(self._sockets)
        for one in sockets:
            _shut(one)

    def sleep(self, seconds: float) -> None:
        """Wait so long, or until `cut`."""
        self._cut.wait(seconds)

    def check(self) -> None:
        """Raises TransportError after `cut`."""
        if self._cut.is_set():
            raise TransportError("cut", "interrupted")

    def add(self, one: socket.socket) -> None:
        """Let `cut` reach a socket as long as it lives."""
        with _GUARD:
            self._sockets.add(one)
        if self._cut.is_set():
            _shut(one)

    def pool_classes(self) -> dict[str, type[urllib3.HTTPConnectionPool]]:
        """What a `PoolManager` makes its pools of, by scheme, so that their sockets are among these."""
        import urllib3
        from urllib3.connection import HTTPConnection, HTTPSConnection

        wires = self

        # A response keeps the socket when its connection has let go of it, so sockets are held rather than connections.
        class Plain(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                wires.add(_bare(self.sock))

        class Secure(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                wires.add(_bare(self.sock))

        class PlainPool(urllib3.HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(urllib3.HTTPSConnectionPool):
            ConnectionCls = Secure

        return {"http": PlainPool, "https": SecurePool}


def cut_all() -> None:
    """Cut those of all pools: the process is about to end. Takes locks, so not for a signal handler."""
    with _GUARD:
        wires = tuple(_ALL)
    for each in wires:
        each.cut()


def _bare(sock: Any) -> socket.socket:
    """TLS inside of TLS has the socket below it."""
    found: socket.socket = getattr(sock, "socket", sock)
    return found


def _shut(one: socket.socket) -> None:
    # TLS's own `shutdown` would take the session away from below the thread that reads.
    with suppress(OSError):
        socket.socket.shutdown(one, socket.SHUT_RDWR)
