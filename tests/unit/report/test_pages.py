"""The HTML of reports: all is told, nothing is loaded, and no name of a file or a commit becomes markup."""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.histories import Tree, history_of
from tests.support.pages import Reader
from tests.support.planning import plan

from lamina.advise.advice import Advice, Case, advise
from lamina.advise.cost import CostBook
from lamina.advise.proof import BuiltCommit, Differing, Proof, Verdict
from lamina.advise.sheet import sheet
from lamina.diagnostics import Span
from lamina.digest import DiffID
from lamina.explain.layers import LayerCount, Survey, Waste
from lamina.explain.layersteps import Layer
from lamina.explain.narrative import narrate
from lamina.explain.story import Story, ToldStage, ToldStep
from lamina.keys.decide import MissCause
from lamina.keys.facts import FileChange
from lamina.report.page_build import Layers, build_page
from lamina.report.page_history import history_page
from lamina.store.builds import Build

HOSTILE = "<script>alert(1)</script>\"'&{{ 7*7 }}\x1b[31m\u202e.py"
BUILD = Build("6923aa01", "/home/me/shop:/home/me/shop/Dockerfile", 1000.0, 12.0, "done", "sha256:" + "1" * 64)


def step(line: int, text: str, stage: str = "stage-0", **fields: Any) -> ToldStep:
    return ToldStep(f"{stage}/{line}", text, Span("Dockerfile", line, 1, line, 9), **fields)


def stage(label: str, *steps: ToldStep) -> ToldStage:
    return ToldStage(label, True, "base", "cached", Span("Dockerfile", 1, 1, 1, 9), "linux/amd64", steps)


def story() -> Story:
    change = MissCause("changed", "source .", "1", "2", (FileChange(HOSTILE, "content", "1", "2"),), total=1)
    dragged = MissCause("parent", "parent", origin="build/2")
    return Story(
        (
            stage(
                "build",
                step(2, "COPY . .", "build", outcome="done", causes=(change,), seconds=1.0, size=1000, began=1001.0),
                step(3, f"RUN echo {HOSTILE}", "build", outcome="done", causes=(dragged,), seconds=5.0, began=1002.0),
            ),
            stage(
                "final",
                step(6, "ENV A=1", "final", outcome="metadata"),
                step(7, "RUN make", "final", outcome="cached", how="definition", saved=30.0, size=50),
                step(8, "RUN test", "final", outcome="failed", causes=(MissCause("first_build"),), seconds=2.0),
            ),
        )
    )


def layers() -> Layers:
    made = tuple(Layer(DiffID(f"sha256:{n}"), f"RUN {n} {HOSTILE}", Span("Dockerfile", n, 1, n, 2)) for n in (1, 2))
    waste = Waste("deleted", 0, 1, 400, 1, ((HOSTILE, 400),), "remove", "delete it in line 1")
    return Layers(made, Survey((LayerCount(1000, 3, hidden=400), LayerCount(20, 1)), 1020, 620, 4, (waste,), 0.9))


def page_of(told: Story, build: Build = BUILD) -> Reader:
    return Reader(build_page(build, ("shop:1",), told, narrate(told), layers(), ("a note",)))


def history(commits: int = 6, rows: int = 0, subject: str = HOSTILE) -> Advice:
    """A Dockerfile in a bad order; each commit changes code, a third one the manifest."""
    more = "".join(f"RUN echo {number} && pip install a{number}\n" for number in range(rows))
    text = f"FROM base\nCOPY . .\nRUN pip install -r requirements.txt\n{more}"
    trees: list[Tree] = [{"requirements.txt": "0", "app.py": "0", HOSTILE: "0"}]
    for number, path in enumerate(islice(cycle(("app.py", HOSTILE, "requirements.txt")), commits)):
        trees.append({**trees[-1], path: str(number + 1)})
    past = history_of(trees)
    past = replace(past, commits=tuple(replace(one, subject=subject) for one in past.commits))
    book = CostBook({}, {"RUN pip install -r requirements.txt": 60.0})
    return advise(Case(sheet(text.encode(), "Dockerfile"), lambda one: plan(one.text), book, past, None, trees[-1].get))


def test_every_step_is_there_with_its_verdict_and_its_cause() -> None:
    rows = [row for row in page_of(story()).rows["steps"] if len(row) == 7]
    told = {row[0]: row for row in rows[1:]}
    assert [told[line][2] for line in ("2", "3", "6", "7", "8")] == [
        "●changed",
        "↳rebuilds",
        "·metadata",
        "✓cached",
        "✕failed",
    ]
    assert "is different" in told["2"][3] and "because of line 2" in told["3"][3]
    assert (told["3"][4], told["7"][5], told["2"][6]) == ("5.0s", "30.0s", "1kB")


