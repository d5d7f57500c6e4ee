"""Ignore lines for files that break the cache and that an image seldom needs. They change the image: suggestions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from lamina.dockerfile.ignore import IgnoreRules, rules_of
from lamina.plan.named import Reader

#: Pattern → why an image can do without.
_SELDOM = (
    (".git", "the history: every commit changes it"),
    (".github", "for the service that builds"),
    (".gitlab-ci.yml", "for the service that builds"),
    (".circleci", "for the service that builds"),
    ("Jenkinsfile", "for the service that builds"),
    ("Dockerfile*", "the build's own file"),
    (".dockerignore", "the build's own file"),
    ("docker-compose*.yml", "the build's own file"),
    ("compose*.yaml", "the build's own file"),
    ("README*", "for people"),
    ("CHANGELOG*", "for people"),
    ("CONTRIBUTING*", "for people"),
    ("docs", "for people"),
    ("tests", "unless the image runs them"),
    ("test", "unless the image runs them"),
    (".pre-commit-config.yaml", "for a checkout"),
    (".editorconfig", "for a checkout"),
    (".gitignore", "for a checkout"),
    (".gitattributes", "for a checkout"),
    (".vscode", "for a checkout"),
    (".idea", "for a checkout"),
)
#: What packages a project, and may do it with its README.
_PACKAGING = ("pyproject.toml", "setup.cfg", "setup.py", "MANIFEST.in", "package.json", "Cargo.toml")


class IgnoreLine(Struct, frozen=True):
    """A line for the ignore file, why, and the seconds that it would have saved on top of the order that was found."""

    pattern: str
    why: str
    saved: float


def ignore_lines(
    paths: Iterable[str],
    dockerfile: str,
    read: Reader,
    seconds: Callable[[Sequence[str]], float],
    *,
    least: float,
) -> tuple[IgnoreLine, ...]:
    """The lines that save more than `least` seconds each, best first. `paths` are those that broke the cache; `seconds`
    is what a replay loses with these lines more."""
    tops = {path.partition("/")[0] for path in paths}
    texts = [dockerfile, *(text for name in _PACKAGING if (text := read(name)) is not None)]
    before = seconds(())
    found = []
    for pattern, why in _SELDOM:
        rules = rules_of((pattern,))
        named = [top for top in tops if rules.excluded(top)]
        if named and not any(_is_named(top, texts) for top in named):
            saved = before - seconds((pattern,))
            if saved > least:
                found.append(IgnoreLine(pattern, why, saved))
    return tuple(sorted(found, key=lambda line: -line.saved))


def with_lines(rules: IgnoreRules | None, lines: Sequence[str]) -> IgnoreRules | None:
    """Rules with lines more, which come first, so that what is brought back by a `!` stays."""
    if not lines:
        return rules
    kept = [rule.pattern for rule in rules.rules] if rules is not None else []
    return rules_of([*lines, *kept])


def _is_named(name: str, texts: Iterable[str]) -> bool:
    pattern = re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w-])")
    return any(pattern.search(line) for text in texts for line in text.splitlines() if not line.startswith("#"))
