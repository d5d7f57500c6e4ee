"""Random trees under random ignore files: the walk finds what a plain walk over everything and `excluded` would."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.context.scan import open_root, scan
from lamina.dockerfile.ignore import IgnoreRules, parse_ignore

component = st.sampled_from(["a", "b", "c", "a-b", "a0"])
path = st.lists(component, min_size=1, max_size=4).map("/".join)
pattern = st.lists(st.sampled_from(["a", "b", "c", "*", "?", "**", "a*", "[ab]"]), min_size=1, max_size=3).map("/".join)
line = st.tuples(st.sampled_from(["", "", "!"]), pattern).map("".join)


def plain_walk(root: Path, rules: IgnoreRules) -> list[str]:
    """Everything, less what is excluded, and the directories that what is left lies in."""
    everything = [str(found.relative_to(root)) for found in root.rglob("*")]
    kept = {name for name in everything if not rules.excluded(name)}
    parents = {str(parent) for name in kept for parent in Path(name).parents} - {"."}
    return sorted(kept | parents)


@settings(max_examples=150, deadline=None)
@given(st.lists(path, max_size=12), st.lists(line, max_size=5))
def test_scan_is_a_plain_walk(files: list[str], ignore: list[str]) -> None:
    rules = parse_ignore("\n".join(ignore).encode(), ".dockerignore")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in files:
            target = root / name
            if not target.exists() and not any(parent.is_file() for parent in target.parents):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.touch()
        descriptor = open_root(folder)
        try:
            found = [record.path for record in scan(descriptor, rules).records]
        finally:
            os.close(descriptor)
        assert found == plain_walk(root, rules)
