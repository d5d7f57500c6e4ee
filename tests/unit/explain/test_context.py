"""Which rules speak of a path, and what they keep out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.dockerfile.ignore import IgnoreRules, parse_ignore
from lamina.explain.context import Changed, behind_links, ignored, matches, most_changing, prefixes, tell
from lamina.keys.filetree import FileRecord
from lamina.testing.context import MemoryContext


def rules_of_lines(*lines: str) -> IgnoreRules:
    return parse_ignore("\n".join(lines).encode(), ".dockerignore")


def records(*paths: str, links: dict[str, str] | None = None) -> list[FileRecord]:
    """Files of two bytes, with their directories."""
    return list(MemoryContext(dict.fromkeys(paths, b"ab"), links=links).entries())


def left(everything: list[FileRecord], rules: IgnoreRules) -> list[FileRecord]:
    """The files that the rules leave, and the directories that are in or hold some."""
    files = [one for one in everything if one.kind != "dir" and not rules.excluded(one.path)]
    above = {prefix for one in files for prefix in prefixes(one.path)}
    return [one for one in everything if one.path in above or not rules.excluded(one.path)]


@pytest.mark.parametrize(
    ("lines", "path", "expected"),
    [
        ((), "a", []),
        (("b",), "a", []),
        (("a",), "a", [("a", "a")]),
        (("a",), "a/b/c", [("a", "a")]),
        (("**/b", "*"), "a/b/c", [("**/b", "a/b"), ("*", "a")]),
        (("*.md", "!README.md"), "README.md", [("*.md", "README.md"), ("!README.md", "README.md")]),
        (("a/**",), "a/b/c", [("a/**", "a/b")]),
        (("a", "!a/b", "a/b/c"), "a/b/c", [("a", "a"), ("!a/b", "a/b"), ("a/b/c", "a/b/c")]),
        (("*",), "", []),
    ],
)
def test_the_rules_that_speak_of_a_path(lines: tuple[str, ...], path: str, expected: list[tuple[str, str]]) -> None:
    assert [(one.rule.pattern, one.at) for one in matches(rules_of_lines(*lines), path)] == expected


names = st.sampled_from(["a", "b", "c.py", "d"])
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
patterns = st.sampled_from(["a", "!a", "*", "**/b", "!**/c.py", "a/b", "!a/b", "*.py", "!*.py", "a/*/d", "d/**"])


@given(st.lists(patterns, max_size=6), paths)
def test_the_last_rule_that_speaks_decides(lines: list[str], path: str) -> None:
    rules = rules_of_lines(*lines)
    last = matches(rules, path)[-1:]
    assert [one.rule for one in last] == [rule for rule in (rules.deciding_rule(path),) if rule is not None]
    assert rules.excluded(path) == any(not one.rule.negated for one in last)


def test_a_directory_counts_what_is_below() -> None:
    everything = records("logs/a", "logs/b", "logs/keep", "src/x")
    rules = rules_of_lines("logs", "!logs/keep")
    told = tell("logs", everything, left(everything, rules), rules)
    assert (told.kind, told.kept, told.hidden) == ("dir", 1, 2)
    assert [one.rule.pattern for one in told.matches] == ["logs"]
    assert tell("", everything, left(everything, rules), rules).hidden == 2


def test_nothing_there_and_a_link_on_the_way() -> None:
    everything = records("src/x", links={"link": "src", "lost": "nowhere"})
    assert tell("src/y", everything, everything, None).kind is None
    assert tell("lost/x", everything, everything, None).link == "lost"


@pytest.mark.parametrize(
    ("path", "expected"),
    [("link/x", "src/x"), ("link/d", "src/d"), ("link", "link"), ("link/none", "link/none"), ("", ""), ("*", "*")],
)
def test_a_path_through_a_link_is_what_copy_takes(path: str, expected: str) -> None:
    everything = records("src/x", "src/d/y", links={"link": "src"})
    assert behind_links(path, everything) == expected


def test_what_is_kept_out_whole_is_one_entry() -> None:
    everything = records("a-b", "a/x", "a/y/z", "keep/no", "keep/yes", "top.log")
    rules = rules_of_lines("a", "keep/*", "!keep/yes", "*.log")
    found = ignored(everything, left(everything, rules), rules)
    assert [(one.path, one.is_dir, one.files, one.size, one.rule and one.rule.pattern) for one in found] == [
        ("a", True, 2, 4, "a"),
        ("keep/no", False, 1, 2, "keep/*"),
        ("top.log", False, 1, 2, "*.log"),
    ]
    assert ignored(everything, everything, None) == ()


@given(st.lists(patterns, max_size=6), st.lists(paths, max_size=8, unique=True))
def test_nothing_is_lost_between_in_and_out(lines: list[str], files: list[str]) -> None:
    files = [one for one in files if not any(other.startswith(f"{one}/") for other in files)]
    everything, rules = records(*files), rules_of_lines(*lines)
    kept = left(everything, rules)
    hidden = ignored(everything, kept, rules)
    assert sum(one.files for one in hidden) + sum(one.kind == "file" for one in kept) == len(files)
    assert all(one.rule is not None and not one.rule.negated for one in hidden)


def test_the_files_that_change_most() -> None:
    commits = (("a", "b", "gone"), ("a",), ("gone", "gone"), ("a", "c"))
    assert most_changing(commits, records("a", "b", "c", "still"), 2) == (Changed("a", 3), Changed("b", 1))
