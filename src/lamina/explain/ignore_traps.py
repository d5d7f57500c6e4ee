"""Ignore rules that do something else than their writer is likely to think: mostly, what they do in `.gitignore`. Pure.

Rule: Docker's matching (see `lamina.dockerfile.ignore`) against gitignore(5). Only differences that the files of this
context show are told, and rules that none of them matches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lamina.diagnostics import Diagnostic, Severity
from lamina.dockerfile.ignore import IgnoreRule, IgnoreRules, rules_of
from lamina.explain.context import alone, prefixes, speaks_of
from lamina.keys.filetree import FileRecord


def traps(
    everything: Sequence[FileRecord], kept: Sequence[FileRecord], rules: IgnoreRules | None
) -> tuple[Diagnostic, ...]:
    """What deserves a look, in the rules' order: `context-ignore-…`, warnings and infos with the rule's place.

    `kept` are the records that the rules leave, `everything` those of a walk without rules, both sorted by path.
    """
    if rules is None:
        return ()
    found: list[Diagnostic] = []
    for index, rule in enumerate(rules.rules):
        # What a rule keeps out is not in the context already; what a negation does not bring back is not there.
        narrow = list(_at_root_only(rules, index, rule, everything if rule.negated else kept))
        single = alone(rule)
        if any(single.deciding_rule(record.path) is not None for record in everything):
            found += _slashes(rule, everything)
            if rule.negated:
                found += _below_excluded(rules.rules[:index], rule, kept)
        elif not narrow:
            found.append(_unmatched(rule))
        found += narrow
    return tuple(found)


def _unmatched(rule: IgnoreRule) -> Diagnostic:
    bare = rule.pattern.removeprefix("!").strip()
    hint = None
    if bare.startswith("#"):
        hint = "a comment begins in the first column"
    elif " #" in bare:
        hint = "a comment stands on a line of its own: here the # is part of the pattern"
    elif bare.startswith(("~", "../")) or bare.strip("/.") == "":
        hint = "patterns are paths below the root of the context"
    elif "\\" in bare:
        hint = "a backslash makes the next character literal; directories are parted by /"
    return _finding("unmatched", rule, "matches nothing in this context", hint, "info")


def _slashes(rule: IgnoreRule, everything: Sequence[FileRecord]) -> Iterator[Diagnostic]:
    """Slashes that mean something in .gitignore and nothing here."""
    bare = rule.pattern.removeprefix("!").strip()
    if bare.endswith("/") and bare.strip("/"):
        file = next(
            (one.path for one in everything if one.kind != "dir" and _names_it(rule, one.path)),
            None,
        )
        if file is not None:
            told = f"also matches {file!r}, which is no directory: the slash at the end says nothing here"
            yield _finding("trailing-slash", rule, told, f"write {bare}** for what is below directories alone")
    if bare.startswith("/") and bare.strip("/"):
        plain = bare.lstrip("/")
        told = f"is the same as {plain}: every pattern counts from the root, with a slash in front or without"
        yield _finding("leading-slash", rule, told, f"write **/{plain} to match it at any depth", "info")


def _below_excluded(
    earlier: Sequence[IgnoreRule], rule: IgnoreRule, kept: Sequence[FileRecord]
) -> Iterator[Diagnostic]:
    """A `!` that brings something back from a directory that is kept out, which .gitignore cannot."""
    before = rules_of([one.pattern for one in earlier], rule.span)
    for record in kept:
        above = prefixes(record.path)[:-1]
        if record.kind == "dir" or not speaks_of(rule, record.path) or any(speaks_of(rule, one) for one in above):
            continue
        parent = next((one for one in above if before.excluded(one)), None)
        if parent is not None:
            told = f"brings back {record.path!r} although {parent!r} is kept out, which .gitignore would not"
            hint = f"{parent}/* in place of {parent} means the same to both"
            yield _finding("below-excluded", rule, told, hint, "info")
            return


def _at_root_only(
    rules: IgnoreRules, index: int, rule: IgnoreRule, records: Sequence[FileRecord]
) -> Iterator[Diagnostic]:
    """A bare name or pattern: in .gitignore it holds at any depth, here at the root alone."""
    bare = rule.pattern.removeprefix("!").strip().rstrip("/")
    if "/" in bare or bare.startswith("**") or bare in ("", ".", ".."):
        return
    wider = f"{'!' if rule.negated else ''}**/{bare}"
    deep = rules_of((wider,), rule.span)
    lines = [one.pattern for one in rules.rules]
    changed = rules_of([*lines[:index], wider, *lines[index + 1 :]], rule.span)
    missed = [
        record.path
        for record in records
        if record.kind != "dir"
        and "/" in record.path
        and not record.path.startswith(".git/")
        and deep.deciding_rule(record.path) is not None
        and rules.excluded(record.path) == rule.negated
        and changed.excluded(record.path) != rule.negated
        # A negation cannot reach below what is kept out, in .gitignore.
        and not (rule.negated and any(map(rules.excluded, prefixes(record.path)[:-1])))
    ]
    if missed:
        first = next(one for one in prefixes(missed[0]) if deep.deciding_rule(one) is not None)
        stay = f"{len(missed)} files stay" if len(missed) > 1 else "1 file stays"
        told = f"matches at the root of the context alone: {stay} {'out' if rule.negated else 'in'}, see {first!r}"
        yield _finding("root-only", rule, told, f"write {wider}")


def _names_it(rule: IgnoreRule, path: str) -> bool:
    """Whether a rule matches a path itself and no directory above it."""
    return speaks_of(rule, path) and not any(speaks_of(rule, above) for above in prefixes(path)[:-1])


def _finding(name: str, rule: IgnoreRule, message: str, hint: str | None, severity: Severity = "warning") -> Diagnostic:
    return Diagnostic(f"context-ignore-{name}", f"{rule.pattern} {message}", rule.span, None, hint, severity)
