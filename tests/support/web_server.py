"""A web server on loopback for tests: pages that change, fail, lead elsewhere or break off. Also serves as a proxy."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Page:
    """What is at a path. `statuses` are answered first, one a request, without the body; `cut` (a number of bytes) is
    where the connection is closed, `cuts` how often; `headers` are added to a good answer. `stall` holds the body back
    until the server ends."""

    body: bytes = b""
    etag: str = ""
    last_modified: str = ""
    location: str = ""
    statuses: list[int] = field(default_factory=list)
    cut: int | None = None
    cuts: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    stall: bool = False


@dataclass
class WebServer:
    """`pages` by path, or by the whole address when it is asked as a proxy; `*` is any other. `asked`: path, status
    and the request's headers (their names in lower case), in order."""

    host: str
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[tuple[str, int, Mapping[str, str]]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    tls: bool = False

    def url(self, path: str) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}{path}"

    def statuses(self) -> list[int]:
        """Those of the requests since the last call."""
        found = [status for _, status, _ in self.asked]
        self.asked.clear()
        return found


@contextmanager
def running_web_server(address: str = "127.0.0.1", tls: tuple[Path, Path] | None = None) -> Iterator[WebServer]:
    """Start it on a free port; it ends with the block. `tls`: certificate and key of an https server."""
    httpd = ThreadingHTTPServer((address, 0), _Handler)
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    server = WebServer(f"{address}:{httpd.server_address[1]}", tls=tls is not None)
    httpd.web_server = server  # type: ignore[attr-defined]
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        httpd.shutdown()
        httpd.server_close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server: WebServer = self.server.web_server  # type: ignore[attr-defined]
        page = next(
            (server.pages[path] for path in (self.path, self.path.partition("?")[0], "*") if path in server.pages), None
        )
        status = self._status(page)
        server.asked.append((self.path, status, {name.lower(): value for name, value in self.headers.items()}))
        self.send_response(status)
        if page is None or status != 200:
            if page is not None and page.location:
                self.send_header("Location", page.location)
            if status != 304:
                self.send_header("Content-Length", "0")
            self.end_headers()
            return
        for name, value in {"ETag": page.etag, "Last-Modified": page.last_modified, **page.headers}.items():
            if value:
                self.send_header(name, value)
        if "Content-Length" not in page.headers:
            self.send_header("Content-Length", str(len(page.body)))
        self.end_headers()
        if page.stall:
            self.wfile.flush()
            server.ended.wait()
        elif page.cuts:
            page.cuts -= 1
            self.wfile.write(page.body[: page.cut])
            self.close_connection = True
        else:
            self.wfile.write(page.body)

    def _status(self, page: Page | None) -> int:
        if page is None:
            return 404
        if page.statuses:
            return page.statuses.pop(0)
        if page.location:
            return 302
        same = page.etag and self.headers.get("If-None-Match") == page.etag
        old = page.last_modified and self.headers.get("If-Modified-Since") == page.last_modified
        return 304 if same or (old and not page.etag) else 200

    def log_message(self, *_: object) -> None:
        pass
