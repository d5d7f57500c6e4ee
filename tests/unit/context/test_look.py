"""A context looked at with its rules and without, and paths as users write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.context.inspect import look, place
from lamina.diagnostics import BuildFailure


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".", ""),
        ("./a//b/", "a/b"),
        ("a/../b", "b"),
        ("..", None),
        ("../x", None),
        ("a/../../x", None),
        ("{}", ""),
        ("{}/", ""),
        ("{}/a/b", "a/b"),
        ("{}/link", "link"),
        ("{}/self", "self"),
        ("{}/a/../c", "c"),
        ("{}-sibling/x", None),
        ("{}/..", None),
        ("{}/../alias", ""),
        ("{}/../alias/a", "a"),
        ("/", None),
        ("/etc/passwd", None),
    ],
)
def test_a_path_is_placed_in_the_context(tmp_path: Path, path: str, expected: str | None) -> None:
    context = tmp_path / "context"
    (context / "a").mkdir(parents=True)
    (context / "link").symlink_to("/etc")
    (context / "self").symlink_to(".")
    (tmp_path / "alias").symlink_to("context")
    assert place(context, path.format(context)) == expected
    assert place(tmp_path / "alias", path.format(context)) == expected


def test_both_ways(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    (tmp_path / ".dockerignore").write_text("b\n.dockerignore\n")
    found = look(tmp_path, None)
    assert [one.path for one in found.kept.records] == ["a"]
    assert [one.path for one in found.everything.records] == [".dockerignore", "a", "b"]
    assert look(tmp_path, None, whole=False).everything == found.kept
    with pytest.raises(BuildFailure, match="does not exist"):
        look(tmp_path / "nope", None)
