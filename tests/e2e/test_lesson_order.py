"""The lesson, for real: what a change of the source rebuilds in the bad and in the good order of instructions."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.command import Command, Completed, write

BAD = """FROM busybox
WORKDIR /app
COPY . .
RUN sleep 0.2 && echo tool > /tool
RUN sleep 0.3 && cp Pipfile.lock /deps
EXPOSE 8000
CMD ["cat", "/app/shop/views.py"]
"""
GOOD = """FROM busybox
WORKDIR /app
RUN sleep 0.2 && echo tool > /tool
COPY Pipfile Pipfile.lock ./
RUN sleep 0.3 && cp Pipfile.lock /deps
COPY . .
EXPOSE 8000
CMD ["cat", "/app/shop/views.py"]
"""
FILES = {
    "Pipfile": "django\n",
    "Pipfile.lock": "django 5\n",
    "manage.py": "print()\n",
    "shop/views.py": "one = 1\n",
    "notes.log": "ignored\n",
    ".dockerignore": "*.log\nDockerfile*\n.dockerignore\n",
}
INSTALL = "RUN sleep 0.3 && cp Pipfile.lock /deps"
TOOL = "RUN sleep 0.2 && echo tool > /tool"

Build = Callable[..., Completed]


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return write(tmp_path / "shop", {"Dockerfile": GOOD, "Dockerfile.bad": BAD, **FILES})


@pytest.fixture
def good(lamina: Command, context: Path) -> Build:
    """Builds the good order; it was built once before."""
    first = lamina.build(context)
    assert set(first.verdicts().values()) == {"new"}
    assert len(first.verdicts()) == 5
    return lambda *flags: lamina.build(context, *flags)


def test_a_second_build_takes_everything_from_the_cache_and_gives_the_same_image(
    lamina: Command, context: Path
) -> None:
    for file in ("Dockerfile", "Dockerfile.bad"):
        first = lamina.build(context, "-f", context / file)
        second = lamina.build(context, "-f", context / file)
        assert second.verdicts() == {}
        assert second.image == first.image


def test_good_order_a_changed_source_line_rebuilds_the_last_copy_alone(good: Build, context: Path) -> None:
    (context / "shop/views.py").write_text("one = 2\n")
    done = good()
    assert done.verdicts() == {"COPY . .": "CHANGED"}
    assert done.row("COPY . .").files == {"shop/views.py": "content"}
    assert done.row(INSTALL).verdict == "cached"


def test_bad_order_a_changed_source_line_rebuilds_the_installation(lamina: Command, context: Path) -> None:
    lamina.build(context, "-f", context / "Dockerfile.bad").ok()
    (context / "shop/views.py").write_text("one = 2\n")
    done = lamina.build(context, "-f", context / "Dockerfile.bad")
    assert done.verdicts() == {"COPY . .": "CHANGED", TOOL: "rebuilds", INSTALL: "rebuilds"}
    assert done.row("COPY . .").files == {"shop/views.py": "content"}
    assert done.row("WORKDIR").verdict == "cached"
    assert done.row(TOOL).because == done.row(INSTALL).because == ("COPY . .", 3)
    assert done.row(INSTALL).seconds >= 0.3


def test_the_table_of_a_person_says_the_same(lamina: Command, context: Path) -> None:
    lamina.run("build", "-f", context / "Dockerfile.bad", context).ok()
    (context / "shop/views.py").write_text("one = 2\n")
    said = lamina.run("build", "-f", context / "Dockerfile.bad", "-t", "shop", context).ok().err
    table = [line.split() for line in said.splitlines()]
    assert ["FROM", "busybox", "cached"] in table
    assert ["WORKDIR", "/app", "cached"] in table
    (copied,) = (words for words in table if words[:3] == ["COPY", ".", "."])
    assert (copied[3], " ".join(copied[5:])) == ("CHANGED", "shop/views.py is different: line 1")
    rebuilt = [line for line in said.splitlines() if "rebuilds" in line]
    assert [line.split("  ")[0] for line in rebuilt] == [TOOL, INSTALL]
    assert all("because of line 3: COPY . ." in line for line in rebuilt)
    assert ["EXPOSE", "8000", "metadata"] in table
    assert "cached 1 of 4 steps" in said
    assert lamina.run("run", "shop").ok().out == "one = 2\n"


def test_a_touch_rebuilds_nothing(good: Build, context: Path) -> None:
    for path in context.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    assert good().verdicts() == {}


def test_a_changed_mode_of_a_copied_file_rebuilds_and_says_so(good: Build, context: Path) -> None:
    (context / "manage.py").chmod(0o755)
    done = good()
    assert done.verdicts() == {"COPY . .": "CHANGED"}
    assert done.row("COPY . .").files == {"manage.py": "mode"}
    (change,) = (done.row("COPY . .").cause or {})["files"]
    assert (change["before"], change["after"]) == ("0644", "0755")


@pytest.mark.parametrize(
    ("edit", "files"),
    [
        (lambda context: (context / "new.py").write_text("x"), {"new.py": "added"}),
        (lambda context: (context / "manage.py").unlink(), {"manage.py": "removed"}),
        (
            lambda context: (context / "manage.py").rename(context / "moved.py"),
            {"manage.py": "removed", "moved.py": "added"},
        ),
        (lambda context: (context / "empty").mkdir(), {"empty": "added"}),
        (lambda context: (context / "link").symlink_to("manage.py"), {"link": "added"}),
    ],
)
def test_what_else_changes_a_copy(
    good: Build, context: Path, edit: Callable[[Path], object], files: dict[str, str]
) -> None:
    edit(context)
    done = good()
    assert done.verdicts() == {"COPY . .": "CHANGED"}
    assert done.row("COPY . .").files == files


def test_a_changed_lock_file_rebuilds_from_its_copy_on(good: Build, context: Path) -> None:
    (context / "Pipfile.lock").write_text("django 6\n")
    done = good()
    assert done.verdicts() == {"COPY Pipfile Pipfile.lock ./": "CHANGED", INSTALL: "rebuilds", "COPY . .": "CHANGED"}
    assert done.row("COPY Pipfile").files == {"Pipfile.lock": "content"}
    assert done.row(INSTALL).because == ("COPY Pipfile Pipfile.lock ./", 4)


def test_an_edit_taken_back_hits_the_old_records(good: Build, context: Path) -> None:
    before = good().image
    (context / "shop/views.py").write_text("one = 2\n")
    assert good().image != before
    (context / "shop/views.py").write_text("one = 1\n")
    done = good()
    assert done.verdicts() == {}
    assert done.image == before


def test_an_ignored_file_may_change_come_and_go(good: Build, context: Path) -> None:
    (context / "notes.log").write_text("something else\n")
    (context / "more.log").write_text("new\n")
    assert good().verdicts() == {}
    (context / "notes.log").unlink()
    assert good().verdicts() == {}
