"""ADD of files and repositories, and contexts that are not a directory: over loopback, with a real server and git."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.support.command import Command, project, write
from tests.support.ports import serving


@dataclass
class Web:
    """A web server: `files` by path; `asked` lists (path, status) in order; `broken` is how often it fails first."""

    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)
    broken: int = 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def statuses(self) -> list[int]:
        found = [status for _, status in self.asked]
        self.asked.clear()
        return found


@pytest.fixture
def web() -> Iterator[Web]:
    state = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = state.files.get(self.path.partition("?")[0])
            tag = f'"{hashlib.sha256(data or b"").hexdigest()[:8]}"'
            status = 200 if data is not None else 404
            if state.broken:
                state.broken -= 1
                status = 503
            elif self.path == "/moved":
                status = 302
            elif self.headers.get("If-None-Match") == tag:
                status = 304
            state.asked.append((self.path, status))
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/file")
            if status == 200:
                self.send_header("ETag", tag)
                self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
                self.send_header("Content-Length", str(len(data or b"")))
            else:
                self.send_header("Content-Length", "0")
            self.end_headers()
            if status == 200:
                self.wfile.write(data or b"")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield state
        server.shutdown()


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A repository and its address, served by git's own daemon."""
    folder = write(tmp_path / "served" / "r", {"sub/f": "one\n", "Dockerfile": "FROM busybox\nCOPY sub/f /f\n"})
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "one")
    command = ["git", "daemon", "--export-all", f"--base-path={tmp_path / 'served'}", "--listen=127.0.0.1"]
    with serving(lambda port: subprocess.Popen([*command, f"--port={port}"], stderr=subprocess.DEVNULL)) as port:
        yield folder, f"git://127.0.0.1:{port}/r"


def test_a_file_is_added_and_asked_for_again_by_its_validators(lamina: Command, tmp_path: Path, web: Web) -> None:
    web.files["/file"] = b"content\n"
    text = f"FROM busybox\nADD {web.url('/file')} /d/\nADD --chmod=755 {web.url('/moved')} /other\n"
    folder = project(tmp_path / "p", text)
    lamina.build(folder, "-t", "x").ok()
    shown = "cat /d/file /other; stat -c '%a %u %Y' /d/file; stat -c %a /other"
    assert lamina.run("run", "x", "sh", "-c", shown).out == "content\ncontent\n600 0 1704067200\n755\n"
    web.statuses()
    assert lamina.build(folder).verdicts() == {}
    assert 200 not in web.statuses()
    web.files["/file"] = b"changed\n"
    done = lamina.build(folder)
    assert [row.verdict for row in done.rows[1:]] == ["CHANGED", "CHANGED"]


def test_a_checksum_saves_the_request_and_a_wrong_one_keeps_nothing(lamina: Command, tmp_path: Path, web: Web) -> None:
    web.files["/file"] = b"content\n"
    digest = "sha256:" + hashlib.sha256(b"content\n").hexdigest()
    folder = project(tmp_path / "p", f"FROM busybox\nADD --checksum={digest} {web.url('/file')} /f\n")
    lamina.build(folder).ok()
    web.statuses()
    lamina.build(folder, "--no-cache").ok()
    assert web.statuses() == []
    web.files["/other"] = b"evil\n"
    done = lamina.run(
        "build", write(folder, {"Dockerfile": f"FROM busybox\nADD --checksum={digest} {web.url('/other')} /f\n"})
    )
    assert done.code == 12
    assert "fetch-checksum-mismatch" in done.err and "Dockerfile:2" in done.err
    for path in lamina.root.rglob("*"):
        assert not path.is_file() or b"evil\n" not in path.read_bytes()


def test_what_is_not_there_and_what_is_for_a_moment(lamina: Command, tmp_path: Path, web: Web) -> None:
    done = lamina.run("build", project(tmp_path / "p", f"FROM busybox\nADD {web.url('/none?token=hidden')} /f\n"))
    assert (done.code, web.statuses()) == (12, [404])
    assert "fetch-not-found" in done.err and "404" in done.err
    web.files["/file"], web.broken = b"x", 1
    lamina.build(project(tmp_path / "q", f"FROM busybox\nADD {web.url('/file')} /f\n")).ok()
    assert web.statuses() == [503, 200]


def archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def test_a_remote_archive_is_unpacked_if_asked(lamina: Command, tmp_path: Path, web: Web) -> None:
    web.files["/a.tgz"] = archive({"in/f": b"inside\n"})
    text = f"FROM busybox\nADD {web.url('/a.tgz')} /p/\nADD --unpack=true {web.url('/a.tgz')} /q/\n"
    lamina.build(project(tmp_path / "p", text), "-t", "x").ok()
    assert lamina.run("run", "x", "sh", "-c", "ls /p; cat /q/in/f").out == "a.tgz\ninside\n"


def test_a_context_from_the_web_and_from_standard_input(lamina: Command, tmp_path: Path, web: Web) -> None:
    web.files["/c.tgz"] = archive({"Dockerfile": b"FROM busybox\nCOPY f /f\n", "f": b"sent\n"})
    lamina.run("build", web.url("/c.tgz"), "-t", "x").ok()
    assert lamina.run("run", "x", "cat", "/f").out == "sent\n"
    lamina.run(
        "build", "-", "-f", "D", "-t", "y", stdin=archive({"D": b"FROM busybox\nCOPY f /f\n", "f": b"piped\n"})
    ).ok()
    assert lamina.run("run", "y", "cat", "/f").out == "piped\n"
    lamina.run("build", "-", "-t", "z", stdin=b"FROM busybox\nRUN echo alone > /f\n").ok()
    assert lamina.run("run", "z", "cat", "/f").out == "alone\n"
    web.files["/Dockerfile"] = b"FROM busybox\nRUN echo fetched > /f\n"
    lamina.run("build", web.url("/Dockerfile"), "-t", "w").ok()
    assert lamina.run("run", "w", "cat", "/f").out == "fetched\n"


def test_a_repository_is_added_by_commit(lamina: Command, tmp_path: Path, repository: tuple[Path, str]) -> None:
    served, url = repository
    folder = project(
        tmp_path / "p", f"FROM busybox\nADD {url} /all\nADD {url}#main:sub /sub/\nADD --keep-git-dir {url} /kept\n"
    )
    lamina.build(folder, "-t", "x").ok()
    shown = "cat /all/sub/f /sub/f; ls -A /all /kept; stat -c %a:%u /all/sub/f /all/sub"
    assert lamina.run("run", "x", "sh", "-c", shown).out.split() == (
        ["one", "one", "/all:", "Dockerfile", "sub", "/kept:", ".git", "Dockerfile", "sub", "644:0", "755:0"]
    )
    assert lamina.build(folder).verdicts() == {}
    first = git(served, "rev-parse", "HEAD")
    write(served, {"sub/f": "two\n"})
    git(served, "commit", "-q", "-a", "-m", "two")
    done = lamina.build(folder)
    assert [row.verdict for row in done.rows[1:]] == ["CHANGED"] * 3
    assert done.rows[1].files == {"sub/f": "content"}
    pinned = write(folder, {"Dockerfile": f"FROM busybox\nADD {url}#{first} /all\n"})
    lamina.build(pinned, "-t", "x").ok()
    assert lamina.run("run", "x", "cat", "/all/sub/f").out == "one\n"
    for ref, reference in ((f"{url}#gone", "fetch-git-ref"), (f"{url}#main:none", "fetch-git-subdir")):
        done = lamina.run("build", write(folder, {"Dockerfile": f"FROM busybox\nADD {ref} /x\n"}))
        assert (done.code, reference in done.err) == (12, True), done.err
    wrong = write(folder, {"Dockerfile": f"FROM busybox\nADD --checksum={first} {url} /x\n"})
    assert "fetch-checksum-mismatch" in lamina.run("build", wrong).err


def test_a_context_that_is_a_repository(lamina: Command, repository: tuple[Path, str]) -> None:
    served, url = repository
    git(served, "tag", "v1")
    lamina.run("build", f"{url}#v1", "-t", "x").ok()
    assert lamina.run("run", "x", "cat", "/f").out == "one\n"
    write(served, {"sub/Dockerfile": "FROM busybox\nCOPY f /g\n"})
    git(served, "add", ".")
    git(served, "commit", "-q", "-m", "sub")
    lamina.run("build", f"{url}#main:sub", "-t", "x").ok()
    assert lamina.run("run", "x", "cat", "/g").out == "one\n"
