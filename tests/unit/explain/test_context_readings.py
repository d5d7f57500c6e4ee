"""What the instructions of a Dockerfile read from the context."""

from __future__ import annotations

import pytest

from lamina.diagnostics import BuildFailure
from lamina.dockerfile import parse
from lamina.explain.readings import Reading, readings, taking
from lamina.oci.platform import Platform
from lamina.plan.steps import PlanOptions
from lamina.testing.context import MemoryContext

FILES = {"src/a.py": b"aaaa", "src/b.py": b"bb", "README.md": b"r", "dist/o": b"o", "x86_64/bin": b"x"}


def read(text: str, target: str = "", **build_args: str) -> tuple[Reading, ...]:
    platform = Platform("linux", "amd64")
    options = PlanOptions(platform, platform, build_args=build_args, target=target)
    return readings(parse(text.encode(), "Dockerfile"), options, MemoryContext(FILES).entries())


def paths(reading: Reading) -> list[str]:
    return [one.path for one in reading.entries if one.kind == "file"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM a\nCOPY . .", ["README.md", "dist/o", "src/a.py", "src/b.py", "x86_64/bin"]),
        ("FROM a\nCOPY src/*.py README.md src/a.py /x/", ["README.md", "src/a.py", "src/b.py"]),
        ("FROM a\nARG D=src\nENV E=$D/a.py\nCOPY $E /", ["src/a.py"]),
        ("ARG D=dist\nFROM a\nARG D\nADD ${D} /", ["dist/o"]),
        ("FROM a\nCOPY ${D:-src}/a.py /", ["src/a.py"]),
        ("FROM a\nCOPY --exclude=*.py src /", []),
        ("FROM a\nCOPY --parents src/./*.py /", ["src/a.py", "src/b.py"]),
        ("FROM a\nRUN --mount=type=bind,source=dist,target=/d make", ["dist/o"]),
        ("FROM a\nRUN --mount=type=bind,target=/d --mount=type=cache,target=/c make", sorted(FILES)),
        ("FROM scratch\nCOPY README.md $NOWHERE/x", ["README.md"]),
        ("FROM a\nEXPOSE $PORT\nUSER $WHO\nWORKDIR $HOME\nCOPY README.md .", ["README.md"]),
        ("FROM a\nCOPY README.md <<END /x/\nno file\nEND", ["README.md"]),
    ],
)
def test_what_is_selected(text: str, expected: list[str]) -> None:
    (reading,) = read(text)
    assert paths(reading) == expected
    assert (reading.files, reading.size) == (len(expected), sum(len(FILES[path]) for path in expected))
    assert reading.missing == () and reading.unknown == ()


@pytest.mark.parametrize(
    "text",
    [
        "FROM a AS x\nFROM b\nCOPY --from=x /a /b",
        "FROM a\nCOPY <<END /x\ntext\nEND",
        "FROM a\nADD https://example.com/x /",
        "FROM a\nRUN --mount=type=bind,from=b,target=/d make",
        "FROM a\nRUN make",
    ],
)
def test_what_reads_nothing_from_the_context(text: str) -> None:
    assert read(text) == ()


def test_a_value_that_only_the_base_image_has() -> None:
    one, two = read("FROM a\nCOPY $HOME/x ${KIND}s README.md /y/\nCOPY \\$HOME gone *.none /y/")
    assert (one.missing, one.unknown, paths(one)) == (("$HOME/x", "$KINDs"), ("HOME", "KIND"), ["README.md"])
    assert two.missing == ("$HOME", "gone")


def test_build_arguments_and_platform_variables() -> None:
    text = "FROM a\nARG D\nARG TARGETARCH\nCOPY $D/$TARGETARCH README.md /x/"
    (reading,) = read(text, D="src")
    assert reading.missing == ("src/amd64",)


def test_all_stages_or_those_of_a_target() -> None:
    text = (
        "FROM a AS one\nONBUILD COPY README.md /\nCOPY dist /\n"
        "FROM one AS two\nCOPY src /\n"
        "FROM b AS three\nCOPY . /\n"
        "FROM scratch\nCOPY --from=two / /\n"
    )
    everything = [(one.stage, one.text, one.span.line) for one in read(text)]
    assert everything == [
        ("one", "COPY dist /", 3),
        ("two", "COPY README.md /", 4),
        ("two", "COPY src /", 5),
        ("three", "COPY . /", 7),
    ]
    assert [one.stage for one in read(text, target="three")] == ["three"]
    assert [one.stage for one in read(text, target="3")] == ["one", "two", "two"]


def test_a_file_that_cannot_be_planned() -> None:
    with pytest.raises(BuildFailure) as caught:
        read("RUN x\n")
    assert caught.value.diagnostic.reference == "dockerfile-no-from"
    with pytest.raises(BuildFailure, match="nope"):
        read("FROM a\n", target="nope")


def test_what_takes_a_path() -> None:
    found = read("FROM a\nCOPY src/a.py /\nCOPY src /src\nCOPY *.md /\n")
    records = MemoryContext(FILES).entries()

    def told(path: str) -> list[tuple[int, bool]]:
        return [(one.reading.span.line, one.part) for one in taking(found, path, records)]

    assert told("src") == [(2, True), (3, False)]
    assert told("src/a.py") == [(2, False), (3, False)]
    assert told("src/b.py") == [(3, False)]
    assert told("") == [(2, True), (3, True), (4, True)]
    assert told("dist") == []
