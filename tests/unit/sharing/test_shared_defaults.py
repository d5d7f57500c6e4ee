"""Which shared caches a build has by configuration, and whose word counts for what."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.diagnostics import BuildFailure, Diagnostic
from lamina.events import Reporter
from lamina.sharing.defaults import settled
from lamina.workshop.user_caches import UserCaches, user_caches


class Heard(Reporter):
    def __init__(self) -> None:
        self.warnings: list[Diagnostic] = []

    def warning(self, diagnostic: Diagnostic) -> None:
        self.warnings.append(diagnostic)


def environment(folder: Path, text: str) -> dict[str, str]:
    file = folder / "lamina" / "config.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return {"XDG_CONFIG_HOME": str(folder)}


def places(found: object) -> tuple[list[str], list[str]]:
    assert isinstance(found, tuple)
    read, written = found
    return [one.place["ref"] for one in read], [one.place["ref"] for one in written]


def test_nothing_is_said_anywhere(tmp_path: Path) -> None:
    assert settled(None, None, (), {"HOME": str(tmp_path)}, Heard()) is None
    assert settled((), (), ("r.example/a",), {"HOME": str(tmp_path)}, Heard()) is None


def test_the_user_s_file_and_the_options(tmp_path: Path) -> None:
    mine = environment(tmp_path, 'cache-from = ["r.example/a"]\ncache-to = ["r.example/b"]\n')
    assert places(settled(None, None, (), mine, Heard())) == (["r.example/a"], ["r.example/b"])
    assert places(settled(["r.example/c"], None, (), mine, Heard())) == (["r.example/c"], ["r.example/b"])
    assert places(settled(None, ["r.example/c"], (), mine, Heard())) == (["r.example/a"], ["r.example/c"])
    assert settled((), (), (), mine, Heard()) is None


@pytest.mark.parametrize(
    ("trusted", "name", "counts"),
    [
        ("r.example", "r.example/team/cache", True),
        ("r.example/team", "r.example/team/cache", True),
        ("r.example/team/", "r.example/team", True),
        ("r.example/team", "r.example/teams/cache", False),
        ("r.example/team", "r.example/cache", False),
        ("r.example", "r.example.evil.test/team/cache", False),
        ("r.example:5000", "r.example/team", False),
        ("docker.io/team", "team/cache", True),
        ("", "r.example/team", False),
    ],
)
def test_what_a_project_names_counts_where_the_user_trusts_it(
    tmp_path: Path, trusted: str, name: str, counts: bool
) -> None:
    mine = environment(tmp_path, f'trusted-caches = ["{trusted}"]\n' if trusted else "")
    heard = Heard()
    found = settled(None, None, (name,), mine, heard)
    assert (found is not None) is counts
    assert [one.reference for one in heard.warnings] == ([] if counts else ["usage-cache"])
    if not counts:
        assert name in heard.warnings[0].message and "trusted-caches" in (heard.warnings[0].hint or "")
    quiet = Heard()
    settled((), None, (name,), mine, quiet)
    assert quiet.warnings == []


def test_a_trusted_cache_is_read_only(tmp_path: Path) -> None:
    mine = environment(tmp_path, 'trusted-caches = ["r.example"]\n')
    assert places(settled(None, None, ("r.example/a",), mine, Heard())) == (["r.example/a"], [])


def test_keys_of_the_user_s_file(tmp_path: Path) -> None:
    mine = environment(tmp_path, 'cache-to = ["type=local,dest=/c"]\n[registry."r.example"]\ninsecure = true\n')
    assert user_caches(mine) == UserCaches(cache_to=("type=local,dest=/c",))
    for wrong in ("cache-from = 3", 'cache-to = "r.example/a"', "trusted-caches = [1]", 'cache-form = ["a"]'):
        with pytest.raises(BuildFailure) as caught:
            user_caches(environment(tmp_path, wrong))
        assert caught.value.diagnostic.reference == "usage-configuration"
