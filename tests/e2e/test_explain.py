"""`lamina explain`: the lesson told again after the build, on the real command."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.support.command import Command, project, write

TEXT = """FROM busybox
ARG COMMIT=1
WORKDIR /app
COPY . .
RUN sleep 0.2 && cp requirements.txt /installed
RUN wc -l app.py > lines
CMD ["sh"]
"""
FILES = {
    "requirements.txt": "django\n",
    "app.py": "".join(f"{n}\n" for n in range(1, 60)),
    ".dockerignore": "Docker*\n",
}


@pytest.fixture
def shop(lamina: Command, tmp_path: Path) -> Path:
    """Built once."""
    folder = project(tmp_path / "shop", TEXT, FILES)
    lamina.build(folder, "-t", "shop").ok()
    return folder


def ids(lamina: Command) -> list[str]:
    return [build["id"] for build in json.loads(lamina.run("explain", "--list", "--json").ok().out)["builds"]]


def test_the_bad_order_is_told_again(lamina: Command, shop: Path) -> None:
    changed = FILES["app.py"].replace("12\n", "twelve\n").replace("40\n41\n", "x\ny\n")
    write(shop, {"app.py": changed})
    lamina.build(shop, "-t", "shop").ok()
    said = lamina.run("explain").ok().out.splitlines()
    assert said[0].startswith("The last build in the store, ") and "of shop (shop:latest)" in said[0]
    assert said[2:4] == ["Line 4: COPY . .", "  ran because app.py is different: lines 12 and 40 to 41."]
    assert said[4] == "It dragged along 2 steps, in which nothing else had changed:"
    assert [line.split()[:2] for line in said[5:7]] == [["line", "5"], ["line", "6"]]
    assert said[7].startswith("Together that took ") and "the last time it was" in said[7]
    assert said[8].startswith("To avoid it: Copy requirements.txt alone before line 5 (RUN sleep")
    found = json.loads(lamina.run("explain", "--json").ok().out)
    (cause,) = found["causes"]
    assert (cause["name"], cause["line"], [one["line"] for one in cause["dragged"]]) == ("file-content", 4, [5, 6])
    assert cause["seconds"] >= 0.2 and cause["inputs"][0]["files"][0]["lines"] == [[12, 12], [40, 41]]


def test_one_step(lamina: Command, shop: Path) -> None:
    assert "was never built before here" in lamina.run("explain", "shop", "copy . .").ok().out
    (first,) = ids(lamina)
    lamina.build(shop, "-t", "shop").ok()
    said = lamina.run("explain", "shop", "5").ok().out
    assert "was cached: the same instruction with the same inputs, on the same steps" in said
    assert "That saved " in said
    whole = lamina.run("explain", "5", "--all").ok().out
    assert "env COMMIT" in whole and "sleep 0.2 && cp requirements.txt /installed" in whole
    assert lamina.run("explain", first[:8] + first[8:], "wc").ok().out.count("Line 6: RUN wc -l app.py > lines") == 1


def test_all_cached_is_one_line(lamina: Command, shop: Path) -> None:
    lamina.build(shop).ok()
    said = lamina.run("explain").ok().out.splitlines()
    assert len(said) == 3 and said[2].startswith("All 4 steps came from the cache, which saved ")


def test_the_project_in_the_working_directory_goes_first(lamina: Command, shop: Path, tmp_path: Path) -> None:
    lamina.build(project(tmp_path / "other", "FROM busybox\nRUN echo other\n")).ok()
    assert "RUN echo other" in lamina.run("explain").ok().out
    here = os.getcwd()
    os.chdir(shop)
    try:
        said = lamina.run("explain").ok().out
    finally:
        os.chdir(here)
    assert said.startswith("The last build of this directory, ") and "COPY . ." in said


def test_a_failed_build(lamina: Command, shop: Path) -> None:
    write(shop, {"Dockerfile": TEXT.replace("wc -l app.py > lines", "echo no; exit 3")})
    assert lamina.build(shop).code == 5
    said = lamina.run("explain").ok().out
    assert "failed after" in said
    assert "Line 6: RUN echo no; exit 3\n  failed; it ran because the command is different." in said
    assert "    was  wc -l app.py > lines\n    now  echo no; exit 3\n" in said
    assert "Its output is in " in said
    write(shop, {"Dockerfile": "FROM busybox\nNONSENSE\n"})
    assert lamina.build(shop).code == 3


def test_modes_alone_are_called_so_with_their_cure(lamina: Command, shop: Path) -> None:
    for name in ("app.py", "requirements.txt"):
        (shop / name).chmod(0o664)
    lamina.build(shop).ok()
    said = lamina.run("explain").ok().out
    assert "  ran because only file modes differ, of 2 files.\n    app.py: mode 0644 → 0664\n" in said
    assert 'To avoid it: `modes = "git"` in lamina.toml, or `--modes git`' in said


def test_against_another_build(lamina: Command, shop: Path) -> None:
    (first,) = ids(lamina)
    write(shop, {"Dockerfile": TEXT.replace("ARG COMMIT=1", "ARG COMMIT=2").replace("RUN wc", "RUN true\nRUN wc")})
    lamina.build(shop).ok()
    said = lamina.run("explain", "--against", first).ok().out
    assert "The first difference is line 5: RUN sleep 0.2 && cp requirements.txt /installed\n  COMMIT: 1 → 2." in said
    assert "line 6: RUN true: which the other build does not have." in said
    found = json.loads(lamina.run("explain", "--against", first, "--json").ok().out)
    assert [(one["sort"], one["after"]["line"]) for one in found["differences"]] == [
        ("changed", 5),
        ("inserted", 6),
        ("changed", 7),
    ]
    assert found["before"] == first and found["same_key"] is False


def test_a_step_that_is_not_repeatable_is_named(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /id\n")
    lamina.build(folder).ok()
    lamina.build(folder, "--no-cache").ok()
    last, first = ids(lamina)
    said = lamina.run("explain", last, "--against", first).ok().out
    assert "Nothing that goes into the step differs" in said
    assert "But line 2 (RUN cat /proc/sys/kernel/random/uuid > /id) made other files of the same inputs" in said


@pytest.mark.parametrize(
    ("words", "code", "reference"),
    [
        (("nothing-like-this",), 7, "store-build-missing"),
        (("ffffffff",), 7, "store-build-missing"),
        (("shop", "99"), 2, "usage-step-missing"),
        (("run",), 2, "usage-step-ambiguous"),
        (("a", "b", "c"), 2, "usage-bad-arguments"),
        (("--against", "nothing-like-this"), 7, "store-build-missing"),
        (("busybox",), 7, "store-build-missing"),
    ],
)
def test_what_is_not_there(lamina: Command, shop: Path, words: tuple[str, ...], code: int, reference: str) -> None:
    done = lamina.run("explain", *words)
    assert (done.code, f"[{reference}]" in done.err) == (code, True), done.err


def test_an_ambiguous_beginning_and_an_empty_store(lamina: Command, shop: Path, tmp_path: Path) -> None:
    lamina.build(shop).ok()
    done = lamina.run("explain", ids(lamina)[0][:6])
    assert done.code == 7 and "2 builds have an id that begins with" in done.err
    empty = Command(tmp_path / "empty").run("explain")
    assert empty.code == 7 and "no build to explain" in empty.err
    assert "no builds yet" in Command(tmp_path / "empty").run("explain", "--list").ok().out


@pytest.mark.parametrize(
    ("before", "after", "said", "cure"),
    [
        (
            {"run.sh": "a\nb\n"},
            {"run.sh": "a\r\nb\r\n"},
            "only line ends differ: run.sh",
            "`* text=auto eol=lf` in .gitattributes",
        ),
        (
            {".git/HEAD": "1\n", ".git/index": "1\n"},
            {".git/HEAD": "2\n", ".git/index": "2\n"},
            "only files of .git differ, 2 of them.",
            "An ignore line: `.git`.",
        ),
    ],
)
def test_a_difference_of_the_checkout_alone(
    lamina: Command, shop: Path, before: dict[str, str], after: dict[str, str], said: str, cure: str
) -> None:
    write(shop, before)
    lamina.build(shop).ok()
    for name, text in after.items():
        (shop / name).write_bytes(text.encode())
    lamina.build(shop).ok()
    lines = lamina.run("explain").ok().out.splitlines()
    assert lines[3].startswith(f"  ran because {said}")
    assert lines[-1].startswith("To avoid it: ") and cure in lines[-1]


def test_a_variable_is_told_once_with_the_place_where_it_belongs(lamina: Command, shop: Path) -> None:
    lamina.build(shop, "--build-arg", "COMMIT=9").ok()
    lines = lamina.run("explain").ok().out.splitlines()
    assert lines[2:5] == [
        "Line 5: RUN sleep 0.2 && cp requirements.txt /installed",
        "  ran because COMMIT: 1 → 9.",
        "  It came out as before, but for times, and keeps its earlier layer.",
    ]
    assert lines[-1].startswith("To avoid it: Put line 2 (ARG COMMIT=1) below line 5 (RUN sleep 0.2")
