"""`--build-context`, and contexts that are no directory: which ignore files count, and which Dockerfile is read."""

from __future__ import annotations

import io
import json
import tarfile
import threading
import time
from collections.abc import Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.command import Command, project, write


def archive(files: Mapping[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_directory_with_ignore_rules_of_its_own(lamina: Command, tmp_path: Path) -> None:
    other = write(tmp_path / "other", {"a": "a", "b": "b", ".dockerignore": "b\n"})
    text = "FROM scratch\nCOPY --from=Other . /other\nCOPY . /own\n"
    folder = project(tmp_path / "p", text, {"a": "", "b": "", ".dockerignore": "a\nDockerfile\n"})
    flags = ("--build-context", f"other={other}", "-o", tmp_path / "out")
    lamina.build(folder, *flags).ok()
    assert names(tmp_path / "out") == {"other/a", "other/.dockerignore", "own/b", "own/.dockerignore"}
    assert lamina.build(folder, *flags).verdicts() == {}
    write(other, {"b": "changed"})
    assert lamina.build(folder, *flags).verdicts() == {}
    write(other, {"a": "changed"})
    done = lamina.build(folder, *flags)
    assert done.verdicts()["COPY --from=Other . /other"] == "CHANGED"
    assert done.rows[1].files == {"a": "content"}


def test_an_image_and_a_stage_under_other_names(lamina: Command, tmp_path: Path) -> None:
    text = "FROM app AS one\nRUN echo > /made\nFROM lib AS two\nRUN test -f /made\n"
    folder = project(tmp_path / "p", text)
    flags = ("--build-context", "app=docker-image://busybox", "--build-context", "lib=target:one")
    lamina.run("build", folder, *flags).ok()
    done = lamina.run("build", folder, "--build-context", "app=target:two")
    assert done.code == 3 and "dockerfile-unknown-stage" in done.err


def test_an_image_of_a_layout(lamina: Command, tmp_path: Path) -> None:
    base = project(tmp_path / "base", "FROM busybox\nRUN echo mine > /mark\n")
    lamina.build(base, "-t", "base:7", "-o", f"type=oci,dest={tmp_path / 'oci'},tar=false").ok()
    lamina.run("rmi", "base:7").ok()
    folder = project(tmp_path / "p", "FROM thing\nRUN grep mine /mark\n")
    lamina.run("build", folder, "--build-context", f"thing=oci-layout://{tmp_path / 'oci'}:7").ok()


def test_the_named_context_is_named_when_it_is_not_there(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", "FROM scratch\nCOPY --from=x a /\n")
    for value, code in (("x=", 2), ("x=/nowhere/at/all", 4), ("x", 2)):
        done = lamina.run("build", folder, "--build-context", value)
        assert done.code == code and "--build-context" in done.err, done.err


def test_an_archive_on_standard_input(lamina: Command, tmp_path: Path) -> None:
    """No ignore file counts, as in BuildKit: what is not wanted is not sent."""
    files = {"Dockerfile": "FROM scratch\nCOPY . /\n", ".dockerignore": "a\n", "a": "a", "sub/b": "b"}
    lamina.run("build", "-", "-o", tmp_path / "out", stdin=archive(files)).ok()
    assert names(tmp_path / "out") == set(files)
    lamina.run(
        "build", "-", "-f", "sub/D", "-o", tmp_path / "deep", stdin=archive({"sub/D": "FROM scratch\nCOPY . /"})
    ).ok()
    assert names(tmp_path / "deep") == {"sub/D"}
    # A Dockerfile of this machine, for a context from elsewhere.
    mine = project(tmp_path / "mine", "FROM scratch\nCOPY a /mine\n") / "Dockerfile"
    lamina.run("build", "-", "-f", mine, "-o", tmp_path / "with", stdin=archive(files)).ok()
    assert names(tmp_path / "with") == {"mine"}
    assert not list((lamina.root / "tmp").glob("*/*"))


def test_a_dockerfile_alone_on_standard_input(lamina: Command, tmp_path: Path) -> None:
    folder = write(tmp_path / "p", {"a": "a"})
    lamina.run("build", "-f", "-", "-o", tmp_path / "out", folder, stdin=b"FROM scratch\nCOPY a /b\n").ok()
    assert names(tmp_path / "out") == {"b"}
    done = lamina.run("build", "-", stdin=b"FROM scratch\nCOPY a /b\n")
    assert done.code == 4 and "Dockerfile:2" in done.err and "Traceback" not in done.err


def test_what_standard_input_cannot_be(lamina: Command) -> None:
    cases = (
        (("-", "-f", "-"), b"FROM scratch\n", 2, "both come from standard input"),
        (("-",), archive({"Dockerfile": "FROM scratch\nCOPY . /\n"})[:700], 4, "standard input"),
        (("-",), archive({"a": ""}), 3, "dockerfile-not-found"),
        (("-", "-f", "../../etc/passwd"), archive({"a": ""}), 3, "leads out"),
        (("-",), b"", 3, "dockerfile-"),
    )
    for words, data, code, told in cases:
        done = lamina.run("build", *words, stdin=data)
        assert (done.code, told in done.err) == (code, True), done.err
    assert not list((lamina.root / "tmp").glob("*/*"))


def test_a_dockerfile_that_is_a_link_out_of_its_archive(lamina: Command, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("FROM scratch\nLABEL stolen=yes\n")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        link = tarfile.TarInfo("Dockerfile")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        tar.addfile(link)
    done = lamina.run("build", "-", stdin=out.getvalue())
    assert done.code == 3 and "leads out" in done.err and "stolen" not in done.err


def test_files_that_cannot_be_written(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", "FROM scratch\nCOPY Dockerfile /\n")
    for flag in ("--iidfile", "--metadata-file"):
        done = lamina.run("build", folder, flag, tmp_path / "missing/file")
        assert done.code == 9 and "image-output-failed" in done.err


def test_flags_of_docker_that_change_nothing_here(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", "FROM scratch\nCOPY Dockerfile /\n")
    facts = tmp_path / "facts"
    words = ("--load", "--provenance=false", "--sbom=false", "--push=false", "--progress=quiet")
    done = lamina.run("build", *words, "--metadata-file", facts, "-t", "x", folder).ok()
    assert done.out.startswith("sha256:") and done.err == ""
    assert "containerimage.digest" not in json.loads(facts.read_text())


# --- builds with nothing to do --------------------------------------------------------------------------------
def twice(lamina: Command, folder: Path) -> int:
    """Build until all is cached and nothing was just edited; returns how many memos there are then."""
    time.sleep(2.05)
    for _ in range(2):
        lamina.run("build", "-q", folder).ok()
    return len(list((lamina.root / "unchanged").glob("*")))


def test_what_comes_from_the_web_is_asked_for_each_time(lamina: Command, tmp_path: Path) -> None:
    served = write(tmp_path / "served", {"f": "one"})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(served))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        folder = project(tmp_path / "p", f"FROM scratch\nADD http://127.0.0.1:{server.server_port}/f /f\n")
        before = lamina.run("build", "-q", folder).ok().out
        assert twice(lamina, folder) == 0
        write(served, {"f": "other"})
        assert lamina.run("build", "-q", folder).ok().out != before
        server.shutdown()


def test_a_memo_knows_what_a_step_binds(lamina: Command, tmp_path: Path) -> None:
    text = "FROM busybox\nRUN --mount=type=bind,source=src,target=/s cat /s/a > /a\n"
    folder = project(tmp_path / "p", text, {"src/a": "one"})
    assert twice(lamina, folder) == 2  # the build's, and the plan's
    before = lamina.run("build", "-q", folder).ok().out
    write(folder, {"src/a": "two"})
    assert lamina.run("build", "-q", folder).ok().out != before
