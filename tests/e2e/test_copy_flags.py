"""COPY --link, --parents, --exclude and --chmod; named contexts."""

from __future__ import annotations

from pathlib import Path

from tests.support.command import Command, project, write


def test_a_linked_copy_survives_a_change_below_it(lamina: Command, tmp_path: Path) -> None:
    text = "FROM busybox\nRUN echo 1 > /v\nCOPY --link a /deep/a\nRUN cat /v /deep/a > /both\n"
    folder = project(tmp_path / "p", text, {"a": "file\n"})
    lamina.build(folder, "-t", "x").ok()
    changed = write(folder, {"Dockerfile": text.replace("echo 1", "echo 2")})
    done = lamina.build(changed, "-t", "x")
    assert done.row("COPY").verdict == "cached"
    assert done.verdicts() == {"RUN echo 2 > /v": "CHANGED", "RUN cat /v /deep/a > /both": "rebuilds"}
    assert lamina.run("run", "x", "cat", "/both").out == "2\nfile\n"
    lamina.verify()
    assert lamina.build(changed).verdicts() == {}
    assert lamina.build(write(folder, {"a": "new\n"})).row("COPY").files == {"a": "content"}


def test_parents_exclude_and_chmod(lamina: Command, tmp_path: Path) -> None:
    files = {name: name for name in ("src/x/a.py", "src/x/b.txt", "src/y/c.py", "src/top.md", "run.sh")}
    text = """FROM busybox
COPY --parents src/*/*.py /p/
COPY --parents src/./x /q/
COPY --exclude=*.txt --exclude=y src /r/
COPY --chmod=u+x,go= run.sh /s/
COPY --chmod=750 src/x /t/
"""
    folder = project(tmp_path / "p", text, files)
    lamina.build(folder, "-t", "x").ok()
    found = lamina.run("run", "x", "sh", "-c", "find /p /q /r -type f | sort; stat -c %a /s/run.sh /t/a.py").out
    # `*.txt` is a pattern of ignore files: it matches at the top alone.
    expected = "/p/src/x/a.py /p/src/y/c.py /q/x/a.py /q/x/b.txt /r/top.md /r/x/a.py /r/x/b.txt 700 750"
    assert found.split() == expected.split()
    assert lamina.build(write(folder, {"src/y/new.txt": ""})).verdicts() == {}


def test_a_named_context_is_a_directory_or_an_image(lamina: Command, tmp_path: Path) -> None:
    text = """FROM busybox AS own
RUN echo own > /f
FROM base
COPY --from=lib / /lib/
RUN --mount=from=lib,target=/m cat /m/f > /seen
COPY --from=own /f /g
CMD cat /lib/f /seen /g; ls /lib
"""
    lib = write(tmp_path / "lib", {"f": "library\n", "skipped": "", ".dockerignore": "skipped\n"})
    folder = project(tmp_path / "p", text)
    flags = ("--build-context", f"lib={lib}", "--build-context", "base=docker-image://busybox")
    lamina.build(folder, *flags, "-t", "x").ok()
    assert lamina.run("run", "x").out == "library\nlibrary\nown\nf\n"
    assert lamina.build(folder, *flags).verdicts() == {}
    write(lib, {"f": "changed\n"})
    assert lamina.build(folder, *flags).row("COPY --from=lib").files == {"f": "content"}


def test_a_stage_from_a_directory(lamina: Command, tmp_path: Path) -> None:
    lib = write(tmp_path / "lib", {"f": "library\n"})
    folder = project(tmp_path / "p", "FROM lib AS l\nFROM busybox\nCOPY --from=l /f /g\n")
    lamina.build(folder, "--build-context", f"lib={lib}", "-t", "x").ok()
    assert lamina.run("run", "x", "cat", "/g").out == "library\n"
