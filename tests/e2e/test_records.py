"""`lamina records`: a CI run and a laptop, each with a store of its own, compared."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.support.command import Command, project, write
from tests.support.waiting import copied

TEXT = "FROM busybox\nWORKDIR /app\nCOPY src src\nRUN cat src/* > all\n"
FILES = {"src/a.py": "1\n", "src/b.py": "1\n", ".dockerignore": "Docker*\n"}


@pytest.fixture
def laptop(tmp_path: Path, busybox_store: Path) -> Command:
    """Another machine."""
    return Command(copied(busybox_store, tmp_path / "laptop-store"))


@pytest.fixture
def ci(lamina: Command, tmp_path: Path) -> Path:
    """What CI built, and its records."""
    folder = project(tmp_path / "ci" / "shop", TEXT, FILES)
    lamina.build(folder, "-t", "shop").ok()
    lamina.run("records", "export", "--name", "CI run 17", "-o", tmp_path / "ci.records").ok()
    return folder


def compared(laptop: Command, tmp_path: Path) -> tuple[str, str]:
    """What the laptop says against the imported build, and that build's id."""
    done = laptop.run("records", "import", tmp_path / "ci.records").ok()
    build = done.out.split()[1]
    return laptop.run("explain", "--against", build).ok().out, build


def test_the_file_that_differs_is_named(lamina: Command, laptop: Command, ci: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(ci, tmp_path / "home" / "shop"))
    write(copy, {"src/b.py": "2\n"})
    laptop.build(copy).ok()
    said, build = compared(laptop, tmp_path)
    assert "The first difference is line 3: COPY src src\n  src/b.py is different.\n" in said
    assert f"{build} of shop, from CI run 17" in said
    listed = laptop.run("explain", "--list").ok().out
    assert "shop from CI run 17" in listed
    assert "never built before here" in laptop.run("explain", build).ok().out
    # It stays what it is: not the last build here, and no step of it is cached.
    assert build not in laptop.run("explain").ok().out


def test_another_umask_is_named_with_its_cure(laptop: Command, ci: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(ci, tmp_path / "home" / "shop"))
    for path in copy.rglob("*"):
        path.chmod(path.stat().st_mode | 0o020)
    laptop.build(copy).ok()
    said, build = compared(laptop, tmp_path)
    assert "only file modes differ, of " in said and 'modes = "git"' in said
    found = json.loads(laptop.run("explain", "--against", build, "--json").ok().out)
    (difference,) = found["differences"]
    assert difference["inputs"][0]["sole"] == "mode"


def test_the_same_is_said_to_be_the_same(laptop: Command, ci: Path, tmp_path: Path) -> None:
    laptop.build(Path(shutil.copytree(ci, tmp_path / "home" / "shop"))).ok()
    said, _ = compared(laptop, tmp_path)
    assert "Nothing that goes into the 3 steps differs: the same inputs and the same final key." in said


def test_nothing_of_the_machine_is_in_the_file(lamina: Command, ci: Path, tmp_path: Path) -> None:
    import zstandard

    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    text = "FROM busybox\nRUN --mount=type=secret,id=key cp /run/secrets/key /dev/null\n"
    write(ci, {"Dockerfile": text})
    subprocess.run(
        lamina.line("build", "--secret", f"id=key,src={secret}", "."), cwd=ci, env=lamina.environment(), check=True
    )
    raw = subprocess.run(
        lamina.line("records", "export"), cwd=ci, env=lamina.environment(), check=True, capture_output=True
    ).stdout
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(raw.partition(b"\n")[2])
    assert b"type=secret" in plain
    for word in (b"hunter2", str(tmp_path).encode(), str(lamina.root).encode()):
        assert word not in plain


def test_import_twice_damage_and_other_versions(lamina: Command, laptop: Command, ci: Path, tmp_path: Path) -> None:
    file = tmp_path / "ci.records"
    _, build = "", laptop.run("records", "import", file).ok().out.split()[1]
    assert f"{build} is in this store already" in laptop.run("records", "import", "-", stdin=file.read_bytes()).ok().out
    assert f"{build} is in this store already" in lamina.run("records", "import", file).ok().out
    data = file.read_bytes()
    cases = {
        data[: len(data) // 2]: "store-records-damaged",
        data.replace(b"records 1", b"records 9", 1): "store-records-version",
        b"nothing": "store-records-damaged",
    }
    for wrong, reference in cases.items():
        done = laptop.run("records", "import", "-", stdin=wrong)
        assert (done.code, f"[{reference}]" in done.err) == (7, True), done.err
    assert laptop.run("records", "import", tmp_path / "nowhere").code == 2
    assert lamina.run("records", "export", "-o", tmp_path / "no" / "where").code == 9
    assert lamina.run("records", "export", "nothing-like-this").code == 7
    lamina.verify()
