"""`lamina cache verify`: every kind of damage is found, discarded and built again, and steps that are not repeatable
are named with the first file that differs."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.command import Command, Completed, project, write

# Each step comes out the same again, times included: what stands on a rebuilt one is found in the cache.
DOCKERFILE = """FROM busybox
COPY a /a
RUN cp -p /a /b
COPY c /c
RUN cat /b /c > /d && touch -d @1000000000 /d
"""
COPY_A, RUN_CP, COPY_C, RUN_CAT = DOCKERFILE.splitlines()[1:]
FILES = {"a": "the first file\n", "c": "the second file\n"}


@pytest.fixture
def built(lamina: Command, tmp_path: Path) -> tuple[Command, Path, str]:
    """A store with an image of four steps, its context, and the image's ID."""
    folder = project(tmp_path / "p", DOCKERFILE, FILES)
    return lamina, folder, build(lamina, folder).image


def build(lamina: Command, folder: Path, *flags: str) -> Completed:
    """With a fixed time, so that an image of the same files is the same image."""
    return lamina.build(folder, "--source-date-epoch", "1000000000", "-t", "app", *flags).ok()


@contextmanager
def index(lamina: Command) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(lamina.root / "index.db")) as connection:
        yield connection
        connection.commit()


def flip(path: Path) -> None:
    """Turn one bit over, as a bad disk does: nobody dates the file anew."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    with path.open("r+b") as file:  # the same inode, which other layers may share
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def layer_of(lamina: Command, text: str) -> Path:
    """The directory of a step's layer."""
    with index(lamina) as connection:
        sql = "SELECT layer FROM snapshots JOIN records ON chain = result WHERE text = ? ORDER BY id DESC"
        (number,) = connection.execute(sql, (text.encode(),)).fetchone()
    return lamina.root / "layers" / "0123456789abcdefghijklmnopqrstuvwxyz"[number]


def found(lamina: Command, *flags: str) -> list[str]:
    """The kinds of problems; asserts the exit status that belongs to them."""
    done = lamina.run("cache", "verify", "--json", *flags)
    problems = json.loads(done.out)["problems"]
    assert done.code == (7 if any(problem["serious"] for problem in problems) else 0), done.err
    return [problem["kind"] for problem in problems]


def is_whole(lamina: Command, image: str) -> None:
    """What is in the store and in the image is what it was."""
    lamina.verify()
    assert lamina.run("run", "--rm", image, "cat", "/d").ok().out == FILES["a"] + FILES["c"]


@pytest.mark.parametrize(
    ("text", "file"), [(COPY_A, "a"), (RUN_CP, "b"), (COPY_C, "c"), (RUN_CAT, "d")], ids=["a", "b", "c", "d"]
)
def test_a_flipped_bit_in_a_layers_file(built: tuple[Command, Path, str], text: str, file: str) -> None:
    lamina, folder, image = built
    flip(layer_of(lamina, text) / file)
    done = lamina.run("cache", "verify")
    assert done.code == 7
    assert "layer-damaged: sha256:" in done.out
    assert "`--repair` discards them" in done.out
    assert found(lamina, "--repair") == ["layer-damaged"]
    assert found(lamina) == ["image-incomplete"] if text == RUN_CAT else ["parent-missing", "image-incomplete"]
    again = build(lamina, folder)
    assert list(again.verdicts()) == [text]
    assert again.row(text).cause == {**(again.row(text).cause or {}), "kind": "evicted"}
    assert again.image == image
    is_whole(lamina, "app")


def test_a_layer_directory_that_is_gone(built: tuple[Command, Path, str]) -> None:
    lamina, folder, image = built
    layer = layer_of(lamina, RUN_CP)
    layer.rename(lamina.root.parent / "taken")
    assert found(lamina, "--repair") == ["layer-missing", "image-incomplete"]
    again = build(lamina, folder)
    assert list(again.verdicts()) == [RUN_CP]
    assert again.image == image
    is_whole(lamina, "app")


def test_an_incomplete_image_is_not_reused(built: tuple[Command, Path, str]) -> None:
    lamina, folder, image = built
    flip(layer_of(lamina, RUN_CAT) / "d")
    found(lamina, "--repair")
    again = build(lamina, folder, "--reuse")
    assert list(again.verdicts()) == [RUN_CAT]
    assert again.image == image
    is_whole(lamina, "app")


