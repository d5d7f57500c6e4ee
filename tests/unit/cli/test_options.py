"""Options: errors that help, the store's place, and values that several commands read."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from types import ModuleType

import pytest

from lamina.cli import build, key, plan
from lamina.cli.options import make_parser
from lamina.diagnostics import BuildFailure, Diagnostic
from lamina.oci.platform import Platform
from lamina.workshop.parsing import host_platform, pairs, platform, reference, store_root, suggestion


def refused(*words: str) -> Diagnostic:
    parser = make_parser("thing", "do a thing")
    parser.add_argument("--no-cache", action="store_true")
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--progress", choices=("plain", "tty"))
    with pytest.raises(BuildFailure) as caught:
        parser.parse_args(words)
    assert caught.value.exit_code == 2
    return caught.value.diagnostic


def test_an_unknown_option_is_named_with_the_one_that_was_meant() -> None:
    diagnostic = refused("--no-cahce")
    assert diagnostic.reference == "usage-unknown-option"
    assert diagnostic.message == "lamina thing has no option --no-cahce"
    assert diagnostic.hint == "did you mean --no-cache?"


def test_an_option_with_a_value_is_named_without_it() -> None:
    assert refused("--job=4").message == "lamina thing has no option --job"
    assert refused("--job=4").hint == "did you mean --jobs?"


def test_an_option_that_resembles_nothing_leads_to_the_help() -> None:
    assert refused("--xyzzy").hint == "`lamina thing --help` lists the options"


def test_options_cannot_be_shortened() -> None:
    """A shortened one would mean something else as soon as another option begins like it."""
    assert refused("--no-c").reference == "usage-unknown-option"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("extra",), "extra"),
        (("--jobs", "many"), "many"),
        (("--jobs",), "--jobs"),
        (("--progress", "loud"), "loud"),
    ],
)
def test_bad_values_are_named(words: tuple[str, ...], told: str) -> None:
    diagnostic = refused(*words)
    assert diagnostic.reference == "usage-bad-arguments"
    assert told in diagnostic.message


def test_suggestions() -> None:
    assert suggestion("bulid", ["build", "run"]) == "did you mean build?"
    assert suggestion("zzz", ["build", "run"]) is None


# --- the store -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("given", "environment", "uid", "expected"),
    [
        ("/given", {"LAMINA_ROOT": "/env", "XDG_DATA_HOME": "/xdg"}, 0, "/given"),
        (None, {"LAMINA_ROOT": "/env", "XDG_DATA_HOME": "/xdg"}, 0, "/env"),
        (None, {"LAMINA_ROOT": "/env", "XDG_DATA_HOME": "/xdg"}, 1000, "/env"),
        (None, {"LAMINA_ROOT": "", "XDG_DATA_HOME": "/xdg"}, 0, "/var/lib/lamina"),
        (None, {"XDG_DATA_HOME": "/xdg"}, 0, "/var/lib/lamina"),
        (None, {"XDG_DATA_HOME": "/xdg"}, 1000, "/xdg/lamina"),
        (None, {}, 1000, "/home/me/.local/share/lamina"),
    ],
)
def test_where_the_store_is(
    given: str | None, environment: dict[str, str], uid: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LAMINA_ROOT", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert store_root(given) == Path(expected)


# --- values ----------------------------------------------------------------------------------------------------------
def test_platforms() -> None:
    assert platform("linux/arm64") == Platform("linux", "arm64")
    assert platform("arm64") == Platform("linux", "arm64")
    assert platform(None) == platform("") == host_platform()
    assert host_platform().os == "linux"


@pytest.mark.parametrize("text", ["linux/amd64,linux/arm64", "a/b/c/d", "no such", "/"])
def test_bad_platforms(text: str) -> None:
    with pytest.raises(BuildFailure) as caught:
        platform(text)
    assert caught.value.diagnostic.reference == "usage-platform"


def test_image_names() -> None:
    assert str(reference("app")) == "docker.io/library/app:latest"
    with pytest.raises(BuildFailure) as caught:
        reference("App:1")
    assert caught.value.diagnostic.reference == "usage-image-name"


def test_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_HERE", "x")
    monkeypatch.delenv("NOWHERE", raising=False)
    assert pairs(["A=1", "B=", "C=a=b", "A=2"], "--label") == {"A": "2", "B": "", "C": "a=b"}
    assert pairs(["FROM_HERE", "NOWHERE"], "--build-arg", from_environment=True) == {"FROM_HERE": "x"}


@pytest.mark.parametrize(("word", "from_environment"), [("A", False), ("=1", False), ("=1", True), ("", True)])
def test_bad_pairs(word: str, from_environment: bool) -> None:
    with pytest.raises(BuildFailure, match="--label"):
        pairs([word], "--label", from_environment=from_environment)


@pytest.mark.parametrize("module", [plan, key])
def test_the_command_line_of_a_build_is_taken_over(module: ModuleType) -> None:
    """Whoever asks what a build would do writes another word in front of its options."""
    taken, built = make_parser("x", "look"), make_parser("build", "build")
    module.configure(taken)
    build.configure(built)
    shown = {text for action in built._actions if action.help != argparse.SUPPRESS for text in action.option_strings}
    assert shown - {"--check", "--call"} <= {text for action in taken._actions for text in action.option_strings}
