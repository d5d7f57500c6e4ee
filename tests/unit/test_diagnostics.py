"""Failures as data: references, exit statuses, and that every reference in the source has a family."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from lamina.diagnostics import FAMILIES, BuildFailure, Diagnostic, Span, exit_code

SOURCE = Path(__file__).parents[2] / "src" / "lamina"
_RAISED = re.compile(r"""BuildFailure\(\s*f?"([^"]+)\"""")


def test_a_failure_carries_its_diagnostic() -> None:
    span = Span("Dockerfile", 3, 1, 3, 9)
    failure = BuildFailure("step-failed", "it failed", span=span, cause="exit 1", hint="look", excerpt=("a", "b"))
    assert str(failure) == "it failed"
    assert failure.diagnostic == Diagnostic("step-failed", "it failed", span, "exit 1", "look", "error", ("a", "b"))
    assert failure.exit_code == 5


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_has_an_exit_status(family: str) -> None:
    status, about = FAMILIES[family]
    assert exit_code(f"{family}-anything-else") == exit_code(family) == status
    assert 0 < status < 256
    assert about


def test_exit_statuses_are_distinct() -> None:
    statuses = [status for status, _ in FAMILIES.values()]
    assert len(set(statuses)) == len(statuses)


@pytest.mark.parametrize("reference", ["", "nonsense", "Registry-x", "regist-x", "-registry"])
def test_unknown_families_are_a_bug(reference: str) -> None:
    with pytest.raises(KeyError):
        BuildFailure(reference, "message")


def test_diagnostics_do_not_change_and_travel_as_json() -> None:
    diagnostic = Diagnostic("context-missing", "gone", Span("f", 1, 2, 3, 4), excerpt=("x",))
    with pytest.raises(AttributeError):
        diagnostic.message = "other"  # type: ignore[misc]
    assert msgspec.json.decode(msgspec.json.encode(diagnostic), type=Diagnostic) == diagnostic


def test_references_in_the_source_belong_to_a_family() -> None:
    found: dict[str, str] = {}
    for file in SOURCE.rglob("*.py"):
        for match in _RAISED.finditer(file.read_text()):
            found[match[1]] = file.name
    assert len(found) > 20
    # The family of an f-string is the text before its first dash or brace; one that begins with a brace tells nothing.
    families = {name: re.split(r"[-{]", name)[0] for name in found if not name.startswith("{")}
    assert {name: found[name] for name, family in families.items() if family not in FAMILIES} == {}


def test_a_failure_says_what_it_is_about_once() -> None:
    failure = BuildFailure("image-bad-tar", "it is no tar", hint="h")
    assert failure.about("x.tar").diagnostic.message == "x.tar: it is no tar"
    assert failure.about("x.tar").diagnostic.message == "x.tar: it is no tar"
    assert failure.diagnostic.hint == "h"
