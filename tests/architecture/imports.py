"""Reads the imports of a package's modules, deferred ones too, and names what the layout forbids."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

#: From the top down; rooms in one line never import each other. The public API is `__init__` with `api`.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("cli",),
    ("api", "__init__"),
    ("sharing",),
    ("workshop",),
    ("report",),
    ("history",),
    ("engine", "lint", "explain", "store", "context", "runtime", "image", "registry", "advise"),
    ("ports",),
    ("keys",),
    ("plan",),
    ("dockerfile",),
    ("oci",),
    ("events",),
    ("diagnostics",),
    ("digest",),
)
#: Fakes for tests: they may see all rooms below `workshop`.
TESTING = "testing"
PURE = ("ports", "keys", "plan", "dockerfile", "oci", "events", "diagnostics", "digest", "explain", "lint", "advise")
IMPURE_MODULES = frozenset(
    {
        "os",
        "io",
        "time",
        "subprocess",
        "socket",
        "logging",
        "random",
        "shutil",
        "tempfile",
        "threading",
        "sqlite3",
        "urllib",
        "http",
        "ctypes",
        "secrets",
        "sys",
        "signal",
        "fcntl",
    }
)
#: What everything may import of the package's own top: its version.
_VERSION = ("lamina", "__version__")


class Import(NamedTuple):
    """`module` (dotted) imports `target` at `line`; `typing_only` if that stands below TYPE_CHECKING."""

    module: str
    target: str
    line: int
    typing_only: bool


def imports_of(root: Path) -> list[Import]:
    """All imports in the package below `root` (a folder called `lamina`)."""
    found: list[Import] = []
    for file in sorted(root.rglob("*.py")):
        parts = ("lamina", *file.relative_to(root).with_suffix("").parts)
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.extend(_imports(module, ast.parse(file.read_text(encoding="utf-8"))))
    return found


def violations(imports: list[Import]) -> list[str]:
    """Every import that goes up or sideways, with the chain of rooms that it makes."""
    return [
        f"{item.module}:{item.line} imports {item.target}: {_room(item.module)} → {_room(item.target)} is not downwards"
        for item in imports
        if item.target.startswith("lamina") and not _allowed(_room(item.module), _room(item.target))
    ]


def impurities(imports: list[Import]) -> list[str]:
    """Every import by which a pure room could touch the world. `ports` may name `pathlib.Path` as a type."""
    found = []
    for item in imports:
        room = _room(item.module)
        top = item.target.partition(".")[0]
        if room in PURE and (top in IMPURE_MODULES or (item.target == "pathlib.Path" and room != "ports")):
            found.append(f"{item.module}:{item.line} imports {item.target}: {room} touches no file, clock or process")
    return found


def rings(imports: list[Import]) -> list[list[str]]:
    """Rings of modules that import each other, deferred imports counted, those for types alone not."""
    graph: dict[str, set[str]] = {}
    modules = {item.module for item in imports}
    for item in imports:
        target = item.target if item.target in modules else item.target.rpartition(".")[0]
        if not item.typing_only and target in modules and target not in (item.module, "lamina"):
            graph.setdefault(item.module, set()).add(target)
    return [ring for start in sorted(graph) if (ring := _ring_from(start, graph))]


def _ring_from(start: str, graph: dict[str, set[str]]) -> list[str] | None:
    """A way from a module back to itself, the shortest."""
    ways = [[start]]
    seen: set[str] = set()
    while ways:
        way = ways.pop(0)
        for step in sorted(graph.get(way[-1], ())):
            if step == start:
                return [*way, start]
            if step not in seen:
                seen.add(step)
                ways.append([*way, step])
    return None


def _allowed(room: str, target: str) -> bool:
    if room == target or target == "version":
        return True
    if room == TESTING:
        return _rank(target) > _rank("workshop")
    if target == TESTING:
        return False
    return _rank(room) < _rank(target) or (room, target) in (("api", "__init__"), ("__init__", "api"))


def _rank(room: str) -> int:
    return next(rank for rank, rooms in enumerate(LAYERS) if room in rooms)


def _room(module: str) -> str:
    """The room of a dotted name below `lamina`."""
    if module.split(".") == list(_VERSION):
        return "version"
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def _imports(module: str, tree: ast.Module) -> Iterator[Import]:
    typing_lines = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, node.lineno, node.lineno in typing_lines)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield Import(module, f"{node.module}.{alias.name}", node.lineno, node.lineno in typing_lines)
