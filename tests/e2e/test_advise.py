"""`lamina advise` on real repositories: what it says of a history is what real builds do, and what it proves is so."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.support.command import Command, Completed
from tests.support.fast_history import add_commits
from tests.support.git_server import commit, git

import lamina as lmn

SHOP = Path(__file__).parents[2] / "examples" / "shop"

#: An image with installers that take a moment and whose result tells what they have read.
TOOLS = """FROM busybox
COPY --chmod=755 <<EOF /bin/pip
#!/bin/sh
sleep 0.3
mkdir -p /site && echo "pip \\$*" > /site/pip-\\$2
EOF
COPY --chmod=755 <<EOF /bin/pipenv
#!/bin/sh
sleep 0.5
mkdir -p /site && cat Pipfile Pipfile.lock > /site/pipenv
EOF
COPY --chmod=755 <<EOF /bin/npm
#!/bin/sh
mkdir -p node_modules && cat package.json > node_modules/all && ls >> node_modules/all
EOF
"""


@pytest.fixture
def tools(lamina: Command, tmp_path: Path) -> Command:
    """The command with an image `tools` in its store."""
    folder = tmp_path / "tools"
    folder.mkdir()
    (folder / "Dockerfile").write_text(TOOLS)
    lamina.build(folder, "-t", "tools").ok()
    return lamina


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The lesson's project in the bad order, with 200 commits: nearly all change code, ten the lock file."""
    tree = tmp_path / "shop"
    shutil.copytree(SHOP, tree)
    shutil.copy(tree / "Dockerfile.bad", tree / "Dockerfile")
    git(tree, "init", "-q")
    commit(tree, {".dockerignore": ".git\n"})
    lock = (SHOP / "Pipfile.lock").read_text()
    code = [{"catalogue/views.py": f"# {number}\n"} for number in range(200)]
    add_commits(tree, [{"Pipfile.lock": lock + "\n" * at} if at % 20 == 9 else one for at, one in enumerate(code)])
    return tree


def told(done: Completed) -> Any:
    """The document of `--json`."""
    return json.loads(done.out)


def test_the_lessons_bad_order_becomes_its_good_one_and_is_proved(tools: Command, shop: Path) -> None:
    words = ("advise", shop, "--build-arg", "BASE=tools", "--cost", "pip install pipenv=30s", "--cost", "15=1m")
    found = told(tools.run(*words, "--json"))
    costs = {"pip install pipenv": 30.0, "15": 60.0}
    called = lmn.advice(shop, build_args={"BASE": "tools"}, costs=costs, root=tools.root)
    assert (called.patch(), round(called.saved, 3)) == (found["patch"], round(found["saved"], 3))
    good = [line for line in (SHOP / "Dockerfile.good").read_text().splitlines() if line and line[0] != "#"]
    assert [line for line in found["dockerfile"].splitlines() if line and line[0] != "#"] == good
    assert [one["path"] for one in found["paths"]][:2] == ["catalogue/views.py", "Pipfile.lock"]
    steps = {step["text"]: step for step in found["before"]["steps"]}
    assert len(found["commits"]) == 200 and steps["RUN pip install pipenv"]["rebuilt"] == 200
    assert (steps["RUN pip install pipenv"]["basis"], steps["COPY . ."]["basis"]) == ("given", "guess")
    # 190 installs of both tools are saved, and the ten for the lock file need no pip: nearly five hours.
    assert found["saved"] == pytest.approx(190 * 90 + 10 * 30, abs=5)

    done = tools.run(*words, "--prove", "--apply", "--commits-to-build", "2")
    assert done.code == 0, done.err
    assert "A better order: 10m 42s instead of 5h 00m over the same commits (96 % less)." in done.out
    assert "Proved: the images of 3 commits are the same" in done.out and "Dockerfile is written" in done.out
    assert (shop / "Dockerfile").read_text() == found["dockerfile"]
    assert not git(shop, "worktree", "list").count("\n")
    again = tools.run(*words[:4], "--json")
    assert again.code == 0
    patched = told(again)
    assert patched["patch"] == "" and patched["moves"] == []
    assert patched["before"]["seconds"] <= found["after"]["seconds"]
    # The steps were built meanwhile, so that nothing is a guess.
    assert {step["basis"] for step in patched["before"]["steps"] if step["rebuilt"]} == {"recorded"}