def test_steps_of_two_stages_stand_in_two_lanes_where_they_began() -> None:
    page = page_of(story())
    tips = [tip for tip in page.tips if "from" in tip]
    assert [tip.split("from ")[1].split(" on")[0] for tip in tips[:2]] == ["1.0s", "2.0s"]
    assert "the moments at which its steps began were not noted" in page.text.lower()  # of line 8


def test_a_build_in_which_nothing_ran_has_no_timeline() -> None:
    page = page_of(Story((stage("final", step(7, "RUN make", outcome="cached", how="definition", saved=3.0)),)))
    assert "No step ran." in page.text and len(page.titles) == 2
    assert "1 of 1" in page.text


def test_waste_stands_beside_its_fix() -> None:
    (_, row) = page_of(story()).rows["waste"]
    assert row[0] == "400B" and row[3] == "delete it in line 1"


def test_the_failed_build_is_said_to_be_one() -> None:
    assert "The build failed." in page_of(story(), replace(BUILD, result="failed")).text


@pytest.mark.parametrize("proof", [None, "proved", "differs", "not tried"])
def test_the_history_tells_costs_paths_moves_and_the_patch(proof: Verdict | None) -> None:
    commit = BuiltCommit(
        "a" * 40, HOSTILE, (9.0, 1.0), 300, (Differing(HOSTILE, "content"),) if proof == "differs" else ()
    )
    known = Proof(proof, (commit,), "no reason") if proof is not None else None
    advice = history()
    page = Reader(history_page("shop", advice, ("it is a shallow clone",), known))
    assert len(page.rows["commits"]) == 7
    assert page.rows["steps"][2][1] == "RUN pip install -r requirements.txt"
    assert page.rows["steps"][2][3:5] == ["6", "6m 00s"]
    assert "+COPY requirements.txt" in page.text and "It is a shallow clone." in page.text
    assert {None: "Not proved", "proved": "Proved", "differs": "The images differ", "not tried": "no reason"}[
        proof
    ] in page.text


def test_each_block_of_the_grid_says_why_the_step_ran() -> None:
    page = Reader(history_page("shop", history(subject="tidy"), (), None))
    tips = [tip for tip in page.tips if "ran because" in tip]
    assert "00000000 1970-01-02 tidy\nline 2 ran because of app.py" in tips
    assert any("line 3 ran because line 2 did: app.py" in tip for tip in tips)


def test_an_order_that_cannot_be_improved_is_said_to_be_so() -> None:
    text = "FROM base\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\nCOPY . .\n"
    case = history().case
    page = Reader(history_page("shop", advise(replace(case, sheet=sheet(text.encode(), "Dockerfile"))), (), None))
    assert "No better order was found." in page.text


@pytest.mark.parametrize("kind", ["build", "history"])
def test_nothing_is_loaded_and_no_name_becomes_markup(kind: str) -> None:
    told = story()
    if kind == "build":
        raw = build_page(BUILD, (HOSTILE,), told, narrate(told), layers(), (HOSTILE,))
    else:
        raw = history_page(HOSTILE, history(), (HOSTILE,), None)
    page = Reader(raw)
    assert page.loads == []
    assert len(page.scripts) == 1 and "alert" not in page.scripts[0]
    assert "{{ 7*7 }}" in page.text and "<script>alert(1)</script>" in page.text
    assert any("<script>alert(1)</script>" in tip for tip in page.tips)
    # What would turn a line of text around, or reach a terminal, is told by its number.
    assert b"\x1b" not in raw and "\u202e" not in raw.decode()
    assert "default-src &#39;none&#39;" in raw.decode()


def test_names_that_are_no_text_are_shown() -> None:
    told = Story((stage("final", step(7, "RUN echo \udcff", outcome="cached", saved=3.0)),))
    assert "RUN echo" in page_of(told).text


def test_a_thousand_commits_of_thirty_steps_are_a_page_of_some_megabytes() -> None:
    raw = history_page("shop", history(commits=1000, rows=28, subject="word " * 40), (), None)
    assert len(raw) < 5_000_000
    page = Reader(raw)
    assert len(page.rows["commits"]) == 1001
    assert "A column stands for" in page.text
