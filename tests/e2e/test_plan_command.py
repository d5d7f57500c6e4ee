"""`lamina plan`: what a build would do is what it then does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.command import Command, Completed, project, write

TEXT = """FROM busybox AS tools
RUN sleep 0.3; echo tool > /tool
FROM busybox
WORKDIR /app
COPY requirements.txt .
RUN sleep 0.5; cp requirements.txt installed
COPY --from=tools /tool /tool
COPY . .
RUN cat tool app.py > both 2>/dev/null || true
CMD ["sh"]
"""
FILES = {"requirements.txt": "a\n", "app.py": "1\n"}


def verdicts(done: Completed) -> dict[str, str]:
    return {step["text"]: step["verdict"] for step in json.loads(done.out)["steps"]}


def test_a_plan_says_what_the_build_then_does(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", TEXT, FILES)
    before = lamina.contents()
    done = lamina.run("plan", "--json", folder)
    assert done.code == 10
    assert lamina.contents() == before
    assert set(verdicts(done).values()) == {"new", "cached", "metadata", "rebuilds"}
    lamina.build(folder).ok()
    done = lamina.run("plan", folder)
    assert (done.code, done.out.splitlines()[-1]) == (0, "all 7 steps are cached: nothing would run")
    write(folder, {"app.py": "2\n"})
    planned = lamina.run("plan", "--json", folder)
    assert planned.code == 10
    found = verdicts(planned)
    built = {row.text: row.verdict for row in lamina.build(folder).rows}
    assert {text: verdict for text, verdict in found.items() if verdict != "cached"} == {
        text: verdict for text, verdict in built.items() if verdict != "cached"
    }
    assert found["COPY . ."] == "CHANGED" and found["COPY requirements.txt ."] == "cached"


def test_what_it_would_take_and_the_budget(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", TEXT, FILES)
    lamina.build(folder).ok()
    write(folder, {"requirements.txt": "b\n"})
    done = lamina.run("plan", "--json", folder)
    assert 0.5 <= json.loads(done.out)["seconds"] < 20
    assert lamina.run("plan", "--budget", "0.1s", folder).code == 11
    assert lamina.run("plan", "--budget", "1h", folder).code == 10
    said = lamina.run("plan", folder).out
    assert "requirements.txt is different" in said and "because of line 5" in said
    assert lamina.run("plan", "--budget", "soon", folder).code == 2


def test_a_copy_from_a_stage_that_would_run_is_unknown(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", TEXT, FILES)
    lamina.build(folder).ok()
    changed = write(folder, {"Dockerfile": TEXT.replace("sleep 0.3", "sleep 0.1")})
    done = lamina.run("plan", changed)
    assert "cached if the files of tools come out the same" in done.out
    built = lamina.build(changed)
    assert built.row("COPY --from").verdict == "cached"
    assert built.row("RUN sleep 0.1").verdict == "CHANGED"


def test_no_privilege_and_no_step(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", "FROM busybox\nRUN touch /nothing\n")
    line = ("unshare", "--fork", "setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
    assert Command(lamina.root, prefix=line).run("plan", folder).code == 10
    assert lamina.run("plan", folder).code == 10


@pytest.mark.parametrize("words", [("--no-cache",), ("--no-cache-filter", "tools")])
def test_forced_steps_are_pending(lamina: Command, tmp_path: Path, words: tuple[str, ...]) -> None:
    folder = project(tmp_path / "p", TEXT, FILES)
    lamina.build(folder).ok()
    done = lamina.run("plan", *words, folder)
    assert done.code == 10 and "--no-cache" in done.out


def test_a_linked_copy_above_a_change_is_cached(lamina: Command, tmp_path: Path) -> None:
    text = "FROM busybox\nRUN echo 1 > /v\nCOPY --link app.py /a\nRUN cat /v /a\n"
    folder = project(tmp_path / "p", text, FILES)
    lamina.build(folder).ok()
    found = verdicts(lamina.run("plan", "--json", write(folder, {"Dockerfile": text.replace("echo 1", "echo 2")})))
    assert list(found.values()) == ["cached", "CHANGED", "cached", "rebuilds"]
