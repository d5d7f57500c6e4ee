"""The final key of a build, images that are taken as they are, and builds that may not run a step."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.command import Command, project, write

TEXT = """FROM busybox AS tools
RUN echo tool > /tool
FROM busybox
COPY app.py /app/
COPY --from=tools /tool /tool
RUN cat /tool /app/app.py > /both
CMD ["sh"]
"""
FILES = {"app.py": "one\n"}


def key(lamina: Command, folder: Path, *options: str) -> str:
    done = lamina.run("key", *options, folder)
    assert done.code == 0 and done.out.startswith("sha256:")
    return done.out.strip()


def identity(lamina: Command, name: str) -> str:
    found: str = json.loads(lamina.run("inspect", name).ok().out)[0]["Id"]
    return found


def test_the_key_is_known_before_the_build_and_the_same_elsewhere(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", TEXT, FILES)
    before = lamina.contents()
    first = key(lamina, folder)
    assert lamina.contents() == before
    metadata = tmp_path / "metadata.json"
    lamina.build(folder, "--metadata-file", str(metadata)).ok()
    assert json.loads(metadata.read_text())["lamina.build.key"] == first == key(lamina, folder)
    assert key(lamina, project(tmp_path / "elsewhere", TEXT, FILES)) == first
    assert key(lamina, folder, "--label", "a=b") != first
    assert key(lamina, folder, "--target", "tools") != first
    assert key(lamina, write(folder, {"app.py": "two\n"})) != first


def test_reuse_takes_the_image_even_if_its_steps_are_gone(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", TEXT, FILES)
    made = lamina.build(folder, "-t", "app:1").ok()
    lamina.run("cache", "prune", "--older-than", "0s").ok()
    again = lamina.run("build", "--reuse", "-t", "app:2", folder).ok()
    assert "built from the same inputs before" in again.err
    assert identity(lamina, "app:2") == identity(lamina, "app:1")
    write(folder, {"app.py": "two\n"})
    other = lamina.build(folder, "--reuse", "-t", "app:3").ok()
    assert other.row("COPY app.py").verdict in ("new", "CHANGED")
    assert made.code == 0 and identity(lamina, "app:3") != identity(lamina, "app:1")
    assert lamina.run("run", "--rm", "app:3", "cat", "/both").out == "tool\ntwo\n"


def test_a_miss_fails_where_none_may_be(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", TEXT, FILES)
    lamina.build(folder).ok()
    lamina.build(folder, "--fail-on-miss").ok()
    write(folder, {"app.py": "two\n"})
    images = len(lamina.run("images").out.splitlines())
    done = lamina.build(folder, "--fail-on-miss")
    assert done.code == 10
    assert "Dockerfile:4" in done.err and "app.py is different: line 1" in done.err and "[cache-miss]" in done.err
    assert len(lamina.run("images").out.splitlines()) == images
    assert "app.py" in lamina.run("explain").ok().out
