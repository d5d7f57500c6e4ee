"""Git repositories over HTTP on loopback, for tests: `git http-backend` behind a small server.

`server.make(NAME)` gives a work tree to commit in; its address is `server.url(NAME)`.
"""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_IDENTITY = ("-c", "user.name=tester", "-c", "user.email=tester@example.test", "-c", "init.defaultBranch=main")


@dataclass
class GitServer:
    """Serves the repositories in `folder`. `user` (`name:password`) is asked for where it is not empty; `old` speaks
    the protocol's first version, which gives nothing but what refs point at; `simple` gives files alone. `requests`
    counts."""

    folder: Path
    host: str
    user: str = ""
    old: bool = False
    simple: bool = False
    requests: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, name: str, user: str = "") -> str:
        return f"http://{user}@{self.host}/{name}.git" if user else f"http://{self.host}/{name}.git"

    def make(self, name: str) -> Path:
        """A new, empty repository; its work tree, that is."""
        tree = self.folder / f"{name}.git"
        tree.mkdir()
        git(tree, "init", "-q")
        return tree


def git(tree: Path, *words: str) -> str:
    """Run git in a work tree, under a made-up name, without the user's settings; its output."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", *_IDENTITY, *words], cwd=tree, env=environment, check=True, capture_output=True)
    return done.stdout.decode().strip()


def commit(tree: Path, files: dict[str, str], message: str = "change") -> str:
    """Write files and commit all that is there; the commit."""
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "-m", message)
    git(tree, "update-server-info")
    return git(tree, "rev-parse", "HEAD")


@contextmanager
def running_git_server(folder: Path) -> Iterator[GitServer]:
    """Start it on a free port; it ends with the block."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server = GitServer(folder, f"127.0.0.1:{httpd.server_address[1]}")
    httpd.git_server = server  # type: ignore[attr-defined]
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: GitServer = self.server.git_server  # type: ignore[attr-defined]
        with server.lock:
            server.requests += 1
        wanted = "Basic " + base64.b64encode(server.user.encode()).decode()
        if server.user and self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
        elif server.simple:
            self._file(server)
        else:
            self._backend(server)

    do_POST = do_GET

    def _file(self, server: GitServer) -> None:
        name, _, rest = self.path.partition("?")[0].removeprefix("/").partition("/")
        file = server.folder / name / ".git" / rest
        self.send_response(200 if file.is_file() else 404)
        self.end_headers()
        if file.is_file():
            self.wfile.write(file.read_bytes())

    def _backend(self, server: GitServer) -> None:
        path, _, query = self.path.partition("?")
        name, _, rest = path.removeprefix("/").partition("/")
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(server.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{name}/.git/{rest}",
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": "" if server.old else self.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": "127.0.0.1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200").partition(" ")[0]))
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass
