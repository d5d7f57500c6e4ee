"""What `lamina advise` says of every commit of a history with all that git knows is what real builds of them do."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.command import Command
from tests.support.git_server import commit, git
from tests.support.planning import plan

from lamina.advise.replay import Replayer
from lamina.advise.selections import Numbers, Selections
from lamina.advise.timeline import timeline
from lamina.context.ignore_file import load_rules
from lamina.history.log import read_history

#: Steps whose result is never the same, so that what stands on them runs again (no early cutoff).
ONCE = "cat /proc/sys/kernel/random/uuid"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 9\n"

DOCKERFILES = {
    "python": f"""FROM busybox
WORKDIR /app
COPY requirements*.txt ./
RUN cat requirements.txt > /r; {ONCE} > /n
COPY src src
RUN ls -lR src > /l; {ONCE} > /m
COPY . .
RUN {ONCE} > /last
""",
    "go": f"""FROM busybox AS build
WORKDIR /src
COPY requirements.txt ./
RUN {ONCE} > /deps
COPY src/ ./
RUN cat main.py > /program; {ONCE} >> /program
FROM busybox AS assets
COPY --exclude=*.md assets /assets
RUN {ONCE} > /sum
FROM busybox
COPY --from=build /program /program
RUN {ONCE} > /m
COPY --from=assets /assets /sum /srv/
COPY --chmod=755 conf /etc/app
""",
    "mounts": f"""FROM busybox
