"""Several builds at once on one store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.command import Command, finish, project, write

TEXT = """FROM busybox AS tool
RUN sleep 0.1; echo tool > /tool
FROM busybox
COPY shared /shared
RUN sleep 0.1; cat /shared > /copy
COPY --from=tool /tool /tool
COPY own /own
RUN cat /own /copy /tool > /all
CMD cat /all
"""
ROUNDS = 2


def context_of(folder: Path, own: str) -> Path:
    return project(folder, TEXT, {"shared": "shared\n", "own": own})


def ended(events: list[dict[str, Any]], text: str) -> list[str]:
    vertices = {event["vertex"]: event["name"] for event in events if event["event"] == "started"}
    return [
        event["outcome"] for event in events if event["event"] == "ended" and vertices[event["vertex"]].endswith(text)
    ]


def test_the_same_build_three_times_at_once_runs_each_step_once(lamina: Command, tmp_path: Path) -> None:
    context = context_of(tmp_path / "context", "own\n")
    for number in range(ROUNDS):
        write(context, {"shared": f"shared {number}\n"})
        running = [lamina.start("build", "--progress", "rawjson", "-t", f"x{place}", context) for place in range(3)]
        done = [finish(process) for process in running]
        assert len({one.image for one in done}) == 1
        outcomes = sorted(outcome for one in done for outcome in ended(one.events, "cat /shared > /copy"))
        assert outcomes == ["cached", "cached", "done"]
        for place in range(3):
            assert lamina.run("run", f"x{place}").out == f"own\nshared {number}\ntool\n"
        assert lamina.build(context).image == done[0].image
    lamina.verify()


def test_different_builds_at_once_are_each_right_and_share_their_steps(lamina: Command, tmp_path: Path) -> None:
    for number in range(ROUNDS):
        contexts = [context_of(tmp_path / f"{number}-{place}", f"own {place}\n") for place in range(3)]
        for context in contexts:
            write(context, {"shared": f"shared {number}\n"})
        running = [
            lamina.start("build", "--progress", "rawjson", "-t", f"x{place}", context)
            for place, context in enumerate(contexts)
        ]
        done = [finish(process) for process in running]
        shared = sorted(outcome for one in done for outcome in ended(one.events, "cat /shared > /copy"))
        assert shared == ["cached", "cached", "done"]
        for place, context in enumerate(contexts):
            assert lamina.run("run", f"x{place}").out == f"own {place}\nshared {number}\ntool\n"
            again = lamina.build(context)
            assert (again.verdicts(), again.image) == ({}, done[place].image)
    lamina.verify()


def test_images_are_equal_to_those_of_a_build_alone(lamina: Command, tmp_path: Path, busybox_tar: Path) -> None:
    contexts = [context_of(tmp_path / f"{place}", f"own {place}\n") for place in range(2)]
    for running in [lamina.start("build", "-t", f"x{place}", context) for place, context in enumerate(contexts)]:
        finish(running).ok()
    alone = Command(tmp_path / "alone")
    alone.run("import", busybox_tar, "busybox", "--env", "PATH=/bin", "--cmd", '["sh"]').ok()
    for place, context in enumerate(contexts):
        alone.build(context, "-t", f"x{place}").ok()
        found = [json.loads(one.run("inspect", f"x{place}").ok().out)[0] for one in (lamina, alone)]
        assert found[0]["config"] == found[1]["config"]
        commands = [[entry.get("created_by") for entry in image["history"]] for image in found]
        assert commands[0] == commands[1]
        files = []
        for one in (lamina, alone):
            out = tmp_path / f"out-{one.root.name}-{place}"
            one.build(context, "-o", out).ok()
            files.append({path.relative_to(out): _facts(path) for path in out.rglob("*")})
        assert files[0] == files[1]


def test_pruning_does_not_disturb_a_build(lamina: Command, tmp_path: Path) -> None:
    context = context_of(tmp_path / "context", "own\n")
    building = lamina.start("build", "--progress", "rawjson", "-t", "x", context)
    pruned = [lamina.run("cache", "prune", "--max-size", "1kb") for _ in range(3)]
    assert {done.code for done in pruned} <= {0, 7}
    assert all("[store-busy]" in done.err for done in pruned if done.code)
    assert finish(building).image
    assert lamina.run("run", "x").ok().out == "own\nshared\ntool\n"
    lamina.verify()


def _facts(path: Path) -> tuple[int, int, int, bytes]:
    status = path.lstat()
    content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
    return status.st_mode, status.st_uid, status.st_gid, content
