"""Options that Docker has: switches, those without effect, those that are refused with a hint."""

from __future__ import annotations

import pytest

from lamina.cli.habits import refused, switch, without_effect
from lamina.cli.options import Parser, make_parser
from lamina.diagnostics import BuildFailure


@pytest.fixture
def parser() -> Parser:
    made = make_parser("thing", "do it")
    switch(made.add_argument, "-p", "--pull", help="pull")
    without_effect(made.add_argument, "--rm")
    without_effect(made.add_argument, "--name", value=True)
    refused(made.add_argument, {"-m --memory": "use a group", "--squash": "copy"})
    made.add_argument("context", nargs="?")
    return made


@pytest.mark.parametrize(
    ("words", "pull"),
    [
        ((), False),
        (("--pull",), True),
        (("-p", "."), True),
        (("--pull=true",), True),
        (("--pull=false",), False),
        (("--pull", "--pull=false"), False),
        (("--rm", "--rm=true", "--rm=false", "--name", "x", "--name=y", "--squash=false"), False),
    ],
)
def test_what_is_taken(parser: Parser, words: tuple[str, ...], pull: bool) -> None:
    assert parser.parse_args(words).pull is pull


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("-m", "1g"), "use a group"),
        (("--memory=1g",), "use a group"),
        (("--squash",), "copy"),
        (("--squash", "."), "copy"),
    ],
)
def test_what_is_refused(parser: Parser, words: tuple[str, ...], hint: str) -> None:
    with pytest.raises(BuildFailure) as caught:
        parser.parse_args(words)
    told = caught.value.diagnostic
    assert (told.reference, told.hint) == ("usage-not-there", hint)


def test_none_of_this_is_suggested_or_in_the_help(parser: Parser) -> None:
    page = parser.format_help()
    assert "--pull" in page
    assert not any(word in page for word in ("--rm", "--memory", "--name", "=true"))
    with pytest.raises(BuildFailure) as caught:
        parser.parse_args(["--memor"])
    assert caught.value.diagnostic.hint == "`lamina thing --help` lists the options"
