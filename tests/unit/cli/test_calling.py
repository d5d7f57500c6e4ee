"""Reading `--call`."""

from __future__ import annotations

import pytest

from lamina.cli.calling import Call, parse_call
from lamina.diagnostics import BuildFailure


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("build", Call("build")),
        ("check", Call("check")),
        ("lint", Call("check")),
        ("outline", Call("outline")),
        ("targets,format=json", Call("targets", json=True)),
        ("format=json,targets", Call("targets", json=True)),
        ("outline,format=text", Call("outline")),
        ("check,ignorestatus=true,format=json", Call("check", json=True, ignore_status=True)),
        ("check,ignorestatus=0", Call("check")),
    ],
)
def test_what_is_understood(text: str, expected: Call) -> None:
    assert parse_call(text) == expected


@pytest.mark.parametrize("text", ["", "nix", "targets,outline", "targets,format=yaml", "check,ignorestatus=x", "a=b"])
def test_what_is_not(text: str) -> None:
    with pytest.raises(BuildFailure) as caught:
        parse_call(text)
    assert caught.value.diagnostic.reference == "usage-call"
