"""The rules of the layout, each a failing test: direction of imports, purity, rings, sizes, names, dead ends."""

from __future__ import annotations

import ast
import statistics
from pathlib import Path

import pytest
from tests.architecture.imports import LAYERS, TESTING, Import, imports_of, impurities, rings, violations

PACKAGE = Path(__file__).parents[2] / "src" / "lamina"
FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.fixture(scope="module")
def imports() -> list[Import]:
    return imports_of(PACKAGE)


def test_imports_go_downwards_only(imports: list[Import]) -> None:
    assert violations(imports) == []


def test_pure_rooms_touch_nothing(imports: list[Import]) -> None:
    assert impurities(imports) == []


def test_no_module_imports_itself_in_a_ring(imports: list[Import]) -> None:
    assert rings(imports) == []


def test_only_the_wiring_of_the_command_joins_adapters_with_the_engine(imports: list[Import]) -> None:
    """Below the command no module sees both an adapter and the engine."""
    adapters = ("store", "context", "runtime", "image", "registry")
    for item in imports:
        room = item.module.split(".")[1] if "." in item.module else ""
        if room == "engine":
            assert item.target.split(".")[1:2] not in [[adapter] for adapter in adapters], item


def test_every_room_is_in_the_picture() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms <= {room for layer in LAYERS for room in layer} | {TESTING}


@pytest.mark.parametrize(
    ("module", "target", "forbidden"),
    [
        ("lamina.keys.compute", "lamina.engine.build.build", True),
        ("lamina.store.store", "lamina.image.diff.diff", True),
        ("lamina.engine.build", "lamina.store.store.Store", True),
        ("lamina.workshop.wire", "lamina.store.store.Store", False),
        ("lamina.plan.planner", "lamina.dockerfile.parse", False),
        ("lamina.report.table", "lamina.cli.main", True),
        ("lamina.workshop.wire", "lamina.sharing.cache.opened", True),
        ("lamina.api", "lamina.cli.options.Parser", True),
        ("lamina", "lamina.api.build", False),
        ("lamina.testing.memory", "lamina.store.store", False),
        ("lamina.store.store", "lamina.testing.memory", True),
    ],
)
def test_the_rule_itself_tells_up_from_down(module: str, target: str, forbidden: bool) -> None:
    assert bool(violations([Import(module, target, 1, False)])) is forbidden


def test_a_pure_room_that_reads_a_file_is_caught() -> None:
    assert impurities([Import("lamina.keys.compute", "os", 1, False)])
    assert impurities([Import("lamina.plan.args", "pathlib.Path", 1, False)])
    assert not impurities([Import("lamina.plan.args", "pathlib.PurePosixPath", 1, False)])


def test_a_ring_is_caught() -> None:
    pair = [Import("lamina.a", "lamina.b.x", 1, False), Import("lamina.b", "lamina.a.y", 1, False)]
    assert rings(pair) == [["lamina.a", "lamina.b", "lamina.a"], ["lamina.b", "lamina.a", "lamina.b"]]


def test_files_are_short() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert max(lengths.values()) <= 500, [str(path) for path, count in lengths.items() if count > 500]
    assert statistics.median(lengths.values()) <= 120


def test_no_bags() -> None:
    """A module is named by its job."""
    assert [path for path in FILES if path.stem in ("utils", "util", "helpers", "common", "misc")] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_says_what_it_is_for_and_imports_by_name(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if tree.body and path.name != "__init__.py":
        assert ast.get_docstring(tree), "a module begins with its purpose"
    stars = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"]
    assert stars == []
