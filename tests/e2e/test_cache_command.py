"""`lamina cache`: what it says is what the disk says, and what a dry run says is what happens."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.support.command import Command, project, write

TEXT = """FROM busybox AS tools
RUN head -c 400000 /dev/urandom > /tool
FROM busybox
COPY . /app
RUN --mount=type=cache,target=/cache head -c 200000 /dev/urandom > /cache/c; echo x > /x
COPY --from=tools /tool /tool
"""


@pytest.fixture
def built(lamina: Command, tmp_path: Path) -> Command:
    """Two builds of one project, whose copied layers share files, and one of another."""
    files = {f"file{number}": f"{number}" * 9000 for number in range(30)}
    app = project(tmp_path / "app", TEXT, files)
    lamina.build(app, "-t", "app").ok()
    write(app, {"file1": "changed"})
    lamina.build(app, "-t", "app").ok()
    lamina.build(project(tmp_path / "other", "FROM busybox\nRUN head -c 100000 /dev/urandom > /o\n")).ok()
    return lamina


def usage(lamina: Command, *flags: str) -> dict:  # type: ignore[type-arg]
    found: dict = json.loads(lamina.run("cache", "du", "--json", *flags).ok().out)  # type: ignore[type-arg]
    return found


def listed(out: str) -> list[str]:
    """The lines of a dry run's list without what depends on the moment."""
    return [line.split()[-1] for line in out.splitlines()[1:-2]]


def test_du_agrees_with_the_disk_and_tells_shared_bytes_apart(built: Command) -> None:
    found = usage(built, "--records")
    said = int(subprocess.check_output(["du", "-s", "--block-size=1", built.root]).split()[0])
    assert abs(found["total"] - said) <= said // 100
    assert sum(kind["bytes"] for kind in found["kinds"]) == found["total"]
    assert {kind["name"] for kind in found["kinds"]} >= {"layers", "blobs", "cache mounts", "logs", "index"}
    assert found["layers"]["shared"] >= 29 * 9000
    copies = [step for step in found["steps"] if step["text"].startswith("COPY . ")]
    assert len(copies) == 2 and all(step["shared"] >= 29 * 9000 and step["own"] < 100_000 for step in copies)
    mounts = next(kind for kind in found["kinds"] if kind["name"] == "cache mounts")
    assert mounts["count"] == 1 and mounts["bytes"] >= 200_000
    told = built.run("cache", "du", "--records").ok().out
    assert "KIND" in told and "total" in told and "limit: auto" in told
    assert "COPY . /app" in told and "s/MB" in told and "tools" in told


def test_pruning_by_project_and_stage_does_what_the_dry_run_said(built: Command, tmp_path: Path) -> None:
    before = usage(built, "--records")
    told = built.run("cache", "prune", "-n", "--project", tmp_path / "app", "--stage", "tools").ok().out
    assert "head -c 400000" in told and "would delete" in told and "COPY . /app" not in told
    assert {step["text"] for step in usage(built, "--records")["steps"]} == {step["text"] for step in before["steps"]}
    done = built.run("cache", "prune", "--project", tmp_path / "app", "--stage", "tools").ok().out
    assert done.splitlines()[-1] == told.splitlines()[-1].replace("would delete", "deleted")
    after = usage(built, "--records")
    stages = [(step["stage"], Path(step["project"].partition(":")[0]).name) for step in after["steps"]]
    assert "tools" not in [stage for stage, _ in stages] and ("other" in [name for _, name in stages])
    again = built.build(tmp_path / "app", "-t", "app").ok()
    assert {row.text.split()[0] for row in again.rows if row.verdict not in ("cached", "metadata")} <= {"RUN", "COPY"}
    built.verify()


def test_a_size_is_met_and_the_newest_image_lives_on(built: Command, tmp_path: Path) -> None:
    size = usage(built)["total"]
    wanted = str(size - 300_000)
    told = built.run("cache", "prune", "-n", "--max-size", wanted).ok().out
    done = built.run("cache", "prune", "--max-size", wanted).ok().out
    assert done.splitlines()[-1] == told.splitlines()[-1].replace("would delete", "deleted")
    found = usage(built)
    assert found["total"] - next(kind["bytes"] for kind in found["kinds"] if kind["name"] == "index") <= size
    assert built.run("run", "app", "cat", "/app/file1").ok().out == "changed"
    small = built.run("cache", "prune", "--max-size", "1kB", "--cache-mounts").ok()
    assert "the store takes" in small.err and "1 cache mounts" in small.out
    assert built.run("run", "app", "cat", "/x").ok().out == "x\n"
    assert usage(built)["builds"] == 0
    built.verify()


def test_the_limit_is_kept_and_told(lamina: Command, tmp_path: Path) -> None:
    assert lamina.run("cache", "limit").ok().out == "auto\n"
    assert lamina.run("cache", "limit", "15MB").ok().out == "15MB\n"
    assert usage(lamina)["limit"] == 15_000_000
    context = project(tmp_path / "app", "FROM busybox\nRUN head -c 20000000 /dev/zero > /big\n")
    before = lamina.contents()
    done = lamina.build(context)
    assert (done.code, "store-over-limit" in done.err) == (7, True)
    assert "15,000,000" in done.err and "lamina cache limit" in done.err
    assert lamina.contents() == before
    assert lamina.run("cache", "limit", "none").ok().out == "none\n"
    lamina.build(context).ok()
    assert lamina.run("cache", "limit", "much").code == 2
    (lamina.root / "limit").write_text("nonsense")
    assert "store-bad-limit" in lamina.run("cache", "limit").err
    assert lamina.run("cache", "limit", "auto").ok().out == "auto\n"


@pytest.mark.parametrize("words", [("--older-than", "soon"), ("--max-size", "big"), ("--by", "luck")])
def test_bad_wishes_are_told(lamina: Command, words: tuple[str, ...]) -> None:
    done = lamina.run("cache", "prune", *words)
    assert done.code == 2 and "Traceback" not in done.err