def test_an_image_that_differs_is_no_proof(tools: Command, tmp_path: Path) -> None:
    """What is known of npm is not true of this one: it puts down what lies around."""
    tree = tmp_path / "app"
    tree.mkdir()
    git(tree, "init", "-q")
    text = "FROM tools\nWORKDIR /app\nCOPY . .\nRUN npm ci\n"
    commit(tree, {"Dockerfile": text, ".dockerignore": ".git\n", "package.json": "{}", "package-lock.json": "{}"})
    for number in range(3):
        commit(tree, {"code.js": str(number)})
    done = tools.run("advise", tree, "--prove", "--apply", "--commits-to-build", "1")
    assert done.code == 1
    assert "differs in /app/node_modules/all" in done.out and "not proved" in done.out
    assert (tree / "Dockerfile").read_text() == text
    assert tools.run("advise", tree, "--apply", "--unproved").code == 0
    assert "COPY package.json package-lock.json ./" in (tree / "Dockerfile").read_text()


def test_noise_is_told_from_differences(tools: Command, tmp_path: Path) -> None:
    """A step that is not repeatable differs between two builds of one Dockerfile as well."""
    tree = tmp_path / "app"
    tree.mkdir()
    git(tree, "init", "-q")
    text = "FROM tools\nWORKDIR /app\nCOPY . .\nRUN pip install x\nRUN cat /proc/sys/kernel/random/uuid > /id\n"
    commit(tree, {"Dockerfile": text, ".dockerignore": ".git\n", "a": "0"})
    commit(tree, {"a": "1"})
    found = told(tools.run("advise", tree, "--prove", "--json"))
    assert found["proof"]["verdict"] == "proved"
    assert {(one["path"], one["noise"]) for built in found["proof"]["commits"] for one in built["differing"]} == {
        ("/id", "it differs between two builds of the same Dockerfile")
    }


REPOSITORIES: dict[str, tuple[str, list[dict[str, str]]]] = {
    "python": (
        (
            "FROM busybox\nWORKDIR /app\nCOPY requirements.txt .\nRUN cat requirements.txt > /r; once > /n\n"
            "COPY app app\nRUN ls -lR app > /l; once > /m\nCOPY . .\n"
        ),
        [
            {"requirements.txt": "a", "app/a.py": "1", "README.md": "1"},
            {"README.md": "2"},
            {"app/a.py": "2"},
            {"app/new/b.py": "1"},
            {"requirements.txt": "b", "app/a.py": "1"},
            {"app/a.py": "2", "requirements.txt": "a"},
        ],
    ),
    "stages": (
        (
            "FROM busybox AS build\nWORKDIR /src\nCOPY go.* ./\nRUN cat go.* > /deps; once > /n\nCOPY cmd cmd\n"
            "RUN cat cmd/* > /program; once >> /program\nFROM busybox\nCOPY --from=build /program /program\n"
            "RUN cp /program /copied; once > /m\nCOPY --chmod=755 etc /etc/app\n"
        ),
        [
            {"go.mod": "1", "cmd/main": "1", "etc/conf": "1", "test/x": "1"},
            {"test/x": "2"},
            {"etc/conf": "2"},
            {"cmd/main": "2"},
            {"go.sum": "1"},
            {"cmd/other": "1", "etc/conf": "1"},
        ],
    ),
    "ignored": (
        (
            "FROM busybox\nCOPY . /all\nRUN --mount=type=bind,source=conf,target=/c cat /c/* > /x; once > /n\n"
            "COPY conf/*.txt /t/\n"
        ),
        [
            {".dockerignore": ".git\n**/*.md\n!keep.md\ndocs\n", "conf/a.txt": "1", "conf/b.md": "1", "keep.md": "1"},
            {"docs/x": "1"},
            {"conf/b.md": "2"},
            {"conf/c.md": "1", "new/only.md": "1"},
            {"keep.md": "2"},
            {"conf/a.txt": "2"},
        ],
    ),
}


@pytest.mark.parametrize("name", list(REPOSITORIES))
def test_it_says_of_every_commit_what_a_build_does(lamina: Command, tmp_path: Path, name: str) -> None:
    text, changes = REPOSITORIES[name]
    # Steps whose result is never the same, so that what stands on them runs again (no early cutoff).
    text = text.replace("once", "cat /proc/sys/kernel/random/uuid")
    tree = tmp_path / "app"
    tree.mkdir()
    git(tree, "init", "-q")
    built = []
    for number, files in enumerate(changes):
        ignored = {".dockerignore": ".git\n"} if number == 0 else {}
        commit(tree, {"Dockerfile": text, **ignored, **files})
        rows = lamina.build(tree).ok().rows
        built.append([row.text for row in rows if row.verdict not in ("cached", "metadata", "fetched")])
    found = told(lamina.run("advise", tree, "--json", "--commits", "20"))
    names = [step["text"] for step in found["before"]["steps"]]
    said = [[names[place] for place in one["before"]] for one in found["commits"]]
    assert [sorted(one) for one in said] == [sorted(one) for one in built[1:]]


def test_a_repository_in_which_the_context_is_a_folder(lamina: Command, tmp_path: Path) -> None:
    tree = tmp_path / "all"
    tree.mkdir()
    git(tree, "init", "-q")
    commit(tree, {"app/Dockerfile": "FROM busybox\nCOPY . .\nRUN apk add x\n", "app/a": "0"})
    commit(tree, {"app/a": "1"})
    commit(tree, {"other": "1"})
    done = lamina.run("advise", tree / "app")
    assert done.code == 10 and done.out.startswith("1 commit from ")
    assert "--- a/Dockerfile" in done.out
    patch = tmp_path / "patch"
    patch.write_text(done.out[done.out.index("--- a/") : done.out.index("\nNot proved")])
    subprocess.run(["git", "apply", "--directory=app", str(patch)], cwd=tree, check=True)
    assert (tree / "app" / "Dockerfile").read_text() == "FROM busybox\nRUN apk add x\nCOPY . .\n"


def test_what_cannot_be_improved(lamina: Command, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "app")
    tree = tmp_path / "app"
    commit(tree, {"Dockerfile": "FROM nowhere/never:1\nCOPY . .\nRUN make\n", ".dockerignore": ".git", "a": "0"})
    commit(tree, {"a": "1"})
    commit(tree, {"Dockerfile": "FROM nowhere/never:1\nCOPY . .\nRUN make all\n"})
    done = lamina.run("advise", tree)
    assert done.code == 0
    assert "No better order was found." in done.out and "not known that they do without" in done.out
    assert "nowhere/never:1 is not in the store" in done.out and "1 commit changed the Dockerfile" in done.out
    assert "guesses" in done.out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--since", "nonsense"), 2, "no revision here and no date"),
        (("--cost", "make=soon"), 2, "write STEP=TIME"),
        (("--cost", "nothing like it=3s"), 2, "no step is 'nothing like it'"),
        (("--commits", "0"), 2, "no number of commits"),
        (("--apply",), 2, "--apply writes what is proved"),
        (("-f", "-"), 2, "must be files here"),
        (("-f", "none"), 3, "there is no none"),
        (("--target", "none"), 3, "none"),
    ],
)
def test_bad_words(lamina: Command, tmp_path: Path, words: tuple[str, ...], code: int, said: str) -> None:
    git(tmp_path, "init", "-q", "app")
    commit(tmp_path / "app", {"Dockerfile": "FROM busybox\nCOPY . .\nRUN make\n"})
    commit(tmp_path / "app", {"a": "1"})
    done = lamina.run("advise", tmp_path / "app", *words)
    assert done.code == code and said in done.err and "Traceback" not in done.err


def test_bad_input(lamina: Command, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "Dockerfile").write_text("FROM busybox\n")
    done = lamina.run("advise", plain)
    assert done.code == 4 and "not in a git checkout" in done.err
    git(plain, "init", "-q")
    assert "no commits yet" in lamina.run("advise", plain).err
    commit(plain, {})
    assert "a single commit" in lamina.run("advise", plain).err
    commit(plain, {"Dockerfile": "FROM busybox\nRUNE x\n"})
    done = lamina.run("advise", plain)
    assert done.code == 3 and "RUNE" in done.err
    assert "not-found" in lamina.run("advise", tmp_path / "nothing").err
    done = lamina.run("advise", plain, env={"PATH": str(tmp_path)})
    assert done.code == 4 and "git is not installed" in done.err


def test_what_a_step_was_seen_to_look_at_is_evidence(lamina: Command, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "app")
    tree = tmp_path / "app"
    text = "FROM busybox\nWORKDIR /app\nCOPY . .\nRUN cat one.txt > /out && sleep 0.2\n"
    commit(tree, {"Dockerfile": text, ".dockerignore": ".git\n", "one.txt": "1", "two.txt": "1", "three.txt": "1"})
    commit(tree, {"two.txt": "2"})
    assert lamina.run("advise", tree).code == 0
    done = lamina.run("advise", tree, "--observe", "--prove", "--apply")
    assert done.code == 0, done.err
    assert "looked at 1 of the 5 files" in done.out and "Proved" in done.out
    lines = ["FROM busybox", "WORKDIR /app", "COPY one.txt ./", "RUN cat one.txt > /out && sleep 0.2", "COPY . ."]
    assert (tree / "Dockerfile").read_text().splitlines() == lines


