"""BuildKit's checks: what is found on which line, and what is let be, beyond the examples of the pages."""

from __future__ import annotations

import pytest
from tests.support.linting import checked, found, lines

from lamina.oci.config import ImageConfig, RootFS, RuntimeConfig

CASES: list[tuple[str, str, list[int]]] = [
    ("StageNameCasing", "FROM scratch AS a\nFROM scratch AS B\nfrom scratch as Cd-1", [2, 3]),
    ("StageNameCasing", "FROM scratch\nFROM --platform=$BUILDPLATFORM scratch AS ok", []),
    ("FromAsCasing", "from scratch AS a\nfrom scratch as b\nFROM scratch As c", [1, 3]),
    ("FromAsCasing", "From scratch as a", []),
    ("NoEmptyContinuation", "FROM scratch\nCOPY a \\\n\n.\nCOPY a \\\n.\n", [4]),
    ("NoEmptyContinuation", "FROM scratch\nRUN a \\\n  # c\n\n  && b \\\n\n  && c\nRUN d", [7]),
    ("NoEmptyContinuation", "FROM a:1\nRUN cat <<E\n\nE\n", []),
    ("ConsistentInstructionCasing", "FROM scratch\ncopy a /foo\nCOPY a /bar", [2]),
    ("ConsistentInstructionCasing", "from scratch\nCOPY a /foo\ncopy a /bar", [2]),
    ("ConsistentInstructionCasing", "frOM scratch as base\nfrom scratch as base2", [1]),
    ("ConsistentInstructionCasing", "from scratch\nCOPY a /b", [1]),  # a draw goes to upper case
    ("ConsistentInstructionCasing", "from scratch\ncopy a /foo\n", []),
    ("ConsistentInstructionCasing", "arg A=1\nFROM scratch\nCOPY a /foo\n", []),  # ARGs above FROM do not count
    ("DuplicateStageName", "FROM scratch AS b\nFROM scratch AS B\nFROM scratch AS b", [2, 3]),
    ("DuplicateStageName", "FROM scratch\nFROM scratch", []),
    ("ReservedStageName", "FROM scratch AS scratch\nFROM scratch AS Context\nFROM scratch AS contexts", [1, 2]),
    ("JSONArgsRecommended", "FROM scratch\nCMD ls\nENTRYPOINT a b", [2, 3]),
    ("JSONArgsRecommended", 'FROM scratch\nSHELL ["/bin/bash", "-c"]\nCMD ls', []),
    ("JSONArgsRecommended", 'FROM scratch AS a\nSHELL ["/bin/bash", "-c"]\nFROM a\nCMD ls\nFROM scratch\nCMD x', [6]),
    ("JSONArgsRecommended", 'FROM scratch\nCMD ["ls"]\nHEALTHCHECK CMD ls', []),
    ("MaintainerDeprecated", "FROM scratch\nMAINTAINER me", [2]),
    ("UndefinedArgInFrom", "ARG a\nFROM x:$a$b AS c\nFROM --platform=$BUILDPLATFORM x:${d:-1}", [2]),
    ("UndefinedArgInFrom", "FROM --platform=$BULIDPLATFORM scratch", [1]),
    ("WorkdirRelativePath", "FROM scratch\nWORKDIR a\nWORKDIR b\nWORKDIR /c", [2]),
    ("WorkdirRelativePath", "FROM scratch AS a\nWORKDIR /a\nFROM a\nWORKDIR b", []),
    ("WorkdirRelativePath", "FROM scratch\nENV H=/a\nWORKDIR $H/b", []),
    ("UndefinedVar", "FROM alpine:3\nARG a=1\nCOPY b$a $c", [3]),
    ("UndefinedVar", "FROM alpine:3\nCOPY a ${b:-c}\nENV x=${y:+z}\nLABEL l=$PATH", []),
    ("UndefinedVar", "FROM alpine:3\nARG a\nCOPY $a .", []),  # declared, though without a value
    ("UndefinedVar", "FROM alpine:3\nENV a=$b c=$a", [2, 2]),
    ("UndefinedVar", "FROM alpine:3\nENV a=1\nFROM alpine:3\nCOPY $a .", [4]),
    ("UndefinedVar", "FROM alpine:3 AS x\nENV a=1\nFROM x\nCOPY $a .", []),
    ("UndefinedVar", "FROM alpine:3\nRUN echo $nothing", []),
    ("UndefinedVar", "FROM alpine:3\nCOPY <<A <<'B' /d/\n$a\nA\n$b\nB", [2]),
    ("UndefinedVar", "FROM php:8\nCOPY x $PHP_INI_DIR/", []),  # the base image may set it
    ("UndefinedVar", "FROM php:8\nENV SOMEWHERE=/x\nCOPY x $SOMEWHER/", [3]),
    ("WorkdirRelativePath", "FROM scratch\nENV H=a\nWORKDIR $H/b", [3]),
    ("UndefinedVar", "FROM alpine:3\nRUN --mount=type=cache,target=/c,id=$i echo $j", [2]),
    ("UndefinedVar", "FROM scratch\nCOPY a ${b", []),  # cannot be read: the build says so
    ("MultipleInstructionsDisallowed", "FROM a:1\nCMD a\nRUN x\nCMD b\ncmd c", [2, 4]),
    ("MultipleInstructionsDisallowed", "FROM a:1\nENTRYPOINT a\nCMD b\nFROM a:1\nENTRYPOINT c", []),
    ("MultipleInstructionsDisallowed", "FROM a:1\nHEALTHCHECK NONE\nHEALTHCHECK CMD x", [2]),
    ("LegacyKeyValueFormat", "FROM a:1\nENV a b\nLABEL c d e\nENV f=g", [2, 3]),
    ("RedundantTargetPlatform", "FROM --platform=${TARGETPLATFORM} a:1\nFROM --platform=$BUILDPLATFORM a:1", [1]),
    ("SecretsUsedInArgOrEnv", "FROM a:1\nARG api_key TOKENS\nENV passwd=x SECRET_name=y a=b", [2, 3, 3]),
    ("SecretsUsedInArgOrEnv", "FROM a:1\nARG PUBLIC_KEY KEYBOARD\nENV TOKEN_FILE=/x KEY_VERSION=1", []),
    ("InvalidDefaultArgInFrom", "ARG T\nFROM a:$T\nFROM ${U}", [2, 3]),
    ("InvalidDefaultArgInFrom", "ARG T\nFROM a:${T:-1}\nFROM a$U", []),
    ("FromPlatformFlagConstDisallowed", "FROM --platform=linux/arm64 a:1 AS build_arm64", []),
    ("FromPlatformFlagConstDisallowed",
     "FROM --platform=linux/arm64 a:1 AS build\nFROM --platform=nonsense/x/y/z a:1", [1]),
    ("InvalidDefinitionDescription", "# a is\nARG a=1\n# what\nARG b=1\n# x\n\nARG c\nFROM a:1\n", [4, 7]),
    ("InvalidDefinitionDescription", "FROM a:1\n# b does\n#\nARG b\n# either\nARG c d\n# d is\nARG c d", [6]),
    ("ExposeProtoCasing", "FROM a:1\nEXPOSE 80/TCP 81/udp 82 83/Udp", [2, 2]),
    ("ExposeInvalidFormat", "FROM a:1\nEXPOSE 80:80\nEXPOSE 80-90 $PORT:1\nEXPOSE [::1]:80:80/tcp", [2, 4]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "text", "expected"), CASES)