@pytest.mark.parametrize("how", ["flipped", "truncated", "empty"])
def test_a_damaged_blob(built: tuple[Command, Path, str], how: str) -> None:
    lamina, folder, image = built
    blob = lamina.root / "blobs" / image.replace(":", "/")
    if how == "flipped":
        flip(blob)
    else:
        os.truncate(blob, blob.stat().st_size // 2 if how == "truncated" else 0)
    assert found(lamina, "--repair") == ["blob-damaged"]
    assert not blob.exists()
    assert found(lamina) == ["image-incomplete"]
    again = build(lamina, folder)
    assert again.verdicts() == {}
    assert again.image == image
    is_whole(lamina, "app")


def test_a_damaged_list_of_files(built: tuple[Command, Path, str]) -> None:
    lamina, folder, image = built
    for file in (lamina.root / "facts").iterdir():
        flip(file)
    count = len(list((lamina.root / "facts").iterdir()))
    assert found(lamina, "--repair") == ["facts-damaged"] * count
    lamina.verify()
    again = build(lamina, folder)
    assert (again.verdicts(), again.image) == ({}, image)
    write(folder, {"c": "edited\n"})
    edited = build(lamina, folder)
    assert list(edited.verdicts()) == [COPY_C, RUN_CAT]
    lamina.verify()


@pytest.mark.parametrize("how", ["bit", "text", "column"])
def test_a_damaged_record(built: tuple[Command, Path, str], how: str) -> None:
    lamina, folder, image = built
    with index(lamina) as connection:
        (data,) = connection.execute("SELECT data FROM records WHERE text = ?", (RUN_CP.encode(),)).fetchone()
        changed = {
            "bit": f"data = x'{data[:90].hex()}{data[90] ^ 1:02x}{data[91:].hex()}'",
            "text": "data = data || 'text'",
            # As if the copy of the first file were that of the second.
            "column": f"key = (SELECT key FROM records WHERE text = x'{COPY_C.encode().hex()}')",
        }
        connection.execute(f"UPDATE records SET {changed[how]} WHERE text = ?", (RUN_CP.encode(),))
    assert found(lamina) == ["record-damaged"]
    assert found(lamina, "--repair") == ["record-damaged"]
    lamina.verify()
    again = build(lamina, folder)
    assert list(again.verdicts()) == [RUN_CP]
    assert again.image == image
    is_whole(lamina, "app")


def test_a_damaged_index_is_mended(built: tuple[Command, Path, str]) -> None:
    lamina, folder, image = built
    with index(lamina) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'records_text'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with (lamina.root / "index.db").open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(bytes(size))
    assert lamina.run("cache", "verify").code == 7
    mended = lamina.run("cache", "verify", "--repair").ok()
    assert "the index was damaged; saved of it: " in mended.out
    again = build(lamina, folder)
    assert (again.verdicts(), again.image) == ({}, image)
    lamina.verify()


def test_the_layer_of_a_base_image_that_is_gone(built: tuple[Command, Path, str], busybox_tar: Path) -> None:
    """It came from elsewhere, and is asked for again there."""
    lamina, folder, image = built
    with index(lamina) as connection:
        (number,) = connection.execute("SELECT layer FROM snapshots WHERE parent IS NULL").fetchone()
    (lamina.root / "layers" / str(number)).rename(lamina.root.parent / "taken")
    assert "layer-missing" in found(lamina, "--repair")
    lamina.run("import", busybox_tar, "busybox", "--env", "PATH=/bin", "--cmd", '["sh"]').ok()
    again = build(lamina, folder)
    assert (again.verdicts(), again.image) == ({}, image)
    is_whole(lamina, "app")


# --- steps -----------------------------------------------------------------------------------------------------------
UUID = "cat /proc/sys/kernel/random/uuid"
STEPS = f"""FROM busybox
WORKDIR /work
COPY a /a
RUN {UUID} > /f
RUN echo a > /f
RUN mkdir /a.d && head -c 10 /dev/urandom > /a.d/b
RUN echo first > /lines; {UUID} >> /lines
RUN mkdir -p /var/log && {UUID} > /var/log/it
RUN test -n "$HTTP_PROXY" || {{ echo no proxy; exit 3; }}
RUN --mount=type=cache,target=/c echo x > /c/y
RUN --mount=type=tmpfs,target=/scratch,size=1048576 echo x > /scratch/y && echo kept > /kept
RUN --network=none echo offline > /offline
RUN hostname > /hostname; echo $HOME $(id -u) $(pwd) $SOURCE_DATE_EPOCH > /surroundings
RUN <<SCRIPT
#!/bin/sh
echo from a script > /script
SCRIPT
USER nobody
RUN echo $HOME $(id -u) > /tmp/nobody
"""


@pytest.fixture(scope="module")
def stepped(tmp_path_factory: pytest.TempPathFactory, busybox_tar: Path) -> Command:
    """A store with one image of many steps. No test changes it."""
    place = tmp_path_factory.mktemp("steps")
    lamina = Command(place / "store")
    lamina.run("import", busybox_tar, "busybox", "--env", "PATH=/bin").ok()
    folder = project(place / "p", STEPS, FILES)
    flags = ("--build-arg", "HTTP_PROXY=http://proxy", "--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=chosen")
    lamina.build(folder, *flags, "--source-date-epoch", "1700000000").ok()
    return lamina


def steps(lamina: Command, *words: str) -> dict[str, dict[str, Any]]:
    """What `--steps` says, by instruction."""
    done = lamina.run("cache", "verify", "--json", "--steps", *words)
    told = json.loads(done.out)
    counts = told["counts"]
    assert done.code == (1 if counts["differs"] or counts["failed"] else 0)
    assert sum(counts.values()) == len(told["steps"])
    return {step["text"]: step for step in told["steps"]}


def everything(root: Path) -> dict[str, tuple[int, int, float]]:
    """All that is in a store but for work in progress and the index, whose rows `Command.contents` compares."""
    passing = ("tmp", "locks", "index.db", "index.db-wal", "index.db-shm")
    paths = (path for path in root.rglob("*") if path.relative_to(root).parts[0] not in passing)
    return {str(path): (path.lstat().st_ino, path.lstat().st_size, path.lstat().st_mtime) for path in paths}


def test_each_step_is_said_to_be_repeatable_or_not(stepped: Command) -> None:
    before = everything(stepped.root), stepped.contents()
    told = steps(stepped)
    assert (everything(stepped.root), stepped.contents()) == before
    lines = [line for line in STEPS.splitlines() if line.startswith("RUN")]
    assert list(told) == lines
    assert {text: step["verdict"] for text, step in told.items() if step["verdict"] != "repeatable"} == {
        lines[0]: "differs",
        lines[2]: "differs",
        lines[3]: "differs",
        lines[4]: "differs",
        lines[5]: "failed",
        lines[6]: "not tried",
    }
    first = {text: step["differences"][0] for text, step in told.items() if step["differences"]}
    assert [(each["path"], each["kind"], each["line"]) for each in first.values()] == [
        ("/f", "content", 1),
        ("/a.d/b", "content", first[lines[2]]["line"]),
        ("/lines", "content", 2),
        ("/var/log/it", "content", 1),
    ]
    assert first[lines[4]]["why"] == "logs hold times"
    assert told[lines[5]]["why"] == "exit status 3"
    assert told[lines[5]]["output"] == ["no proxy"]
    assert told[lines[6]]["why"] == "mounts cache at /c"


def test_steps_in_words(stepped: Command) -> None:
    done = stepped.run("cache", "verify", "--steps", "uuid")
    assert done.code == 1
    assert done.out.splitlines() == [
        f"differs in /f (content, line 1): RUN {UUID} > /f",
        f"differs in /lines (content, line 2): RUN echo first > /lines; {UUID} >> /lines",
        f"differs in /var/log/it (content, line 1): RUN mkdir -p /var/log && {UUID} > /var/log/it",
        "  logs hold times: delete them in the same RUN: rm -rf /var/log/*",
        "3 steps: 3 differs",
    ]
    done = stepped.run("cache", "verify", "--steps", "proxy")
    assert done.code == 1
    assert done.out.splitlines()[1:] == ["  no proxy", "1 step: 1 failed"]
    assert done.out.startswith("failed (exit status 3): RUN test -n ")
    done = stepped.run("cache", "verify", "--steps=--mount").ok()
    assert done.out.splitlines() == [
        "not tried (mounts cache at /c): RUN --mount=type=cache,target=/c echo x > /c/y",
        f"repeatable: {STEPS.splitlines()[10]}",
        "2 steps: 1 repeatable, 1 not tried",
    ]


def test_the_callers_proxies_are_given_to_steps(stepped: Command) -> None:
    done = stepped.run("cache", "verify", "--steps", "proxy", env={"HTTP_PROXY": "http://another"}).ok()
    assert done.out.splitlines()[-1] == "1 step: 1 repeatable"


def test_a_text_that_no_step_has(stepped: Command) -> None:
    done = stepped.run("cache", "verify", "--steps", "apt-get")
    assert (done.code, "[usage-no-such-step]" in done.err) == (2, True)
    assert stepped.run("cache", "verify", "--steps", "--repair").code == 2


def test_no_steps_and_the_newest_of_each(lamina: Command, tmp_path: Path) -> None:
    assert lamina.run("cache", "verify", "--steps").ok().out == "no RUN is cached\n"
    folder = project(tmp_path / "p", f"FROM busybox\nCOPY a /a\nRUN {UUID} > /f\n", {"a": "1"})
    lamina.build(folder).ok()
    write(folder, {"a": "2"})
    lamina.build(folder).ok()
    write(folder, {"Dockerfile": "FROM busybox\nRUN --mount=type=bind,target=/m ls /m > /f\n"})
    lamina.build(folder, "--add-host", "x:127.0.0.1").ok()
    write(folder, {"Dockerfile": "FROM busybox\nRUN grep needed /etc/hosts > /f\n"})
    lamina.build(folder, "--add-host", "needed:127.0.0.1").ok()
    told = steps(lamina)
    assert [(step["verdict"], step["why"]) for step in told.values()] == [
        ("differs", ""),
        ("not tried", "mounts bind at /m"),
        ("not tried", "was given the address of needed"),
    ]


def test_what_a_step_ran_on_is_gone(built: tuple[Command, Path, str]) -> None:
    lamina, _, _ = built
    layer_of(lamina, COPY_A).rename(lamina.root.parent / "taken")
    layer_of(lamina, RUN_CAT).rename(lamina.root.parent / "taken too")
    told = steps(lamina)
    assert [step["why"] for step in told.values()] == [
        "what it ran on is no longer in the store",
        "its layer is no longer in the store",
    ]
