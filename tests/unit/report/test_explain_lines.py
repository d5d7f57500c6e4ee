"""`lamina explain` in words, read as a user reads them."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from lamina.diagnostics import Span
from lamina.explain.against import Against, Difference
from lamina.explain.narrative import narrate
from lamina.explain.story import Before, Story, ToldStage, ToldStep
from lamina.explain.table import Summary
from lamina.keys.decide import MissCause
from lamina.keys.facts import FileChange
from lamina.report import explain_json
from lamina.report.explain import change_line, narrative_lines, reason, step_lines, values
from lamina.report.explain_builds import against_lines, build_lines, heading, project_name
from lamina.store.builds import Build

BUILD = Build("6923aa01", "/home/me/shop:/home/me/shop/Dockerfile", 1000.0, 41.0, "done", "sha256:" + "1" * 64)


def step(line: int, text: str, outcome: str = "done", **fields: object) -> ToldStep:
    return ToldStep(f"stage-0/{line}", text, Span("Dockerfile", line, 1, line, 9), outcome, **fields)  # type: ignore[arg-type]


def story(*steps: ToldStep) -> Story:
    stage = ToldStage("stage-0", False, "base", "cached", Span("Dockerfile", 1, 1, 1, 9), "linux/amd64", steps)
    return Story((stage,))


def source(*changes: FileChange, total: int = 0, sole: str = "") -> MissCause:
    return MissCause("changed", "source .", "1", "2", changes, total=total or len(changes), sole=sole)  # type: ignore[arg-type]


def before(seconds: float) -> Before:
    return Before("old", "x", seconds, 0.0)


EDIT = FileChange("app.py", "content", "1", "2", ((12, 12), (40, 44)))
COPY = step(3, "COPY . .", causes=(source(EDIT),), seconds=0.5, size=1000, before=before(0.4))
DRAGGED = MissCause("parent", "parent", origin="stage-0/3")
INSTALL = step(
    4, "RUN pip install -r requirements.txt", causes=(DRAGGED,), seconds=40.0, size=9000, before=before(39.0)
)


CURE = (
    "To avoid it: Copy requirements.txt alone before line 4 (RUN pip install -r requirements.txt), which names no "
    "other file, and the rest in a COPY below it."
)


def test_the_lesson_in_words() -> None:
    told = story(step(2, "WORKDIR /app", "cached", saved=1.0), COPY, INSTALL)
    assert narrative_lines(narrate(told), told) == [
        "Line 3: COPY . .",
        "  ran because app.py is different: lines 12 and 40 to 44.",
        "It dragged along 1 step, in which nothing else had changed:",
        "    line 4  RUN pip install -r requirements.txt  40.0s  9kB",
        "Together that took 40.5s and made 10kB of layers; the last time it was 39.4s.",
        CURE,
    ]


def test_the_dragged_step_alone() -> None:
    told = story(COPY, INSTALL)
    lines = step_lines(INSTALL, told, narrate(told), None, 0.0)
    assert lines[:4] == [
        "Line 4: RUN pip install -r requirements.txt",
        "  ran only because of a step above it; nothing else of it had changed.",
        "  That step is line 3, COPY . .,",
        "  which ran because app.py is different: lines 12 and 40 to 44.",
    ]
    assert "  It took 40.0s and made 9kB; the last time it was 39.0s (build old)." in lines


def test_a_cached_step_alone() -> None:
    cached = step(2, "RUN make", "cached", how="content", saved=12.0, size=5)
    told = story(cached)
    lines = step_lines(cached, told, narrate(told), replace(before(12.0), created=50.0), 110.0)
    assert lines[1].startswith("  was cached: the same instruction with the same inputs was run before on files")
    assert lines[2:] == ["  Its layer (5B) was made by build old, 1 minute ago.", "  That saved 12.0s."]
    assert narrative_lines(narrate(told), told) == ["Its only step came from the cache, which saved 12.0s."]


def test_early_cutoff_is_said() -> None:
    kept = step(2, "RUN pip install", causes=(MissCause("changed", "command", "a", "b"),), kept=True, seconds=3.0)
    told = story(kept, step(3, "RUN below", "cached", saved=20.0))
    assert any("1 step below it stayed cached, which saved 20.0s (early cutoff)" in line for line in _told(told))


def _told(told: Story, *, whole: bool = False) -> list[str]:
    return narrative_lines(narrate(told), told, whole=whole)


@pytest.mark.parametrize(
    ("sole", "kind", "first", "cure"),
    [
        ("mode", "mode", "only file modes differ, of 3 files.", 'modes = "git"'),
        ("owner", "owner", "only file owners differ, of 3 files.", "COPY --chown="),
        ("line-ends", "line-ends", "only line ends differ, of 3 files.", "* text=auto eol=lf"),
        ("git", "content", "only files of .git differ, 3 of them.", "An ignore line: `.git`"),
    ],
)
def test_a_harmless_difference_is_called_so_first_and_its_cure_is_named(
    sole: str, kind: str, first: str, cure: str
) -> None:
    changes = [FileChange(f".git/{name}", kind, "0644", "0664") for name in "abc"]  # type: ignore[arg-type]
    lines = _told(story(replace(COPY, causes=(source(*changes, sole=sole),))))
    assert lines[1] == f"  ran because {first}"
    assert cure in lines[-1]


def test_many_changes_are_counted_and_told_with_all() -> None:
    changes = [FileChange(f"f{number}", "added", "", "file") for number in range(8)]
    told = story(replace(COPY, causes=(source(*changes, total=30),)))
    lines = _told(told)
    assert lines[1] == "  ran because f0 is new, and 29 more changes."
    assert "    and 25 more (--all)" in lines
    assert "    and 22 more, of which no more is kept than the number" in _told(told, whole=True)


def test_further_inputs_and_further_causes() -> None:
    causes = (MissCause("changed", "env A", "1", "2"), MissCause("changed", "user", "", "app"))
    steps = [
        step(n, f"RUN {n}", causes=(MissCause("changed", "command", str(n), "x"),), seconds=n) for n in range(3, 8)
    ]
    told = story(step(2, "RUN two", causes=causes, seconds=60), *steps)
    lines = _told(told)
    assert lines[:3] == [
        "Line 2: RUN two",
        "  ran because A: 1 → 2.",
        "  other inputs that differ: the user: nothing → app",
    ]
    assert "3 more causes, of 12.0s (--all):" in lines
    assert len([line for line in _told(told, whole=True) if line.startswith("Line ")]) == 6


def test_values_are_cut_around_their_first_difference() -> None:
    long = "a" * 200
    was, now = values(f"{long}1{long}", f"{long}2{long}")
    assert was.startswith("    was  …a") and now.startswith("    now  …a")
    assert "1" in was and "2" in now and len(was) < 110
    assert values('["/bin/sh","-c","make a"]', '["/bin/sh","-c","make b"]') == ["    was  make a", "    now  make b"]
    assert values("one\ntwo\n", "one\n2\n") == ["    line 2 was  two", "    line 2 now  2"]
    assert values("one\n", "one\ntwo\n") == ["    line 2 was  (nothing)", "    line 2 now  two"]
    assert values(None, "x") == ["    was  (nothing)", "    now  x"]
    assert values("[" * 100_000, "[]")[1] == "    now  (nothing)"


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ((), "a is different"),
        (((3, 3),), "a is different: line 3"),
        (((3, 5), (9, 9)), "a is different: lines 3 to 5 and 9"),
        (((3, 2), (9, 9)), "a is different: line 9; lines are gone after line 2"),
        (((3, 2), (9, 8)), "a is different: lines are gone after line 2 and 8"),
    ],
)
def test_line_numbers(lines: tuple[tuple[int, int], ...], text: str) -> None:
    assert change_line(FileChange("a", "content", "1", "2", lines)) == text


def test_nothing_of_a_story_confuses_a_terminal() -> None:
    odd = FileChange("a\x1b[2J\udcff", "added", "", "file")
    named = replace(COPY, text="COPY \x1b]0;x\x07 .", causes=(source(odd),))
    told = story(named, replace(INSTALL, text="RUN \x9b2J"))
    build = replace(BUILD, project="/x/\x1b[2J:/x/\x1b[2J/Dockerfile", origin="\x1b[31m")
    lines = [*_told(told), *step_lines(named, told, narrate(told), None, 0.0, whole=True)]
    lines += [heading(build, "", (), None, 2000.0), *build_lines([(build, None, ())], 2000.0)]
    lines += against_lines(Against((Difference("changed", "\x1b", named, named, named.causes),), 1))
    assert all(line.isprintable() for line in lines), [line for line in lines if not line.isprintable()]


def test_which_build() -> None:
    line = heading(
        BUILD, "The last build here,", ("docker.io/library/shop:latest",), Summary(3, 5, 20.0), 1000.0 + 7300
    )
    assert line == "The last build here, 6923aa01 of shop (shop:latest), 2 hours ago: took 41.0s, cached 3 of 5 steps."
    failed = replace(BUILD, result="failed", origin="CI run 17", project="shop")
    assert (
        heading(failed, "", (), None, 1060.0)
        == "Build 6923aa01 of shop, from CI run 17, 1 minute ago: failed after 41.0s."
    )
    (head, row) = build_lines([(BUILD, Summary(3, 5, 20.0), ())], 1060.0)
    assert head.split() == ["BUILD", "WHEN", "TOOK", "CACHED", "RESULT", "IMAGE", "PROJECT"]
    assert row.split() == ["6923aa01", "1", "minute", "ago", "41.0s", "3", "of", "5", "done", "111111111111", "shop"]


@pytest.mark.parametrize(
    ("project", "name"),
    [
        ("/home/me/shop:/home/me/shop/Dockerfile", "shop"),
        ("/home/me/shop:/home/me/shop/Dockerfile.bad", "shop (Dockerfile.bad)"),
        ("/home/me/shop:<stdin>", "shop (<stdin>)"),
        ("https://example.com/a.git:Dockerfile", "https://example.com/a.git"),
        ("/:/Dockerfile", "/"),
        ("shop", "shop"),
    ],
)
def test_a_project_without_its_place(project: str, name: str) -> None:
    assert project_name(project) == name


def test_two_builds_in_words() -> None:
    one = Difference("changed", "stage-0", COPY, COPY, COPY.causes)
    more = [Difference("inserted", "stage-0", None, INSTALL), Difference("removed", "stage-0", INSTALL, None)]
    assert against_lines(Against((one, *more), 2, False)) == [
        "The first difference is line 3: COPY . .",
        "  app.py is different: lines 12 and 40 to 44.",
        "",
        "After that, 2 differences more:",
        "  line 4: RUN pip install -r requirements.txt: which the other build does not have.",
        "  the other's line 4: RUN pip install -r requirements.txt: which this build does not have.",
    ]
    assert against_lines(Against((), 2, True)) == [
        "Nothing that goes into the 2 steps differs: the same inputs and the same final key."
    ]
    odd = against_lines(Against((Difference("result", "stage-0", INSTALL, INSTALL),), 2, True))
    assert odd[1].startswith("But line 4 (RUN pip install -r requirements.txt) made other files of the same inputs")
    assert "no step can be compared" in against_lines(Against((), 0, None, (1, 2)))[0]


def test_every_kind_of_cause_has_a_sentence() -> None:
    for kind in ("first_build", "evicted", "forced", "order", "parent"):
        assert reason(MissCause(kind, "parent")).endswith(".")


def test_json_can_hold_any_name() -> None:
    told = story(replace(COPY, causes=(source(FileChange("\udcff", "added", "", "file")),)))
    read = json.loads(explain_json.document(BUILD, ("shop",), told, narrate(told), None))
    assert read["causes"][0]["inputs"][0]["files"][0]["path"] == "\udcff"
    assert read["steps"][0]["because"] == "stage-0/3"
    assert "facts" not in read["build"]
    assert json.loads(explain_json.document(BUILD, (), None, None, None)).keys() == {"build"}