def test_lines(rule: str, text: str, expected: list[int]) -> None:
    assert lines(text, rule) == expected


@pytest.mark.parametrize(
    ("rule", "text", "message"),
    [
        ("StageNameCasing", "FROM scratch AS BadStageName", "Stage name 'BadStageName' should be lowercase"),
        ("FromAsCasing", "FROM scratch as base2", "'as' and 'FROM' keywords' casing do not match"),
        (
            "ConsistentInstructionCasing",
            "FROM scratch\ncopy a /b\nCOPY a /c",
            "Command 'copy' should match the case of the command majority (uppercase)",
        ),
        ("UndefinedVar", "FROM alpine:3\nENV foo=1\nCOPY $fo .", "Usage of undefined variable '$fo'"),
        (
            "UndefinedVar",
            "FROM alpine:3\nENV DIR_BIN=1\nCOPY $DIR_BINS .",
            "Usage of undefined variable '$DIR_BINS' (did you mean $DIR_BIN?)",
        ),
        (
            "UndefinedArgInFrom",
            "FROM --platform=$BULIDPLATFORM scratch",
            "FROM argument 'BULIDPLATFORM' is not declared (did you mean BUILDPLATFORM?)",
        ),
        (
            "LegacyKeyValueFormat",
            "FROM a:1\nenv a b",
            '"env key=value" should be used instead of legacy "env key value" format',
        ),
        (
            "ExposeInvalidFormat",
            "FROM a:1\nEXPOSE 127.0.0.1:80:80",
            "EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'",
        ),
    ],
)
def test_messages_are_those_of_buildkit(rule: str, text: str, message: str) -> None:
    assert [one.message for one in found(text, rule)] == [message]


def test_what_is_known_of_a_base_image() -> None:
    config = RuntimeConfig(env=("PHP_INI_DIR=/usr/local/etc/php",))
    image = ImageConfig("arm64", "linux", RootFS("layers", ()), config=config)
    text = "FROM php:8\nCOPY x $PHP_INI_DIR/\nCOPY x $OTHER/"
    told = checked(text, images={"php:8": image}).findings
    assert [(one.rule, one.span.line) for one in told] == [("InvalidBaseImagePlatform", 1), ("UndefinedVar", 3)]
    told = checked("FROM --platform=linux/arm64 php:8", images={"php:8": image}).findings
    assert [one.rule for one in told] == ["FromPlatformFlagConstDisallowed"]


def test_files_that_are_ignored() -> None:
    text = "FROM a:1\nCOPY x.log y.txt d $Z /\nADD sub/x.log /\nCOPY --from=a:1 x.log /\nADD https://a.b/x.log /"
    files = ["y.txt", "d/keep", ".dockerignore: **/*.log d !d/keep"]
    assert lines(text, "CopyIgnoredFile", files) == [2, 3]
    assert lines(text, "CopyIgnoredFile") == []
    assert lines(text, "CopyIgnoredFile", ["x.log"]) == []
