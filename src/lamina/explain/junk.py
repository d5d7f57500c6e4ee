"""Well-known things that a build context holds by accident, and the ignore lines that keep them out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from msgspec import Struct

from lamina.dockerfile.globs import match
from lamina.dockerfile.ignore import IgnoreRules
from lamina.explain.context import matches, prefixes
from lamina.keys.filetree import FileRecord

_MADE = "made by a tool, and made again where it is needed"
_CACHE = "a tool's cache"
_LOCAL = "installed for this machine; the image installs its own"
_SECRET = "often holds secrets, which would be in the image for good"
_OUTPUT = "looks like the output of a build"
_EDITOR = "an editor's settings"


class _Kind(Struct, frozen=True):
    """A name (or pattern of a name). `anywhere`: at any depth; else at the root of the context alone, where a name
    as plain as `build` is likely to be what it seems."""

    name: str
    reason: str
    anywhere: bool = True
    is_dir: bool = True


_KINDS = (
    _Kind(".git", "the history: it changes with every commit, and a COPY of all with it"),
    _Kind(".hg", "the history: it changes with every commit, and a COPY of all with it"),
    _Kind(".svn", "the history: it changes with every commit, and a COPY of all with it"),
    _Kind("node_modules", _LOCAL),
    _Kind("bower_components", _LOCAL),
    _Kind(".venv", _LOCAL),
    _Kind("venv", _LOCAL),
    _Kind("__pycache__", _MADE),
    _Kind("*.egg-info", _MADE),
    _Kind("htmlcov", _MADE),
    _Kind(".pytest_cache", _CACHE),
    _Kind(".mypy_cache", _CACHE),
    _Kind(".ruff_cache", _CACHE),
    _Kind(".tox", _CACHE),
    _Kind(".nox", _CACHE),
    _Kind(".gradle", _CACHE),
    _Kind(".terraform", _CACHE),
    _Kind(".idea", _EDITOR),
    _Kind(".vscode", _EDITOR),
    _Kind("dist", _OUTPUT, anywhere=False),
    _Kind("build", _OUTPUT, anywhere=False),
    _Kind("target", _OUTPUT, anywhere=False),
    _Kind("*.py[co]", _MADE, is_dir=False),
    _Kind("*.log", "a log: it changes without a reason to build", is_dir=False),
    _Kind("*.sw[op]", "an editor's file for a crash", is_dir=False),
    _Kind(".DS_Store", "a file manager's settings", is_dir=False),
    _Kind(".coverage", _MADE, is_dir=False),
    _Kind(".env", _SECRET, is_dir=False),
    _Kind(".env.*", _SECRET, is_dir=False),
    _Kind(".npmrc", _SECRET, is_dir=False),
    _Kind(".netrc", _SECRET, is_dir=False),
    _Kind("id_rsa", _SECRET, is_dir=False),
    _Kind("id_ed25519", _SECRET, is_dir=False),
)
#: Templates of secrets, which are none.
_EXAMPLES = frozenset({".env.example", ".env.sample", ".env.template", ".env.dist"})


class Suggestion(Struct, frozen=True):
    """An ignore line that would keep `files` regular files of `size` bytes out; `example` is one of the paths."""

    pattern: str
    files: int
    size: int
    example: str
    reason: str


def suggestions(
    kept: Sequence[FileRecord], rules: IgnoreRules | None, wanted: Iterable[str] = ()
) -> tuple[Suggestion, ...]:
    """Ignore lines for well-known junk among the records of a context, what saves most first.

    `wanted` are the paths that the Dockerfile's sources name: what one of them is, or leads into, is no junk, nor is
    what the ignore file brings back by a `!`. What lies in junk counts for the junk, not once more for itself.
    """
    asked = {above for path in wanted for above in prefixes(path)}
    asked |= _brought_back(kept, rules)
    totals: dict[_Kind, tuple[int, int, str]] = {}
    for record in kept:
        found = _junk(record, asked)
        if found is not None and record.kind != "dir":
            kind, path = found
            files, size, example = totals.get(kind, (0, 0, path))
            totals[kind] = (files + (record.kind == "file"), size + record.size, example)
    made = [Suggestion(_pattern(kind), *told, kind.reason) for kind, told in totals.items()]
    return tuple(sorted(made, key=lambda one: (-one.size, one.pattern)))


def _pattern(kind: _Kind) -> str:
    return f"**/{kind.name}" if kind.anywhere else kind.name


def _junk(record: FileRecord, asked: set[str]) -> tuple[_Kind, str] | None:
    """What kind of junk a record is or lies in, and the path of that; the outermost counts."""
    above = prefixes(record.path)
    for depth, path in enumerate(above):
        is_dir = path != record.path or record.kind == "dir"
        name = path.rpartition("/")[2]
        if path in asked or name in _EXAMPLES:
            continue
        kind = _kind_of(name, is_dir)
        if kind is not None and (kind.anywhere or depth == 0):
            return kind, path
    return None


@lru_cache(maxsize=4096)
def _kind_of(name: str, is_dir: bool) -> _Kind | None:
    return next((kind for kind in _KINDS if kind.is_dir == is_dir and match(kind.name, name)), None)


def _brought_back(kept: Sequence[FileRecord], rules: IgnoreRules | None) -> set[str]:
    """The paths that a `!` names: whoever wrote it wants them."""
    if rules is None or not any(rule.negated for rule in rules.rules):
        return set()
    found: set[str] = set()
    for record in kept:
        rule = rules.deciding_rule(record.path)
        if rule is not None and rule.negated:
            found.update(one.at for one in matches(rules, record.path)[-1:])
    return found
