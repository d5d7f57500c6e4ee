"""A proxy between an HTTP client and a real server on loopback that breaks answers in a planned way.

`FaultProxy(upstream_host)` listens on a free port (`proxy.host`). Faults are queued with `proxy.plan(...)`: each is
used up by the next request whose path holds `fault.path` (and whose method is `fault.method`, if given), `times` times;
all other requests pass unharmed. Every connection ends by itself: sockets time out, hanging is bounded by `seconds`,
and leaving the `with` block closes everything. Requests are kept in `seen` as (method, path, headers).

Every answer closes its connection, so one connection is one request: that keeps the proxy small and faults exact.
"""

from __future__ import annotations

import http.client
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Literal

from tests.support.listener import Listener
from tests.support.waiting import PATIENCE

Kind = Literal[
    "status",  # answer `status` without asking the server; with `header` lines
    "cut",  # reset the connection after `after` bytes of the body; the client may lose some that were sent
    "end",  # close it properly after `after` bytes; the client gets all of them
    "short",  # lie in Content-Length: `after` bytes less, and send that much
    "long",  # append `after` bytes to the body and announce them
    "unannounced",  # append `after` bytes to a chunked body, no Content-Length
    "corrupt",  # flip a bit of the body's byte `after`
    "hang",  # send `after` bytes of the body, then nothing for `seconds`
    "delay",  # wait `seconds`, then answer rightly
    "digest",  # send another Docker-Content-Digest
    "redirect",  # 307 to `location`
    "refuse",  # close the connection before any answer
    "cut-upload",  # read `after` bytes of the request's body, then close
    "cut-through",  # pass `after` bytes of the request's body on to the server, then reset both connections
    "corrupt-upload",  # flip a bit of the request's byte `after` on its way to the server
    "lost-answer",  # have the server do what it is asked, then reset the connection
    "ignore-range",  # hide the Range header from the server
    "type",  # send another Content-Type
    "head",  # close after `after` bytes of the answer's head
]


@dataclass
class Fault:
    """One planned fault; see `Kind` for what the numbers mean. The first `skip` requests that it could meet pass."""

    kind: Kind
    path: str = ""
    method: str = ""
    times: int = 1
    after: int = 0
    seconds: float = 0.0
    status: int = 500
    header: dict[str, str] = field(default_factory=dict)
    location: str = ""
    body: bytes = b""
    skip: int = 0


class FaultProxy(Listener):
    """See the module's docstring."""

    def __init__(self, upstream: str) -> None:
        super().__init__()
        self._upstream = upstream
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self.seen: list[tuple[str, str, dict[str, str]]] = []

    def plan(self, *faults: Fault) -> None:
        """Forget what was planned and seen before, and plan these."""
        with self._lock:
            self._faults = list(faults)
            self.seen.clear()

    def serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as reader:
            line = reader.readline(65536).decode("latin-1").split()
            if len(line) != 3:
                return
            parsed = http.client.parse_headers(reader)
            headers = dict(parsed.items())
            fault = self._take(line[0], line[1], headers)
            length = int(parsed.get("Content-Length", "0"))
            if fault and fault.kind == "cut-upload":
                reader.read(min(length, fault.after))
                _reset(connection)
                return
            body = reader.read(length)
            if len(body) < length:  # the client gave up
                return
            if fault and fault.kind == "corrupt-upload":
                body = _damaged(body, fault.after)
            self._answer(connection, line[0], line[1], headers, body, fault)

    def _take(self, method: str, path: str, headers: dict[str, str]) -> Fault | None:
        with self._lock:
            self.seen.append((method, path, headers))
            for fault in self._faults:
                if fault.times > 0 and fault.path in path and fault.method in ("", method):
                    if fault.skip > 0:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None

    def _answer(
        self,
        connection: socket.socket,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        fault: Fault | None,
    ) -> None:
        kind = fault.kind if fault else None
        if fault and kind == "refuse":
            return
        if fault and kind in ("status", "redirect"):
            extra = {**fault.header, **({"Location": fault.location} if kind == "redirect" else {})}
            status = 307 if kind == "redirect" else fault.status
            _send(connection, status, {**extra, "Content-Length": str(len(fault.body))}, fault.body)
            return
        if fault and kind == "delay":
            self.closing.wait(fault.seconds)
        hidden = ("connection", "range") if kind == "ignore-range" else ("connection",)
        passed = {key: value for key, value in headers.items() if key.lower() not in hidden}
        upstream = http.client.HTTPConnection(self._upstream, timeout=PATIENCE)
        if fault and kind == "cut-through":
            _begin(upstream, method, path, passed, body[: fault.after])
            _reset(connection)
            return
        try:
            upstream.request(method, path, body or None, passed)
            response = upstream.getresponse()
            data = response.read()
        finally:
            upstream.close()
        skipped = ("connection", "transfer-encoding")
        answer = {key: value for key, value in response.getheaders() if key.lower() not in skipped}
        if kind == "lost-answer":
            _reset(connection)
            return
        if fault is None:
            _send(connection, response.status, answer, data)
        else:
            self._send_broken(connection, response.status, answer, data, fault)

    def _send_broken(
        self, connection: socket.socket, status: int, headers: dict[str, str], data: bytes, fault: Fault
    ) -> None:
        after = min(fault.after, len(data))
        match fault.kind:
            case "cut":
                _send(connection, status, headers, data[:after])
                _reset(connection)
            case "end":
                _send(connection, status, headers, data[:after])
            case "short":
                data = data[: len(data) - after]
                _send(connection, status, {**headers, "Content-Length": str(len(data))}, data)
            case "long":
                data += b"x" * fault.after
                _send(connection, status, {**headers, "Content-Length": str(len(data))}, data)
            case "unannounced":
                headers.pop("Content-Length", None)
                data += b"x" * fault.after
                chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)
                _send(connection, status, {**headers, "Transfer-Encoding": "chunked"}, chunked)
            case "corrupt":
                _send(connection, status, headers, _damaged(data, fault.after))
            case "hang":
                _send(connection, status, headers, data[:after])
                deadline = time.monotonic() + fault.seconds
                while time.monotonic() < deadline and not self.closing.wait(0.02):
                    pass
            case "type":
                _send(connection, status, {**headers, "Content-Type": "text/html; charset=utf-8"}, data)
            case "head":
                connection.sendall(_head(status, headers)[: fault.after])
            case "digest":
                _send(connection, status, {**headers, "Docker-Content-Digest": "sha256:" + "0" * 64}, data)
            case _:
                _send(connection, status, headers, data)


def _send(connection: socket.socket, status: int, headers: dict[str, str], body: bytes) -> None:
    connection.sendall(_head(status, headers) + body)


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Planned", *(f"{key}: {value}" for key, value in headers.items()), "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _begin(upstream: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
    """Send a request whose body ends too early."""
    try:
        upstream.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for key, value in headers.items():
            upstream.putheader(key, value)
        upstream.endheaders(body)
        time.sleep(0.05)  # so that the server has read it before the end comes
    finally:
        upstream.close()


def _damaged(data: bytes, place: int) -> bytes:
    damaged = bytearray(data)
    if damaged:
        damaged[min(place, len(data) - 1)] ^= 1
    return bytes(damaged)


def _reset(connection: socket.socket) -> None:
    """Close so that the peer sees a reset, as when a machine in the middle dies."""
    import struct

    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
