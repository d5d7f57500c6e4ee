"""`lamina explain` and `plan` of observed builds, on the real command: what steps looked at, and what broke."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.command import Command, project, write

TEXT = """FROM busybox
WORKDIR /app
COPY . .
RUN cat Pipfile Pipfile.lock > /deps; if [ -e setup.py ]; then echo setup; fi
RUN for file in shop/*.py; do cat $file; done > /all
RUN readlink current > /where
"""
FILES = {
    ".dockerignore": "Docker*\n.dockerignore\n",
    "Pipfile": "a\n",
    "Pipfile.lock": "b\n",
    "shop/a.py": "1\n",
    "shop/b.py": "2\n",
    **{f"static/{number}.css": "x\n" for number in range(20)},
}


@pytest.fixture
def shop(lamina: Command, tmp_path: Path) -> Path:
    """Built once, observed."""
    folder = project(tmp_path / "shop", TEXT, FILES)
    (folder / "current").symlink_to("shop")
    lamina.build(folder, "--observe", "-t", "shop").ok()
    return folder


def said(lamina: Command, *words: str) -> list[str]:
    return lamina.run("explain", *words).ok().out.splitlines()


def test_what_a_step_looked_at(lamina: Command, shop: Path) -> None:
    assert said(lamina, "4", "--observed")[2:] == [
        "Line 4: RUN cat Pipfile Pipfile.lock > /deps; if [ -e setup.py ]; t…",
        "  of line 3, COPY . . (24 files in /app):",
        "    read Pipfile",
        "    read Pipfile.lock",
        "    looked for setup.py: not there",
        "    all that it needs of it: COPY Pipfile Pipfile.lock ./",
    ]
    every = said(lamina, "--observed")
    assert "    listed shop" in every and "    all that it needs of it: COPY shop ./shop/" in every
    assert "    followed the link current" in every
    assert any("went through ." in line for line in said(lamina, "4", "--observed", "--all"))
    (step,) = json.loads(lamina.run("explain", "4", "--observed", "--json").ok().out)["steps"]
    (layer,) = step["layers"]
    assert (step["line"], layer["copy"]["line"], layer["destination"], layer["files"]) == (4, 3, "/app", 24)
    assert {"path": "/app/setup.py", "kind": "entry", "there": False} in layer["looks"]
    assert {"path": "/app/Pipfile", "kind": "read", "there": True} in layer["looks"]
    assert layer["needed"] == ["COPY Pipfile Pipfile.lock ./"]


def test_a_change_that_nobody_looked_at(lamina: Command, shop: Path) -> None:
    write(shop, {"static/3.css": "y\n"})
    plan = json.loads(lamina.run("plan", "--observe", "--json", shop).out)
    assert [(step["how"], step["read"]) for step in plan["steps"][3:]] == [
        ("observation", [2, 24]),
        ("observation", [2, 24]),
        ("observation", [0, 24]),
    ]
    assert lamina.build(shop, "--observe", "-t", "shop").ok().verdicts() == {"COPY . .": "CHANGED"}
    told = said(lamina)
    assert told[3] == "  ran because static/3.css is different: line 1."
    assert told[5].startswith("3 steps below stayed cached, since nothing that they looked at has changed: ")
    assert told[6].startswith("    line 4  RUN cat Pipfile") and told[6].endswith("  read 2 of 24 files")
    assert said(lamina, "4")[3] == (
        "  was cached: it read 2 of 24 copied files, and nothing that it looked at has changed."
    )
    assert "    read Pipfile.lock" in said(lamina, "4", "--observed")
    (cause,) = json.loads(lamina.run("explain", "--json").ok().out)["causes"]
    assert len(cause["spared"]) == 3 and cause["dragged"] == []


@pytest.mark.parametrize(
    ("changed", "line", "look", "told"),
    [
        ({"Pipfile": "django\n"}, 4, "/app/Pipfile", "Pipfile, which is different: line 1"),
        ({"setup.py": ""}, 4, "/app/setup.py", "looked for setup.py, which is new"),
        ({"shop/new.py": ""}, 5, "/app/shop", "listed shop, where new.py is new"),
    ],
)
def test_a_change_that_was_looked_at(
    lamina: Command, shop: Path, changed: dict[str, str], line: int, look: str, told: str
) -> None:
    write(shop, changed)
    plan = json.loads(lamina.run("plan", "--observe", "--json", shop).out)
    (foreseen,) = (step for step in plan["steps"] if step["span"]["line"] == line)
    assert (foreseen["verdict"], f"/{foreseen['look']['path']}") == ("rebuilds", look)
    lamina.build(shop, "--observe", "-t", "shop").ok()
    assert [row for row in said(lamina) if row.startswith(f"    line {line} ") and told in row]
    alone = said(lamina, str(line))
    assert alone[3].startswith("  ran because it ") and told in alone[3]
    assert alone[4].startswith("  The step above it is line 3, COPY . .")
    (cause,) = json.loads(lamina.run("explain", "--json").ok().out)["causes"]
    (dragged,) = (one for one in cause["dragged"] if one["line"] == line)
    assert f"/{dragged['saw']['path']}" == look and dragged["saw"]["change"]["path"] == next(iter(changed))


def test_the_advice_of_the_first_observed_build_is_what_the_step_needed(lamina: Command, tmp_path: Path) -> None:
    text = "FROM busybox\nWORKDIR /app\nCOPY . .\nRUN sleep 0.1; cat Pipfile Pipfile.lock > /deps\n"
    folder = project(tmp_path / "first", text, FILES)
    lamina.build(folder).ok()
    write(folder, {"shop/a.py": "3\n"})
    lamina.build(folder, "--observe").ok()
    assert said(lamina)[-1] == (
        "To avoid it: Put `COPY Pipfile Pipfile.lock ./` before line 4 (RUN sleep 0.1; cat Pipfile Pipfile.lock > "
        "/deps), and the rest in a COPY below it: it looked at 2 of the 24 files that line 3 copies."
    )
    # What is advised is what it takes: from then on any other file may change, observed or not.
    better = text.replace("COPY . .\n", "COPY Pipfile Pipfile.lock ./\n") + "COPY . .\n"
    write(folder, {"Dockerfile": better})
    lamina.build(folder).ok()
    write(folder, {"shop/a.py": "4\n"})
    assert lamina.build(folder).ok().verdicts() == {"COPY . .": "CHANGED"}


def test_looks_into_several_copies_and_into_those_of_another_stage(lamina: Command, tmp_path: Path) -> None:
    text = (
        "FROM busybox AS base\nWORKDIR /app\nCOPY Pipfile ./\nRUN cat Pipfile > /one\n"
        "FROM base\nCOPY shop/ shop/\nRUN cat Pipfile shop/a.py > /two; test -e shop/none || true\n"
    )
    lamina.build(project(tmp_path / "stages", text, FILES), "--observe").ok()
    assert said(lamina, "7", "--observed")[3:] == [
        "  of line 3, COPY Pipfile ./ (1 file in /app):",
        "    read Pipfile",
        "  of line 6, COPY shop/ shop/ (2 files in /app/shop):",
        "    read a.py",
        "    looked for none: not there",
        "    all that it needs of it: COPY shop/a.py shop/",
    ]


def test_names_that_are_not_utf_8(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "odd", "FROM busybox\nCOPY . /app/\nRUN cat /app/data/* > /x\n", FILES)
    (folder / "data").mkdir()
    name = b"b\xff".decode(errors="surrogateescape")
    (folder / "data" / name).write_text("1")
    lamina.build(folder, "--observe").ok()
    (folder / "data" / name).write_text("2")
    lamina.build(folder, "--observe").ok()
    assert any("data/b\ufffd, which is different" in line for line in said(lamina))
    assert "    read data/b\ufffd" in said(lamina, "3", "--observed")
    (step,) = json.loads(lamina.run("explain", "--observed", "--json").ok().out)["steps"]
    assert any(look["path"] == "/app/data/b\udcff" for look in step["layers"][0]["looks"])


@pytest.mark.parametrize(
    ("words", "code", "reference"),
    [
        (("3", "--observed"), 7, "store-not-observed"),
        (("--list", "--observed"), 2, "usage-bad-arguments"),
        (("--observed", "--against", "x"), 2, "usage-bad-arguments"),
    ],
)
def test_what_cannot_be_told(lamina: Command, shop: Path, words: tuple[str, ...], code: int, reference: str) -> None:
    done = lamina.run("explain", *words)
    assert (done.code, f"[{reference}]" in done.err) == (code, True), done.err


def test_looks_that_were_never_noted_or_are_gone(lamina: Command, shop: Path) -> None:
    for kept in (lamina.root / "looks").iterdir():
        kept.unlink()
    gone = lamina.run("explain", "4", "--observed")
    assert gone.code == 7 and "no longer in this store" in gone.err
    assert said(lamina, "4")  # all else is told still
    lamina.build(shop, "--no-cache").ok()
    never = lamina.run("explain", "--observed")
    assert never.code == 7 and "no step of build" in never.err and "--observe" in never.err