def test_what_a_script_looked_at_counts_for_that_script_alone(lamina: Command, tmp_path: Path) -> None:
    """Its text, `RUN <<EOF`, does not say what it runs."""
    git(tmp_path, "init", "-q", "app")
    tree = tmp_path / "app"
    text = "FROM busybox\nWORKDIR /app\nCOPY . .\nRUN <<EOF\ncat one.txt > /out\nsleep 0.2\nEOF\n"
    files = {".dockerignore": ".git\n", "one.txt": "1", "two.txt": "1", "three.txt": "1"}
    commit(tree, {"Dockerfile": text, **files})
    commit(tree, {"three.txt": "2"})
    done = lamina.run("advise", tree, "--observe")
    assert "looked at 1 of the 5 files" in done.out and "+COPY one.txt ./" in done.out
    (tree / "Dockerfile").write_text(text.replace("one.txt", "two.txt"))
    assert lamina.run("advise", tree).code == 0
    (tree / "Dockerfile").write_text(text + "RUN <<EOF\ncat three.txt\nEOF\n")
    assert lamina.run("advise", tree).code == 0


def test_the_evidence_is_told_in_numbers(lamina: Command, tmp_path: Path) -> None:
    """What the step looked at, of all that the COPY copies; and the image stays the same."""
    git(tmp_path, "init", "-q", "app")
    tree = tmp_path / "app"
    files = {f"src/{number}": "0" for number in range(210)}
    run = "RUN sort Pipfile Pipfile.lock > /out && sleep 0.2"
    text = f"FROM busybox\nWORKDIR /app\nCOPY . .\n{run}\n"
    base = {"Dockerfile": text, ".dockerignore": ".git\n", "Pipfile": "b\na\n", "Pipfile.lock": "{}\n"}
    commit(tree, {**base, **files})
    commit(tree, {"src/7": "1"})
    found = told(lamina.run("advise", tree, "--observe", "--json"))
    (move,) = found["moves"]
    assert f"`{run}` looked at 2 of the 214 files that it copies" in move["why"]
    assert found["patch"].count("+COPY Pipfile Pipfile.lock ./") == 1
    # What was observed is remembered: no second build is needed.
    assert "looked at 2 of the 214 files" in lamina.run("advise", tree).out


def test_a_part_that_stands_alone_gets_a_stage(tools: Command, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "app")
    tree = tmp_path / "app"
    text = (
        "FROM tools\nWORKDIR /app\nCOPY requirements.txt ./\nRUN pip install -r requirements.txt\n"
        "COPY frontend ./frontend/\nRUN cd frontend && npm ci && npm run build\nCOPY app ./app/\n"
    )
    base = {"Dockerfile": text, ".dockerignore": ".git\n", "requirements.txt": "x\n", "app/main.py": "0"}
    commit(tree, {**base, "frontend/package.json": "{}", "frontend/package-lock.json": "{}", "frontend/index.js": "0"})
    for number in range(1, 4):
        commit(tree, {"requirements.txt": "x\n" * (number + 1)})
        commit(tree, {"frontend/index.js": str(number)})
        commit(tree, {"app/main.py": str(number)})
    commit(tree, {"requirements.txt": "y\n", "frontend/index.js": "both"})
    words = ("advise", tree, "--cost", "npm ci=1m", "--cost", "pip=30s")
    assert tools.run(*words).code == 0  # what the steps write is not known
    tools.build(tree).ok()
    done = tools.run(*words, "--prove", "--apply")
    assert done.code == 0, done.err
    assert "Build /app/frontend/node_modules in a stage of its own, `npm`" in done.out and "Proved" in done.out
    new = (tree / "Dockerfile").read_text()
    assert "FROM tools AS npm\n" in new and "COPY --from=npm /app/frontend/node_modules" in new
    # Three commits changed the requirements: they build no front end any more.
    assert "instead of" in done.out and "waited for" in done.out


def test_runs_that_are_better_as_one(lamina: Command, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "app")
    tree = tmp_path / "app"
    text = "FROM busybox\nRUN head -c 3000000 /dev/zero > /big\nRUN wc -c /big > /count && rm /big\nCOPY . /app\n"
    commit(tree, {"Dockerfile": text, ".dockerignore": ".git\n", "a": "0"})
    commit(tree, {"a": "1"})
    assert lamina.run("advise", tree).code == 0
    lamina.build(tree).ok()
    done = lamina.run("advise", tree, "--prove", "--apply")
    assert done.code == 0, done.err
    assert "into one RUN, which makes the image 3MB smaller" in done.out and "Proved" in done.out
    assert "No order costs less" in done.out
    assert (tree / "Dockerfile").read_text().count("RUN") == 1
    assert lamina.run("advise", tree).out.count("No better order was found.") == 1
