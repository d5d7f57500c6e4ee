"""The replay says of every commit what the builder's own keys say when all is computed anew."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.histories import Tree, history_of, slowly
from tests.support.planning import plan

from lamina.advise.blame import blame
from lamina.advise.replay import Replay, Replayer
from lamina.advise.selections import Numbers, Selections
from lamina.advise.timeline import timeline
from lamina.diagnostics import BuildFailure
from lamina.dockerfile.ignore import IgnoreRules, rules_of
from lamina.plan.steps import Plan

#: Stages of every shape; each copies what the generated trees have or may lack.
TEXTS = (
    "FROM base\nCOPY . .\nRUN a\nRUN b\n",
    "FROM base\nCOPY a.txt /x/\nRUN a\nCOPY src /y\nRUN b\nCOPY --exclude=*.md . /z\n",
    "FROM base\nCOPY src/ ./\nCOPY *.txt /t/\nRUN --mount=type=bind,source=docs,target=/d cat\nRUN b\n",
    (
        "FROM base AS one\nCOPY src /src\nRUN make\n"
        "FROM base\nRUN first\nCOPY --from=one /src /src\nCOPY docs /docs\nRUN b\n"
    ),
    (
        "FROM base AS one\nCOPY docs /d\n"
        "FROM one AS two\nRUN a\nFROM one\nRUN a\nCOPY src /s\nRUN --mount=from=two,target=/t b\n"
    ),
    "FROM base\nCOPY docs /d\nCOPY --link src /s\nRUN after\nCOPY --chmod=644 . /all\n",
    "FROM base\nCOPY --parents src/*/x.md /p/\nCOPY s*/lib* /w/\nRUN a\nCOPY <<EOF /h\ntext\nEOF\nRUN b\n",
    "FROM base\nCOPY link /l/\nRUN a\nCOPY src/link /m/\nRUN b\n",
)
IGNORED = ((), ("docs",), ("**/*.md", "!src/lib/x.md"), ("src", "!src/lib"), ("*", "!src", "!docs", "!a.txt"))
PATHS = ("a.txt", "b.txt", "docs/a.md", "docs/b.txt", "src/main", "src/lib/x.md", "src/lib/y", "src/link", "link")
#: What the Dockerfiles name outright is always there: without it a build fails, which is another test's.
ALWAYS = {"a.txt": "0", "docs/keep": "0", "src/keep": "0", "link": "@docs", "src/link": "@lib", "src/lib/keep": "0"}


@st.composite
def trees(draw: st.DrawFn) -> list[Tree]:
    found: list[dict[str, str]] = [dict(ALWAYS)]
    for _ in range(draw(st.integers(1, 8))):
        tree = dict(found[-1])
        for path in draw(st.lists(st.sampled_from(PATHS), max_size=3, unique=True)):
            if path.endswith("link"):
                tree[path] = draw(st.sampled_from(("@docs", "@lib", "@a.txt", "@../src/lib", "@src")))
            elif path in tree and path not in ALWAYS and draw(st.booleans()):
                del tree[path]
            else:
                tree[path] = draw(st.sampled_from(("0", "1", "2", "!1")))
        found.append(tree)
    return list(found)


def replayed(made: Plan, past: list[Tree], rules: IgnoreRules | None, *, own_git: bool = False) -> Replay:
    selections = Selections(timeline(history_of(past, own_git=own_git), rules), Numbers())
    return Replayer(selections).replay(made, lambda step: 1.0)


def named(replay: Replay) -> list[set[str]]:
    names = [f"{track.stage.label}/{track.step.ordinal}" for track in replay.tracks]
    return [{names[place] for place in ran} for ran in replay.ran()]


@settings(deadline=None)
@given(st.sampled_from(TEXTS), st.sampled_from(IGNORED), trees())
def test_it_says_what_keys_say(text: str, ignored: tuple[str, ...], past: list[Tree]) -> None:
    rules = rules_of(ignored) if ignored else None
    made = plan(text)
    try:
        expected = slowly(made, past, rules)
    except BuildFailure:
        assert replayed(made, past, rules).missing or _missing_at_first(made, past, rules)
        return
    assert named(replayed(made, past, rules)) == expected


def _missing_at_first(made: Plan, past: list[Tree], rules: IgnoreRules | None) -> bool:
    """The place of the start is none of a commit, so it is not told."""
    try:
        slowly(made, past[:1], rules)
    except BuildFailure:
        return True
    return False


def test_what_came_back_is_cached() -> None:
    past: list[Tree] = [{"a": "0"}, {"a": "1"}, {"a": "0"}, {"a": "1"}, {"a": "2"}]
    replay = replayed(plan("FROM base\nCOPY . .\nRUN x\n"), past, None)
    assert [len(ran) for ran in replay.ran()] == [2, 0, 0, 2]
    assert replay.seconds == 4.0


def test_a_source_that_is_not_there_yet() -> None:
    past: list[Tree] = [{"a": "0"}, {"a": "1"}, {"a": "1", "lock": "0"}]
    replay = replayed(plan("FROM base\nCOPY a lock ./\nRUN x\n"), past, None)
    assert replay.missing == {1}
    assert [len(ran) for ran in replay.ran()] == [2, 2]


def test_the_folder_of_git_changes_with_every_commit() -> None:
    past: list[Tree] = [{"a": "0"}, {"b": "1"}, {"b": "2"}]
    text = "FROM base\nCOPY . .\nRUN x\n"
    assert blame(replayed(plan(text), past, None, own_git=True))[0].path == ".git/HEAD"
    assert ".git/HEAD" not in {one.path for one in blame(replayed(plan(text), past, rules_of([".git"]), own_git=True))}


def test_whose_change_it_was() -> None:
    text = "FROM base AS one\nCOPY src /s\nRUN make\nFROM base\nCOPY --from=one /s /s\nRUN x\nCOPY docs /d\nRUN y\n"
    past: list[Tree] = [
        {"src/a": "0", "docs/a": "0"},
        {"src/a": "1", "docs/a": "0"},
        {"src/a": "1", "docs/a": "1"},
        {"src/a": "2", "docs/a": "2"},
    ]
    blamed = {one.path: (one.commits, one.seconds) for one in blame(replayed(plan(text), past, None))}
    # Commit 1 runs six steps for src, commit 2 two for docs, commit 3 six, whose first cause is src.
    assert blamed == {"src/a": (2, 12.0), "docs/a": (1, 2.0)}


def test_folders_are_told_as_one() -> None:
    past: list[Tree] = [{f"src/{name}": "0" for name in "abcdef"} | {"top": "0"}]
    past += [{**past[0], f"src/{name}": "1"} for name in "abcdef"]
    found = blame(replayed(plan("FROM base\nCOPY . .\nRUN x\n"), past, None))
    assert [(one.path, one.files, one.commits) for one in found] == [("src/", 6, 6)]


def test_an_argument_that_varies() -> None:
    made = plan("FROM base\nARG SHA\nRUN x\nCOPY a .\n", build_args={"SHA": "mark"})
    past: list[Tree] = [{"a": "0"}, {"a": "0", "b": "1"}, {"a": "0", "b": "2"}]
    selections = Selections(timeline(history_of(past), None), Numbers())
    replay = Replayer(selections, {"SHA": "mark"}).replay(made, lambda step: 1.0)
    assert [len(ran) for ran in replay.ran()] == [2, 2]
    assert blame(replay)[0].path == "$SHA"
    assert [len(ran) for ran in Replayer(selections).replay(made, lambda step: 1.0).ran()] == [0, 0]


def test_a_bad_pattern_is_the_dockerfiles_fault() -> None:
    with pytest.raises(BuildFailure):
        replayed(plan("FROM base\nCOPY [a .\n"), [{"a": "0"}, {"a": "1"}], None)


def test_a_dockerfile_that_was_changed_itself() -> None:
    past: list[Tree] = [{"a": str(number)} for number in range(6)]
    selections = Selections(timeline(history_of(past), None), Numbers())
    replayer = Replayer(selections)
    bad, good = plan("FROM base\nCOPY . .\nRUN x\n"), plan("FROM base\nRUN x\nCOPY . .\n")
    assert replayer.as_it_was([(0, bad)], lambda step: 1.0) == replayer.replay(bad, lambda step: 1.0).seconds == 10
    # Commits 1 and 2 in the bad order; commit 3 runs both steps anew, and 4 and 5 the copy alone.
    assert replayer.as_it_was([(0, bad), (3, good)], lambda step: 1.0) == 4 + 2 + 2
    # The order that comes back finds what it had built, but not of these files.
    assert replayer.as_it_was([(0, bad), (3, good), (5, bad)], lambda step: 1.0) == 4 + 2 + 1 + 2


def test_what_is_waited_for_where_stages_run_side_by_side() -> None:
    text = "FROM base AS one\nCOPY a /\nRUN x\nFROM base\nCOPY b /\nRUN y\nRUN z\nCOPY --from=one /o /o\n"
    past: list[Tree] = [{"a": "0", "b": "0"}, {"a": "1", "b": "1"}, {"a": "2", "b": "1"}]
    replay = replayed(plan(text), past, None)
    # Both at once: two steps beside three, and the copy behind them. Then the first stage alone, and the copy.
    assert (replay.seconds, replay.waited) == (6.0 + 3.0, 4.0 + 3.0)
    alone = replayed(plan("FROM base\nCOPY . .\nRUN x\n"), past, None)
    assert alone.waited == alone.seconds
