"""Skipping, enabling, severities, and the making of several edits in one text."""

from __future__ import annotations

import pytest
from tests.support.linting import HERE, checked

from lamina.diagnostics import BuildFailure, Span
from lamina.dockerfile import parse
from lamina.lint.check import Choice, mended, unknown_rules
from lamina.lint.rule import Edit, Finding
from lamina.lint.survey import survey
from lamina.lint.table import BY_NAME, RULES
from lamina.workshop.checking import Source, mend

BAD = "FROM alpine\nMAINTAINER me\nENV a b\nCMD ls"
RULES_OF_BAD = ["UntaggedBase", "MaintainerDeprecated", "LegacyKeyValueFormat", "JSONArgsRecommended"]


def names(text: str, **how: object) -> list[str]:
    return [one.rule for one in checked(text, **{"enable": "", **how}).findings]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("", RULES_OF_BAD),
        ("# check=skip=MaintainerDeprecated, JSONArgsRecommended\n", ["UntaggedBase", "LegacyKeyValueFormat"]),
        ("# check=skip=all\n", []),
        ("# check=error=true\n", RULES_OF_BAD),
        ("# check=skip=UntaggedBase;error=true\n", RULES_OF_BAD[1:]),
        ("# check=skip=NoSuchRule\n", RULES_OF_BAD),
        ("# hadolint global ignore=DL3006,DL3025\n", RULES_OF_BAD[1:3]),
        ("# hadolint ignore=DL3006\n", RULES_OF_BAD[1:]),
        ("# hadolint ignore=DL3025\n", RULES_OF_BAD),
        ("# check=skip=all\n# a comment\n", []),
        ("# a comment\n# check=skip=all\n", RULES_OF_BAD[1:]),
    ],
)
def test_what_a_file_skips_at_its_top(first: str, expected: list[str]) -> None:
    assert names(first + BAD) == expected


@pytest.mark.parametrize(
    "comment",
    ["# check=skip=LegacyKeyValueFormat", "# why\n# check=skip=all", "# check=skip=LegacyKeyValueFormat\n# why"],
)
def test_what_is_skipped_for_one_instruction(comment: str) -> None:
    text = f"FROM alpine:3\n{comment}\nENV a b\nENV c d"
    told = checked(text, enable="").findings
    assert [(one.rule, one.span.line) for one in told] == [("LegacyKeyValueFormat", len(text.split("\n")))]


def test_warnings_are_errors_if_the_file_says_so() -> None:
    done = checked("# check=error=true\nFROM alpine:3\nENV a b\nRUN apt-get install x", enable="")
    assert done.strict
    assert {one.rule: one.severity for one in done.findings} == {
        "LegacyKeyValueFormat": "error",
        "AptRecommends": "info",
    }
    assert [one.severity for one in checked("FROM alpine:3\nENV a b").findings] == ["warning"]


@pytest.mark.parametrize("option", ["skip", "error=perhaps", "level=3"])
def test_a_directive_that_cannot_be_read_is_a_failure(option: str) -> None:
    with pytest.raises(BuildFailure) as caught:
        checked(f"# check={option}\nFROM alpine:3")
    assert caught.value.diagnostic.reference == "dockerfile-bad-check"


def test_rules_that_are_off_run_when_they_are_asked_for() -> None:
    text = "FROM alpine:3\nRUN a\nRUN b"
    assert names(text) == []
    assert names(text, enable="ConsecutiveRuns") == names(text, enable="all") == ["ConsecutiveRuns"]
    assert names(f"# check=experimental=ConsecutiveRuns\n{text}") == ["ConsecutiveRuns"]
    assert names(f"# check=experimental=all\n{text}") == ["ConsecutiveRuns"]
    assert names(text, enable="all", skip=["ConsecutiveRuns"]) == []


def test_a_name_that_is_no_rule() -> None:
    failure = unknown_rules(["UntagedBase"], RULES)
    assert failure is not None and failure.diagnostic.hint == "did you mean UntaggedBase?"
    assert unknown_rules(["all", "UntaggedBase"], RULES) is None


def test_names_and_pages_of_rules_are_their_own() -> None:
    assert len(BY_NAME) == len(RULES) == len({rule.page for rule in RULES})
    codes = [code for rule in RULES for code in rule.hadolint]
    assert len(codes) == len(set(codes))
    assert sum(rule.buildkit for rule in RULES) == 22


def finding(*edits: tuple[int, int, int, int, str]) -> Finding:
    made = tuple(Edit(Span("f", *edit[:4]), edit[4]) for edit in edits)
    return Finding("X", "warning", "", Span("f", 1, 1, 1, 1), edits=made)


@pytest.mark.parametrize(
    ("text", "edits", "expected", "count"),
    [
        ("abc\ndef\n", [finding((1, 2, 1, 3, "X"))], "aXc\ndef\n", 1),
        ("abc\ndef\n", [finding((1, 1, 2, 1, ""))], "def\n", 1),
        ("abc\r\ndef\r\n", [finding((1, 4, 1, 4, "!"))], "abc!\r\ndef\r\n", 1),
        ("\ufeffabc\ndef", [finding((1, 1, 1, 2, "X"), (2, 1, 2, 2, "Y"))], "\ufeffXbc\nYef", 1),
        ("abc", [finding((1, 1, 1, 3, "X")), finding((1, 2, 1, 4, "Y"))], "Xc", 1),  # the second touches the first
        ("abc", [finding((1, 2, 1, 2, "X")), finding((1, 2, 1, 2, "Y"))], "aXbc", 1),
        ("abc", [finding()], "abc", 0),
        ("a\x0cb\u2028c\nd", [finding((2, 1, 2, 2, "X"))], "a\x0cb\u2028c\nX", 1),
    ],
)
def test_making_edits(text: str, edits: list[Finding], expected: str, count: int) -> None:
    new, done = mended(text, edits)
    assert (new, len(done)) == (expected, count)


def test_mending_all_that_can_be_mended() -> None:
    text = (
        '\ufefffrom --platform=$TARGETPLATFORM alpine:3 AS Base\r\nMAINTAINER a "b" $c\r\nENV a b c\r\n'
        "run x \\\r\n\r\n  && y\r\nRUN apk add \\\r\n  curl\r\nEXPOSE 53/UDP 80:80\r\nCMD ls -l"
    )
    done, diff = mend(Source(text.encode(), "Dockerfile"), HERE, Choice())
    assert done.text.decode() == (
        '\ufeffFROM alpine:3 AS base\r\nLABEL org.opencontainers.image.authors="a \\"b\\" \\$c"\r\nENV a="b c"\r\n'
        "RUN x \\\r\n  && y\r\nRUN apk add --no-cache \\\r\n  curl\r\nEXPOSE 53/udp 80\r\n"
        'CMD ["ls", "-l"]'
    )
    assert diff[0].startswith("---")
    assert mend(done, HERE, Choice())[1] == []


def test_what_a_rule_sees_of_stages() -> None:
    text = (
        "ARG B=alpine\nFROM $B AS one\nWORKDIR /a\nFROM one AS two\nWORKDIR b\nFROM scratch AS three\n"
        "COPY --from=two /x /x\nFROM one AS four\nRUN --mount=from=three,target=/m ls"
    )
    subject = survey(parse(text.encode(), "Dockerfile"), HERE)
    assert [(one.label, one.base, one.parent, one.shipped) for one in subject.stages] == [
        ("one", "alpine", None, True),
        ("two", "one", 0, False),
        ("three", "scratch", None, False),
        ("four", "one", 0, True),
    ]
    assert [step.line for step in subject.chain(subject.stages[1])] == [3, 5]
