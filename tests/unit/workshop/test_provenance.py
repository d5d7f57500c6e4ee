"""Reading --provenance, --sbom and --attest."""

from __future__ import annotations

import pytest

from lamina.diagnostics import BuildFailure
from lamina.workshop.provenance import parse_mode

Given = tuple[tuple[str, ...], str | None, str | None]


def given(attest: tuple[str, ...] = (), provenance: str | None = None, sbom: str | None = None) -> Given:
    return attest, provenance, sbom


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (given(), None),
        (given(provenance="false", sbom="false"), None),
        (given(provenance="0", sbom="False"), None),
        (given(("type=provenance,disabled=true", "type=sbom,disabled=1")), None),
        (given(provenance=""), None),
        (given(provenance="true"), "min"),
        (given(provenance="mode=max"), "max"),
        (given(provenance="mode=min,version=v1"), "min"),
        (given(provenance="mode=max,disabled=true"), None),
        (given(("type=provenance",)), "min"),
        (given(("type=provenance,mode=max",)), "max"),
        # Other attributes, such as a builder's id, are for BuildKit.
        (given(("type=provenance,mode=max,builder-id=https://ci.example/1",)), "max"),
        # The shorthand wins.
        (given(("type=provenance,mode=max",), provenance="false"), None),
        (given(("type=sbom",), sbom="false"), None),
    ],
)
def test_what_is_asked_for(arguments: Given, expected: str | None) -> None:
    assert parse_mode(*arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "reference"),
    [
        (given(sbom="true"), "usage-not-there"),
        (given(("type=sbom",)), "usage-not-there"),
        (given(sbom="generator=x/y"), "usage-not-there"),
        (given(provenance="max"), "usage-attest"),
        (given(provenance="mode=all"), "usage-attest"),
        (given(provenance="mode=max,version=v0.2"), "usage-attest"),
        (given(("mode=max",)), "usage-attest"),
        (given(("type=other",)), "usage-attest"),
    ],
)
def test_what_is_refused(arguments: Given, reference: str) -> None:
    with pytest.raises(BuildFailure) as caught:
        parse_mode(*arguments)
    assert caught.value.diagnostic.reference == reference
