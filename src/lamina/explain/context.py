"""Why a path is in a build context or not, and what the ignore rules keep out. Pure: from records and rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from msgspec import Struct

from lamina.dockerfile.ignore import IgnoreRule, IgnoreRules, rules_of
from lamina.keys.filetree import FileRecord, Kind
from lamina.keys.select import has_wildcard, lookup, select


class Match(Struct, frozen=True):
    """A rule that speaks of a path: `at` is what the rule matches, the path itself or a directory above it."""

    rule: IgnoreRule
    at: str


class Told(Struct, frozen=True):
    """What is to be said of a path. `kind` is None if nothing is there; `matches` in the ignore file's order, so the
    last one decides. `kept` and `hidden` count the files below a directory that are in the context and that are not.
    `link` is a symbolic link that the path goes through, which leads nowhere."""

    path: str
    kind: Kind | None
    matches: tuple[Match, ...] = ()
    kept: int = 0
    hidden: int = 0
    link: str | None = None


class Ignored(Struct, frozen=True):
    """Something that the rules keep out, for a directory (`is_dir`) with all below it: `files` regular files of `size`
    bytes together. `rule` is the one that decides about it."""

    path: str
    is_dir: bool
    files: int
    size: int
    rule: IgnoreRule | None


class Changed(Struct, frozen=True):
    """A file and how many commits changed it."""

    path: str
    commits: int


def matches(rules: IgnoreRules | None, path: str) -> tuple[Match, ...]:
    """All rules that speak of `path`, in order."""
    found = []
    for rule in rules.rules if rules is not None and path else ():
        at = next((above for above in prefixes(path) if speaks_of(rule, above)), None)
        if at is not None:
            found.append(Match(rule, at))
    return tuple(found)


@lru_cache(maxsize=256)
def alone(rule: IgnoreRule) -> IgnoreRules:
    """The rule as if there were no other."""
    return rules_of((rule.pattern,), rule.span)


def speaks_of(rule: IgnoreRule, path: str) -> bool:
    """Whether a rule matches `path` or a directory above it, whatever the other rules say."""
    return alone(rule).deciding_rule(path) is not None


def tell(path: str, everything: Sequence[FileRecord], kept: Sequence[FileRecord], rules: IgnoreRules | None) -> Told:
    """All about a path (relative to the context, clean; "" is the context). `kept` are the records that the rules
    leave, `everything` those of a walk without rules, both sorted by path."""
    record = lookup(everything, path)
    kind: Kind | None = "dir" if not path else record.kind if record else None
    above = [lookup(everything, prefix) for prefix in prefixes(path)[:-1]]
    inside, outside = 0, 0
    if kind == "dir":
        inside, total = _files_below(kept, path), _files_below(everything, path)
        outside = total - inside
    link = next((one.path for one in above if one is not None and one.kind == "link"), None)
    return Told(path, kind, matches(rules, path), inside, outside, link)


def behind_links(path: str, everything: Sequence[FileRecord]) -> str:
    """What COPY takes for `path`: the same, or what it leads to where a directory on the way is a symbolic link."""
    if not path or lookup(everything, path) is not None or has_wildcard(path):
        return path
    found = select(everything, path)
    return found[0].files[0].path if found and found[0].files else path


def ignored(
    everything: Sequence[FileRecord], kept: Sequence[FileRecord], rules: IgnoreRules | None
) -> tuple[Ignored, ...]:
    """What the rules keep out, by path; a directory of which nothing is in the context is one entry."""
    if rules is None:
        return ()
    there = {record.path for record in kept}
    tops: dict[str, FileRecord] = {}
    totals: dict[str, tuple[int, int]] = {}
    for record in everything:
        if record.path in there:
            continue
        top = next(prefix for prefix in prefixes(record.path) if prefix not in there)
        tops.setdefault(top, record)
        files, size = totals.get(top, (0, 0))
        totals[top] = (files + (record.kind == "file"), size + record.size)
    return tuple(
        Ignored(path, record.kind == "dir", *totals[path], rules.deciding_rule(path)) for path, record in tops.items()
    )


def most_changing(commits: Iterable[Sequence[str]], records: Sequence[FileRecord], top: int) -> tuple[Changed, ...]:
    """The files that most commits changed, of those that are there still."""
    counts = Counter(path for paths in commits for path in set(paths))
    there = [Changed(record.path, counts[record.path]) for record in records if record.path in counts]
    return tuple(sorted(there, key=lambda one: (-one.commits, one.path))[:top])


def prefixes(path: str) -> list[str]:
    """The directories above a path, outermost first, and the path."""
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)] if path else []


def is_below(path: str, directory: str) -> bool:
    """Whether `path` is `directory` ("" for the root) or below it."""
    return not directory or path == directory or path.startswith(f"{directory}/")


def _files_below(records: Sequence[FileRecord], directory: str) -> int:
    return sum(record.kind == "file" and is_below(record.path, directory) for record in records)
