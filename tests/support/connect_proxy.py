"""An HTTP proxy for https on loopback: it answers CONNECT with a tunnel, to the server that a name stands for.

with ConnectProxy({"registry.invalid:443": "127.0.0.1:5000"}, ("ann", "pw")) as proxy:
    ...  # https_proxy=http://ann:pw@{proxy.host}
assert proxy.asked == ["registry.invalid:443"]
"""

from __future__ import annotations

import base64
import socket
from collections.abc import Mapping

from tests.support.listener import Listener


class ConnectProxy(Listener):
    """See the module's docstring. `asked` has what was let through, `refused` what came without the right login."""

    def __init__(self, names: Mapping[str, str], login: tuple[str, str] | None = None) -> None:
        super().__init__()
        self._names = names
        self._wanted = "Basic " + base64.b64encode(":".join(login).encode()).decode() if login else None
        self.asked: list[str] = []
        self.refused: list[str] = []

    def serve(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(1)  # not a byte of what goes through the tunnel
            if not piece:
                return
            head += piece
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split()
        fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        if self._wanted not in (None, fields.get("Proxy-Authorization")):
            self.refused.append(target)
            connection.sendall(b'HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm="p"\r\nContent-Length: 0\r\n\r\n')
        elif method != "CONNECT" or target not in self._names:
            connection.sendall(b"HTTP/1.1 502 Unknown\r\nContent-Length: 0\r\n\r\n")
        else:
            self.asked.append(target)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            self.tunnel(connection, self._names[target])
