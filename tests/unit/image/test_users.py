from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.layer_making import Tree, grow

from lamina.diagnostics import BuildFailure
from lamina.image.layerio import Layers
from lamina.ports.layers import User

PASSWD = b"""# comment:x:1:1::/:
root:x:0:0:root:/root:/bin/sh
app:x:1000:1001:App,,,:/home/app:/bin/sh
nohome:x:1002:1003:::
broken line
bad:x:one:two::/:
twin:x:1000:7::/twin:
short:x:1005:1006
"""
GROUP = b"""root:x:0:
app:x:1001:
docker:x:998:other,app
audio:x:29:app
own:x:1001:app
staff:x:50:
twins:x:60:twin
"""


def image(tmp_path: Path, tree: Tree | None = None) -> list[Path]:
    return [grow(tmp_path / "layer", tree or {"etc/passwd": PASSWD, "etc/group": GROUP})]


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("", User(0, 0, (), "/root")),
        ("root", User(0, 0, (), "/root")),
        ("0", User(0, 0, (), "/root")),
        ("app", User(1000, 1001, (998, 29), "/home/app")),
        ("1000", User(1000, 1001, (998, 29), "/home/app")),
        ("01000", User(1000, 1001, (998, 29), "/home/app")),
        ("app:staff", User(1000, 50, (), "/home/app")),
        ("app:50", User(1000, 50, (), "/home/app")),
        ("app:4242", User(1000, 4242, (), "/home/app")),
        ("app:", User(1000, 1001, (998, 29), "/home/app")),
        (":staff", User(0, 50, (), "/root")),
        ("4242", User(4242, 0, (), "/")),
        ("4242:docker", User(4242, 998, (), "/")),
        ("nohome", User(1002, 1003, (), "/")),
        ("short", User(1005, 1006, (), "/")),
    ],
)
def test_users(tmp_path: Path, text: str, user: User) -> None:
    assert Layers().resolve_user(image(tmp_path), text) == user


@pytest.mark.parametrize(
    ("text", "owner"),
    [
        ("0", (0, 0)),
        ("1000", (1000, 1000)),
        ("4242", (4242, 4242)),
        ("app", (1000, 1001)),
        ("app:staff", (1000, 50)),
        ("1:2", (1, 2)),
        ("1:staff", (1, 50)),
        (":staff", (0, 50)),
    ],
)
def test_owners(tmp_path: Path, text: str, owner: tuple[int, int]) -> None:
    assert Layers().resolve_owner(image(tmp_path), text) == owner


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("ap", "app"),
        ("nobody", "RUN useradd"),
        ("bad", "RUN useradd"),
        ("app:stuff", "staff"),
        ("app:none", "RUN groupadd"),
        ("99999999999", "2147483647"),
        ("4294967295", "2147483647"),
        ("²", "2147483647"),
    ],
)
def test_unknown_names(tmp_path: Path, text: str, hint: str) -> None:
    for resolve in (Layers().resolve_user, Layers().resolve_owner):
        with pytest.raises(BuildFailure) as caught:
            resolve(image(tmp_path), text)
        assert caught.value.diagnostic.reference == "step-unknown-user"
        assert hint in (caught.value.diagnostic.hint or "")


@pytest.mark.parametrize("tree", [{}, {"etc": b"a file"}, {"etc/passwd": None}, {"etc/passwd": "->passwd"}])
def test_images_without_a_passwd_file_know_numbers_only(tmp_path: Path, tree: Tree) -> None:
    layers = [grow(tmp_path / "bare", tree)]
    assert Layers().resolve_user(layers, "") == User(0, 0, (), "/")
    assert Layers().resolve_user(layers, "12:34") == User(12, 34, (), "/")
    with pytest.raises(BuildFailure):
        Layers().resolve_user(layers, "root")


def test_the_machines_own_files_are_never_read(tmp_path: Path) -> None:
    layers = [grow(tmp_path / "evil", {"etc": "->/../../../../../../../etc"})]
    with pytest.raises(BuildFailure):
        Layers().resolve_user(layers, "daemon")


def test_the_topmost_passwd_counts(tmp_path: Path) -> None:
    top = grow(tmp_path / "top", {"etc/passwd": b"app:x:5:6::/five:\n"})
    assert Layers().resolve_user([top, *image(tmp_path)], "app") == User(5, 6, (998, 29, 1001), "/five")
