"""`lamina layers`: images built here, loaded and pulled; what each layer holds, what is wasted, limits, comparing."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.command import Command, project, write
from tests.support.registry_server import running_registry
from tests.support.runner_bench import give, ordinary_user

TEXT = """FROM busybox AS deps
RUN mkdir -p /var/lib/apt/lists && head -c 9000 /dev/zero > /var/lib/apt/lists/x
FROM deps
COPY . /app
ENV A=1
RUN rm -rf /var/lib/apt/lists /app/source.tar
RUN chown -R 1000:1000 /app/lib
RUN echo other > /app/main && ln /app/main /app/again
"""
FILES = {"source.tar": "s" * 70_000, "lib/one": "1" * 5000, "lib/two": "2" * 6000, "main": "m" * 800}


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return project(tmp_path / "context", TEXT, FILES)


def report(lamina: Command, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lamina.run("layers", "--json", *words).ok().out)
    return found


def test_layers_of_a_build(lamina: Command, context: Path) -> None:
    lamina.build(context, "-t", "shop").ok()
    found = report(lamina, "shop")
    base, index, copy, delete, chown, last = found["layers"]
    text = len(TEXT)
    assert [one["line"] for one in found["layers"]] == [None, 2, 4, 6, 7, 8]
    assert [one["base"] for one in found["layers"]] == [True, *[False] * 5]
    assert copy["instruction"] == "COPY . /app"
    assert [one["size"] for one in (index, copy, delete, chown, last)] == [9000, 81_800 + text, 0, 11_000, 6]
    assert [one["hidden"] for one in (index, copy, chown)] == [9000, 81_800, 0]
    assert (copy["added"], chown["attributes"], last["changed"], last["added"]) == (5, 2, 1, 1)
    assert delete["removed"] == 2
    assert base["compressed"] > 0
    assert [(one["sort"], one["made_by"], one["hidden_by"], one["size"]) for one in found["waste"]] == [
        ("deleted", 3, 4, 70_000),
        ("copied", 3, 5, 11_000),
        ("deleted", 2, 4, 9000),
        ("overwritten", 3, 6, 800),
    ]
    assert found["wasted"] == 90_800
    assert found["visible"] == found["size"] - 90_800
    said = lamina.run("layers", "shop").ok().out
    assert "line 7 ships the files a second time to change their owner or mode: give line 4 --chown or --chmod" in said
    assert "fetch the package index and delete it in one RUN (line 2)" in said


def test_the_files(lamina: Command, context: Path) -> None:
    (context / "bad\x1b[2J\n").write_text("x")
    lamina.build(context, "-t", "shop").ok()
    told = lamina.run("layers", "shop", "--tree", "/app").ok().out
    rows = [(line[0], line.split(maxsplit=1 if line[0] == " " else 2)[-1]) for line in told.splitlines()]
    assert ("-", "├─ source.tar") in rows
    assert ("+", "│  ├─ two") in rows
    assert r"bad\x1b[2J\n" in told
    assert "\x1b" not in told
    top = report(lamina, "shop", "--tree", "/app", "--layer", "5")
    assert (top["size"], [one["path"] for one in top["children"]]) == (11_000, ["/app/lib"])
    assert {one["mark"] for one in top["children"][0]["children"]} == {"attributes"}
    assert report(lamina, "shop", "--tree", "--depth", "1")["children"][0].get("children") is None


def test_limits(lamina: Command, context: Path) -> None:
    lamina.build(context, "-t", "shop").ok()
    assert lamina.run("layers", "shop", "--max-size", "100MB", "--max-waste", "99%").ok().err == ""
    over = lamina.run("layers", "shop", "--max-waste", "10kB", "--max-size", "1kB")
    assert over.code == 1
    size, waste = over.err.splitlines()
    assert "the base image's layer 1" in size
    assert "line 6: RUN rm -rf /var/lib/apt/lists /app/source.tar" in waste
    told = lamina.run("layers", "shop", "--json", "--max-waste", "1%")
    assert told.code == 1
    assert json.loads(told.out)["over"][0]["limit"] == "waste"


def test_two_images(lamina: Command, context: Path) -> None:
    lamina.build(context, "-t", "old").ok()
    write(context, {"lib/two": "2" * 7000, "new": "n" * 50})
    lamina.build(context, "-t", "new").ok()
    found = report(lamina, "new", "--against", "old")
    assert found["shared_layers"] == 2
    assert found["folders"] == [
        {"path": "/app", "added": 1, "changed": 1, "attributes": 0, "removed": 0, "before": 6000, "after": 7050}
    ]
    assert [one["path"] for one in found["paths"]] == ["/app/lib/two", "/app/new"]
    assert "+1.05kB" in lamina.run("layers", "new", "--against", "old").ok().out
    assert "the same files in both" in lamina.run("layers", "new", "--against", "new").ok().out


def test_loaded_and_never_fetched(lamina: Command, context: Path, tmp_path: Path) -> None:
    """A loaded image has the layers of the one that was saved; of a base that no step stood on none was fetched yet."""
    lamina.build(context, "-t", "shop", "-o", f"type=oci,dest={tmp_path / 'shop.tar'}").ok()
    other = Command(tmp_path / "other", env={"HOME": str(tmp_path)})
    other.run("load", "-i", tmp_path / "shop.tar").ok()
    mine, theirs = report(lamina, "shop"), report(other, "shop")
    assert all(one["compressed"] and not one["base"] for one in theirs["layers"])
    keys = ("size", "hidden", "added", "changed", "attributes", "removed")
    assert [[one[key] for key in keys] for one in mine["layers"]] == [
        [one[key] for key in keys] for one in theirs["layers"]
    ]
    with running_registry(tmp_path) as server:
        target = f"docker://{server.host}/lib/shop:1"
        copy = ["skopeo", "copy", "--dest-tls-verify=false", f"oci-archive:{tmp_path / 'shop.tar'}", target]
        subprocess.run(copy, check=True, capture_output=True)
        third = Command(tmp_path / "third", env={"HOME": str(tmp_path)})
        third.build(project(tmp_path / "label", f"FROM {server.host}/lib/shop:1\nLABEL a=b\n"), "-t", "labelled").ok()
        found = report(third, "labelled")
    assert [one["size"] for one in found["layers"]] == [one["size"] for one in mine["layers"]]
    assert all(one["base"] for one in found["layers"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing",), "[store-image-missing]"),
        (("busybox", "--tree", "/no/such"), "[usage-path-missing]"),
        (("busybox", "--tree", "--layer", "2"), "has no layer 2"),
        (("busybox", "--tree", "--depth", "0"), "from 1 to 200"),
        (("busybox", "--layer", "1"), "add --tree"),
        (("busybox", "--max-waste", "101%"), "write 5% or 20MB"),
        (("busybox", "--max-size", "big"), "is not a size"),
        (("busybox", "--tree", "--max-size", "1MB"), "judge the layers as such"),
        (("busybox", "--tree", "--tui"), "not allowed with"),
        (("busybox", "--tui"), "[usage-no-terminal]"),
        (("busybox", "--platform", "linux/s390x"), "[store-image-missing]"),
    ],
)
def test_bad_words(lamina: Command, words: tuple[str, ...], said: str) -> None:
    done = lamina.run("layers", *words)
    assert done.code != 0
    assert said in done.err
    assert "Traceback" not in done.err


def test_without_textual_the_explorer_says_what_to_install(lamina: Command, tmp_path: Path) -> None:
    (tmp_path / "textual.py").write_text("raise ModuleNotFoundError(\"No module named 'textual'\", name='textual')\n")
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            lamina.line("layers", "busybox", "--tui"),
            env=lamina.environment({"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}),
            stdin=theirs,
            stdout=theirs,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 2
    assert b"pip install 'lamina[tui]'" in done.stderr


def test_an_ordinary_user_is_told_the_same(lamina: Command, place: Path, rootless: Command) -> None:
    context = project(place / "context", TEXT, FILES)
    user = ordinary_user()
    give(context, (user.pw_uid, user.pw_gid))
    for command in (lamina, rootless):
        command.build(context, "-t", "shop").ok()
    mine, theirs = report(lamina, "shop"), report(rootless, "shop")
    for told in (mine, theirs):
        for layer in told["layers"]:
            del layer["compressed"], layer["diff_id"]  # times differ
        del told["image"]
    assert mine == theirs
    both = [command.run("layers", "shop", "--tree", "/app").ok().out for command in (lamina, rootless)]
    assert both[0] == both[1]
