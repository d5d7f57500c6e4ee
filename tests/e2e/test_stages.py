"""Several stages in one Dockerfile, and images that a Dockerfile refers to."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.command import Command, project, write


def test_copy_from_a_stage_by_name_by_index_and_from_an_image(lamina: Command, tmp_path: Path) -> None:
    other = project(tmp_path / "other", "FROM busybox\nRUN echo other > /other\n")
    lamina.build(other, "-t", "registry.test/other:1").ok()
    text = """FROM busybox AS one
RUN echo one > /one
FROM busybox
RUN echo two > /two
FROM busybox
COPY --from=one /one /all/
COPY --from=1 two /all/
COPY --from=registry.test/other:1 /other /all/
CMD cat /all/*
"""
    folder = project(tmp_path / "project", text)
    first = lamina.build(folder, "-t", "all")
    assert lamina.run("run", "all").ok().out == "one\nother\ntwo\n"
    again = lamina.build(folder)
    assert (again.verdicts(), again.image) == ({}, first.image)


def test_a_stage_that_changed_in_what_is_not_copied_rebuilds_no_copy(lamina: Command, tmp_path: Path) -> None:
    text = "FROM busybox AS made\nRUN echo a > /kept; echo 1 > /left\nFROM busybox\nCOPY --from=made /kept /\n"
    folder = project(tmp_path / "project", text)
    lamina.build(folder).ok()
    done = lamina.build(write(folder, {"Dockerfile": text.replace("echo 1", "echo 2")}))
    assert done.verdicts() == {"RUN echo a > /kept; echo 2 > /left": "CHANGED"}
    done = lamina.build(write(folder, {"Dockerfile": text.replace("echo a", "echo b")}))
    assert done.row("COPY").verdict == "CHANGED"
    assert done.row("COPY").files == {"kept": "content"}


def test_target_and_stages_that_are_not_needed(lamina: Command, tmp_path: Path) -> None:
    text = """FROM busybox AS base
RUN echo base > /text
FROM base AS broken
RUN false
FROM nowhere.invalid/not/there AS unreachable
COPY missing /
FROM base AS last
CMD ["cat", "/text"]
"""
    folder = project(tmp_path / "project", text)
    done = lamina.build(folder, "-t", "last")
    assert {row.stage for row in done.rows} == {"base", "last"}
    assert lamina.run("run", "last").out == "base\n"
    assert {row.stage for row in lamina.build(folder, "--target", "BASE").rows} == {"base"}
    assert lamina.build(folder, "--target", "broken").code == 5


def test_stages_that_need_nothing_of_each_other_are_built_side_by_side(lamina: Command, tmp_path: Path) -> None:
    # Each waits for all.
    script = "touch /met/{0}; until test -e /met/0 -a -e /met/1 -a -e /met/2 -a -e /met/3; do sleep 0.02; done"
    step = f"RUN --mount=type=cache,target=/met {script}; echo {{0}} > /f{{0}}\n"
    stages = "".join(f"FROM busybox AS s{number}\n{step.format(number)}" for number in range(4))
    copies = "".join(f"COPY --from=s{number} /f{number} /\n" for number in range(4))
    lamina.build(project(tmp_path / "project", f"{stages}FROM busybox\n{copies}CMD cat /f*"), "-t", "x").ok()
    assert lamina.run("run", "x").out == "0\n1\n2\n3\n"


def test_equal_stages_are_run_once(lamina: Command, tmp_path: Path) -> None:
    text = """FROM busybox AS a
RUN cat /proc/sys/kernel/random/uuid > /id
FROM busybox AS b
RUN cat /proc/sys/kernel/random/uuid > /id
FROM busybox
COPY --from=a /id /a
COPY --from=b /id /b
RUN cmp /a /b
"""
    done = lamina.build(project(tmp_path / "project", text))
    assert sorted(row.verdict for row in done.rows if "uuid" in row.text) == ["cached", "new"]


def test_a_failing_stage_stops_the_others(lamina: Command, tmp_path: Path) -> None:
    a, b = "touch /met/a; sleep 1000", "until test -e /met/a; do sleep 0.02; done; false"
    mount = "RUN --mount=type=cache,target=/met"
    text = f"FROM busybox AS a\n{mount} {a}\nFROM busybox AS b\n{mount} {b}\nFROM busybox\n"
    folder = project(tmp_path / "project", text + "COPY --from=a /a /\nCOPY --from=b /b /\n")
    done = lamina.build(folder)
    assert done.code == 5
    assert f"{b}' did not succeed" in done.err
    outcomes = {event["outcome"] for event in done.events if event["event"] == "ended"}
    assert {"failed", "canceled"} <= outcomes


def test_onbuild_fires_in_the_child_and_not_in_the_grandchild(lamina: Command, tmp_path: Path) -> None:
    parent = project(tmp_path / "parent", "FROM busybox\nONBUILD COPY data /data\nONBUILD RUN echo fired >> /data\n")
    lamina.build(parent, "-t", "parent").ok()
    child = project(tmp_path / "child", "FROM parent AS a\nFROM a\nRUN echo last >> /data\n", {"data": "data\n"})
    done = lamina.build(child, "-t", "child")
    assert [row.text for row in done.rows if "fired" in row.text] == ["RUN echo fired >> /data"]
    assert lamina.run("run", "child", "cat", "/data").out == "data\nfired\nlast\n"
    assert lamina.build(child).verdicts() == {}


def test_scratch_with_a_static_program(lamina: Command, tmp_path: Path) -> None:
    folder = project(
        tmp_path / "project", 'FROM scratch\nCOPY busybox /\nENTRYPOINT ["/busybox", "echo"]\nCMD ["alone"]\n'
    )
    shutil.copy("/bin/busybox", folder)
    lamina.build(folder, "-t", "alone").ok()
    assert lamina.run("run", "alone").ok().out == "alone\n"
    listed = lamina.run("build", "-q", "-o", "type=tar,dest=-", folder).ok()
    assert b"busybox" in listed.raw


def test_metadata_alone_makes_an_image_without_new_layers(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "project", 'FROM busybox\nENV A=1\nCMD ["env"]\n')
    done = lamina.build(folder, "-t", "x")
    assert done.verdicts() == {}
    assert "A=1" in lamina.run("run", "x").out.split()
