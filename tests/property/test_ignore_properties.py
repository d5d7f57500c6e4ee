"""The compiled ignore rules against a slow matcher that walks rules, parents and characters one by one."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.diagnostics import BuildFailure
from lamina.dockerfile.globs import match
from lamina.dockerfile.ignore import parse_ignore

NAMES = ("a", "b", "ab", "a.b", "c")
PATHS = [
    "/".join(parts) for depth in (1, 2, 3, 4) for parts in itertools.product(("a", "b", "ab", "a.b"), repeat=depth)
]
PIECES = ["a", "b", "ab", ".", "*", "**", "?", "/", "**/", "/**", "[ab]", "[^a]", "\\a", "a/", "/b"]
patterns = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join)
lines = st.lists(st.tuples(st.booleans(), patterns), min_size=1, max_size=6)


def reference(rules: list[tuple[bool, str]], path: str) -> bool:
    parts = path.split("/")
    candidates = ["/".join(parts[: at + 1]) for at in range(len(parts))]
    state = False
    for negated, pattern in rules:
        if any(slow_match(cleaned(pattern), candidate) for candidate in candidates):
            state = not negated
    return state


def cleaned(pattern: str) -> str:
    kept: list[str] = [part for part in pattern.split("/") if part not in ("", ".")]
    result: list[str] = []
    for part in kept:
        if part == ".." and result and result[-1] != "..":
            result.pop()
        elif part != ".." or not pattern.startswith("/"):
            result.append(part)
    return "/".join(result) or ("/" if pattern.startswith("/") else ".")


def slow_match(pattern: str, path: str) -> bool:
    if pattern.startswith("**") and not any(mark in pattern[2:] for mark in "*?[]\\"):
        rest = pattern[2:]
        return path.endswith(rest) or (rest.startswith("/") and path == rest[1:])
    return walk(pattern, path)


def walk(pattern: str, path: str) -> bool:
    if not pattern:
        return not path
    if pattern.startswith("**"):
        rest = pattern[2:].removeprefix("/")
        if not rest:
            return True
        return walk(rest, path) or any(walk(rest, path[at + 1 :]) for at in range(len(path)) if path[at] == "/")
    if pattern[0] == "*":
        stop = (path + "/").index("/")
        return any(walk(pattern[1:], path[at:]) for at in range(stop + 1))
    if not path:
        return False
    if pattern[0] == "?":
        return path[0] != "/" and walk(pattern[1:], path[1:])
    if pattern[0] == "[":
        inside, _, rest = pattern[1:].partition("]")
        hit = path[0] not in inside[1:] if inside[0] == "^" else path[0] in inside
        return hit and walk(rest, path[1:])
    literal = pattern[1] if pattern[0] == "\\" else pattern[0]
    return path[0] == literal and walk(pattern[1 + (pattern[0] == "\\") :], path[1:])


@settings(max_examples=500, deadline=None)
@given(lines, st.lists(st.sampled_from(PATHS), min_size=1, max_size=25))
def test_rules_agree_with_the_slow_matcher(rules: list[tuple[bool, str]], paths: list[str]) -> None:
    text = "\n".join(("!" if negated else "") + pattern for negated, pattern in rules)
    if any(negated and cleaned(pattern) == "/" for negated, pattern in rules):
        return  # `!/` is refused; a table test says so
    compiled = parse_ignore(text.encode(), "ignore")
    for path in paths:
        assert compiled.excluded(path) is reference(rules, path), (text, path)
        rule = compiled.deciding_rule(path)
        assert compiled.excluded(path) is (rule is not None and not rule.negated)


@settings(max_examples=500, deadline=None)
@given(lines)
def test_a_walk_that_skips_loses_nothing(rules: list[tuple[bool, str]]) -> None:
    text = "\n".join(("!" if negated else "") + pattern for negated, pattern in rules)
    try:
        compiled = parse_ignore(text.encode(), "ignore")
    except BuildFailure:
        return
    for path in PATHS[::3]:
        parts = path.split("/")
        if not compiled.excluded(path):
            for depth in range(1, len(parts)):
                assert compiled.may_hold_included("/".join(parts[:depth])), (text, path)


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_any_bytes_give_rules_or_a_failure_with_a_place(data: bytes) -> None:
    try:
        rules = parse_ignore(data, "ignore")
    except BuildFailure as failure:
        assert failure.diagnostic.reference == "context-bad-ignore-pattern"
        assert failure.diagnostic.span is not None
    else:
        rules.excluded("a/b")


@settings(max_examples=500)
@given(patterns.filter(lambda text: "**" not in text), st.sampled_from(PATHS))
def test_globs_agree_with_the_slow_matcher(pattern: str, path: str) -> None:
    assert match(pattern, path) is walk(pattern, path)
