"""What a Dockerfile offers: its targets, and the arguments, secrets, agents and caches of one of them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.planning import options

from lamina.diagnostics import BuildFailure
from lamina.dockerfile import parse
from lamina.oci.config import ImageConfig, RootFS, RuntimeConfig
from lamina.plan.parameters import Parameters, parameters, targets

FILE = """\
# GO_VERSION is the compiler's version
ARG GO_VERSION=1.22
ARG BASE=golang:${GO_VERSION}
ARG UNUSED=1

# base has what all stages need
FROM --platform=$BUILDPLATFORM ${BASE} AS base
ARG TARGETARCH
RUN --mount=type=cache,target=/root/.cache true

# a line that describes nothing
# build makes the program
FROM base AS build
# TAGS are build tags
# OWNER is who made it
ARG TAGS="a b" OWNER
RUN --mount=type=secret,id=token true
RUN --mount=type=ssh --mount=type=secret,id=token,required true

FROM scratch
ARG OTHER

FROM scratch AS release
ARG VERSION
COPY --from=build /x /x
"""


def of(text: str, **changes: Any) -> Parameters:
    return parameters(parse(text.encode(), "Dockerfile"), options(**changes))


def arguments(found: Parameters) -> list[tuple[str, str | None, str]]:
    return [(one.name, one.value, one.description) for one in found.arguments]


def test_targets_are_as_written() -> None:
    found = targets(parse(FILE.encode(), "Dockerfile"))
    assert [(one.name, one.description, one.default, one.base, one.platform, one.span.line) for one in found] == [
        ("base", "has what all stages need", False, "${BASE}", "$BUILDPLATFORM", 7),
        ("build", "makes the program", False, "base", "", 13),
        ("", "", False, "scratch", "", 20),
        ("release", "", True, "scratch", "", 23),
    ]


def test_a_file_without_targets() -> None:
    with pytest.raises(BuildFailure) as caught:
        targets(parse(b"ARG A", "Dockerfile"))
    assert caught.value.diagnostic.reference == "dockerfile-no-from"


def test_what_the_target_and_all_that_it_needs_can_be_given() -> None:
    found = of(FILE)
    assert (found.name, found.description) == ("release", "")
    assert arguments(found) == [
        ("GO_VERSION", "1.22", "is the compiler's version"),
        ("BASE", "golang:1.22", ""),
        ("TAGS", "a b", "are build tags"),
        ("OWNER", None, "is who made it"),
        ("VERSION", None, ""),
    ]
    assert [(one.id, one.required, one.span.line) for one in found.secrets] == [("token", True, 17)]
    assert [(one.id, one.required) for one in found.ssh] == [("default", False)]
    assert [(one.id, one.span.line) for one in found.caches] == [("/root/.cache", 9)]


def test_another_target_and_given_values() -> None:
    found = of(FILE, target="base", build_args={"GO_VERSION": "2", "TAGS": "x"})
    assert (found.name, found.description) == ("base", "has what all stages need")
    assert arguments(found) == [("GO_VERSION", "2", "is the compiler's version"), ("BASE", "golang:2", "")]
    assert found.secrets == found.ssh == ()
    assert arguments(of(FILE, target="2")) == [("OTHER", None, "")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM scratch\n", []),
        # A global argument is the one that counts, with its line's description or else the stage's.
        ("ARG A=1\nFROM scratch\n# A is a\nARG A\n", [("A", "1", "is a")]),
        ("# A is outer\nARG A=1\nFROM scratch\n# A is a\nARG A\n", [("A", "1", "is outer")]),
        ("ARG A=1\nFROM scratch\nARG A=2\n", [("A", "2", "")]),
        # One that nothing refers to changes nothing.
        ("ARG A=1\nFROM scratch\nRUN echo $A\n", []),
        ("ARG A=1\nARG B=${A:-0}\nFROM scratch\nARG B\n", [("A", "1", ""), ("B", "1", "")]),
        # ENV of the same name hides the argument and does not change it.
        ("FROM scratch\nARG A=1\nENV A=2\n", [("A", "1", "")]),
        ("FROM scratch\nENV A=2\nARG B=$A\n", [("B", "2", "")]),
        # Platform arguments are given by --platform.
        ("FROM scratch\nARG TARGETOS TARGETARCH=x\n", [("TARGETARCH", "x", "")]),
        # What only the base image knows stays as it is written.
        ("FROM debian\nARG A=$HOME/x\n", [("A", "$HOME/x", "")]),
        # The target's own line wins over that of a stage below.
        ("FROM scratch AS a\nARG X=1\nFROM a\nARG X=2\n", [("X", "2", "")]),
        ("FROM scratch AS a\nARG X=1\nFROM a\nARG Y=$X\n", [("X", "1", ""), ("Y", "1", "")]),
        # An empty comment cuts the lines above it off.
        ("FROM scratch\n# A is a\n#\nARG A\n", [("A", None, "")]),
        ("FROM scratch\n# AB is a\nARG A\n", [("A", None, "")]),
        # A trigger of a stage is a line of those that stand on it.
        ("FROM scratch AS a\nONBUILD ARG T=1\nFROM a\n", [("T", "1", "")]),
    ],
)
def test_arguments(text: str, expected: list[tuple[str, str | None, str]]) -> None:
    assert arguments(of(text)) == expected


def test_a_known_base_image_tells_its_variables_and_triggers() -> None:
    runtime = RuntimeConfig(env=("HOME=/h",), on_build=("ARG TRIGGERED=1",))
    image = ImageConfig("amd64", "linux", RootFS("layers", ()), config=runtime)
    dockerfile = parse(b"FROM debian\nARG A=$HOME/x\n", "Dockerfile")
    found = parameters(dockerfile, options(), lambda ref: image if ref.name == "debian" else None)
    assert [(one.name, one.value, one.span.line) for one in found.arguments] == [
        ("TRIGGERED", "1", 1),
        ("A", "/h/x", 2),
    ]


def test_a_bad_file_is_an_error() -> None:
    with pytest.raises(BuildFailure) as caught:
        of("FROM scratch\nRUN --mount=type=nothing true\n")
    assert caught.value.diagnostic.reference == "dockerfile-bad-mount"
