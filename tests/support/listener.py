"""A server on loopback that answers each connection in a thread of its own: what the proxies of tests stand on."""

from __future__ import annotations

import select
import socket
import threading
from abc import ABC, abstractmethod
from typing import Self


class Listener(ABC):
    """Listens on a free port of loopback (`host`) while its `with` block runs. What follows it says what a connection
    is answered in `serve`, in which an `OSError` is the connection's end, and which ends soon when `closing` is set."""

    def __init__(self) -> None:
        self.closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=32)
        self._listener.settimeout(0.05)
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads: list[threading.Thread] = []
        self._main = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._main.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.closing.set()
        for thread in (self._main, *self._threads):
            thread.join(5)
        self._listener.close()

    @abstractmethod
    def serve(self, connection: socket.socket) -> None:
        """Answer one connection."""

    def tunnel(self, client: socket.socket, upstream: str) -> None:
        """Pass on what both say until one of them ends."""
        host, _, port = upstream.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5) as server:
            while not self.closing.is_set():
                for one in select.select([client, server], [], [], 0.05)[0]:
                    data = one.recv(1 << 16)
                    if not data:
                        return
                    (server if one is client else client).sendall(data)

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            connection.settimeout(5)
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                self.serve(connection)
        except OSError:
            pass