RUN --mount=type=bind,source=requirements.txt,target=/r {ONCE} > /n
COPY --link assets /assets
RUN --mount=type=bind,source=src,target=/s ls /s > /x; {ONCE} >> /x
COPY conf/current src/li*k /t/
COPY --parents src/*.py /p/
RUN {ONCE} > /m
""",
}


def _repository(tree: Path, dockerfile: str) -> None:
    """A history with code and lock changes, a revert, a rename, a merge, an octal mode, links, a submodule, a file that
    LFS keeps, binary files, a deletion, and a Dockerfile that was another one at first."""
    module = tree.parent / "module"
    for folder in (module, tree):
        folder.mkdir()
        git(folder, "init", "-q", "-b", "main")
    commit(module, {"lib.py": "1"})
    files = {
        "Dockerfile": f"{dockerfile}LABEL old=1\n",
        ".dockerignore": "**/.git\n.gitmodules\n**/*.pyc\n",
        ".gitattributes": "*.bin filter=lfs\n",
        "requirements.txt": "a\n",
        "src/main.py": "1",
        "src/link": "1",
        "assets/big.bin": POINTER.format("1" * 64),
        "assets/readme.md": "1",
        "conf/one": "1",
        "conf/current": "1",
    }
    commit(tree, files, "start")
    commit(tree, {"src/main.py": "2"}, "code")
    commit(tree, {"requirements.txt": "a\nb\n"}, "lock")
    git(tree, "revert", "--no-edit", "HEAD")
    commit(tree, {"src/other.py": "1", "notes.md": "1"}, "a file more")
    git(tree, "mv", "src/other.py", "src/renamed.py")
    commit(tree, {}, "rename")
    git(tree, "checkout", "-q", "-b", "side", "HEAD~2")
    commit(tree, {"assets/style.css": "1"}, "side: one")
    commit(tree, {"src/main.py": "3"}, "side: two")
    git(tree, "checkout", "-q", "main")
    git(tree, "merge", "-q", "--no-ff", "--no-edit", "side")
    commit(tree, {"Dockerfile": dockerfile}, "the Dockerfile alone")
    commit(tree, {"assets/big.bin": POINTER.format("2" * 64), "src/cache.pyc": "x"}, "a file of LFS")
    (tree / "assets" / "logo.png").write_bytes(bytes(range(256)))
    commit(tree, {}, "a binary file")
    (tree / "assets" / "logo.png").write_bytes(bytes(reversed(range(256))))
    commit(tree, {}, "the binary file again")
    (tree / "src" / "main.py").chmod(0o755)
    commit(tree, {}, "a mode")
    for target in ("main.py", "renamed.py"):
        (tree / "src" / "link").unlink()
        os.symlink(target, tree / "src" / "link")
        commit(tree, {}, f"a link to {target}")
    (tree / "conf" / "current").unlink()
    os.symlink("one", tree / "conf" / "current")
    commit(tree, {}, "a link that a COPY names")
    commit(tree, {"conf/one": "2"}, "what that link leads to")
    git(tree, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(module), "src/module")
    commit(tree, {}, "a submodule")
    commit(tree, {"README": "1"}, "nothing that matters to most")
    commit(module, {"lib.py": "2"})
    git(tree / "src" / "module", "pull", "-q")
    commit(tree, {}, "the submodule moves on")
    git(tree, "rm", "-q", "notes.md", "src/renamed.py")
    commit(tree, {}, "files go")
    git(tree, "revert", "--no-edit", "HEAD")


def _each_commit(tree: Path, clone: Path, build: Callable[[], list[str]]) -> list[list[str]]:
    """What a build does at each commit along first parents, oldest first, each checked out as git does it."""
    git(tree.parent, "clone", "-q", str(tree), str(clone))
    found = []
    for one in git(tree, "rev-list", "--first-parent", "--reverse", "HEAD").split():
        git(clone, "checkout", "-q", "--force", one)
        git(clone, "clean", "-q", "-ffdx")
        if (clone / ".gitmodules").exists():
            git(clone, "-c", "protocol.file.allow=always", "submodule", "update", "-q", "--init", "--force")
        found.append(build())
    return found


@pytest.mark.parametrize("name", list(DOCKERFILES))
def test_every_decision_is_that_of_a_build(lamina: Command, tmp_path: Path, name: str) -> None:
    tree, clone, own = tmp_path / "app", tmp_path / "clone", tmp_path / "now"
    _repository(tree, DOCKERFILES[name])
    own.mkdir()
    shutil.copy(tree / "Dockerfile", own / "Dockerfile")

    def build() -> list[str]:
        rows = lamina.build(clone, "-f", own / "Dockerfile").ok().rows
        return [row.text for row in rows if row.verdict not in ("cached", "metadata", "fetched")]

    built = _each_commit(tree, clone, build)
    found = json.loads(lamina.run("advise", tree, "--json").out)
    names = [step["text"] for step in found["before"]["steps"]]
    said = [(one["subject"], sorted(names[place] for place in one["before"])) for one in found["commits"]]
    assert said == [(one["subject"], sorted(rows)) for one, rows in zip(found["commits"], built[1:], strict=True)]
    assert len(said) > 15 and any("submodule" in note for note in found["notes"])
    assert found["before"]["missing"] == []


def test_a_dockerfile_that_changed_is_replayed_as_it_was(lamina: Command, tmp_path: Path) -> None:
    """Each commit with its own: as many steps run as in builds of the checkouts."""
    tree, clone = tmp_path / "app", tmp_path / "clone"
    tree.mkdir()
    git(tree, "init", "-q", "-b", "main")
    bad = f"FROM busybox\nCOPY . /all\nRUN {ONCE} > /slow\n"
    good = f"FROM busybox\nRUN {ONCE} > /slow\nCOPY . /all\n"
    texts = [bad, bad, bad, good, good, good + "RUN true\n", bad, bad]
    commit(tree, {"Dockerfile": texts[0], ".dockerignore": ".git\nDockerfile\n", "a": "0"})
    for number, text in enumerate(texts[1:], 1):
        commit(tree, {"Dockerfile": text, "a": str(number % 6)})

    def build() -> list[str]:
        rows = lamina.build(clone).ok().rows
        return [row.text for row in rows if row.verdict not in ("cached", "metadata", "fetched")]

    built = _each_commit(tree, clone, build)
    history = read_history(tree, limit=100)
    replayer = Replayer(Selections(timeline(history, load_rules(tree, tree / "Dockerfile")), Numbers()))
    said = replayer.as_it_was([(at, plan(text)) for at, text in enumerate(texts)], lambda step: 1.0)
    assert said == sum(map(len, built[1:]))
    done = lamina.run("advise", tree)
    assert "3 commits changed the Dockerfile" in done.out and "With the one that each had it was" in done.out


def test_a_shallow_clone_says_what_it_lacks(lamina: Command, tmp_path: Path) -> None:
    tree = tmp_path / "app"
    tree.mkdir()
    git(tree, "init", "-q", "-b", "main")
    for number in range(6):
        commit(tree, {"Dockerfile": "FROM busybox\nCOPY . .\nRUN make\n", ".dockerignore": ".git\n", "a": str(number)})
    git(tmp_path, "clone", "-q", "--depth", "3", f"file://{tree}", "clone")
    done = lamina.run("advise", tmp_path / "clone", "--commits", "10")
    assert "2 commits from" in done.out and "knows 2 of the 10 commits that were asked for" in done.out
