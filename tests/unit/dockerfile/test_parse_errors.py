"""What the parser refuses: the reference, the words that it marks, and the hint."""

from __future__ import annotations

import pytest

from lamina.diagnostics import BuildFailure, Diagnostic, Span
from lamina.dockerfile import parse, parse_trigger


def failure(text: str | bytes) -> Diagnostic:
    with pytest.raises(BuildFailure) as caught:
        parse(text.encode() if isinstance(text, str) else text, "Dockerfile")
    return caught.value.diagnostic


def marked(text: str, span: Span | None) -> str:
    assert span is not None
    lines = text.split("\n")
    if span.line == span.end_line:
        return lines[span.line - 1][span.column - 1 : span.end_column - 1]
    inner = lines[span.line : span.end_line - 1]
    return "\n".join([lines[span.line - 1][span.column - 1 :], *inner, lines[span.end_line - 1][: span.end_column - 1]])


@pytest.mark.parametrize(
    ("text", "reference", "mark", "hint"),
    [
        ("FORM alpine", "unknown-instruction", "FORM", "did you mean FROM?"),
        ("FROM a\nrunn x", "unknown-instruction", "runn", "did you mean RUN?"),
        ("FROM a\nXYZZY", "unknown-instruction", "XYZZY", None),
        ("FROM a\n[x] y", "unknown-instruction", "[x]", None),
        # Flags.
        ("FROM a\nCOPY --form=b c d", "unknown-flag", "--form=b", "did you mean --from?"),
        ("FROM a\nRUN --chown=1 x", "unknown-flag", "--chown=1", "--chown belongs to COPY and ADD"),
        ("FROM a\nENV --x a=b", "unknown-flag", "--x", "ENV takes no flags"),
        ("FROM a\nFROM --zzz b", "unknown-flag", "--zzz", "FROM takes --platform"),
        ("FROM a\nCOPY --FROM=b c d", "unknown-flag", "--FROM=b", "did you mean --from?"),
        ("FROM a\nCOPY --from=b --from=c d e", "duplicate-flag", "--from=c", "keep one of the two"),
        ("FROM a\nCOPY --link --link d e", "duplicate-flag", "--link", "keep one of the two"),
        ("FROM a\nCOPY --from d e", "bad-flag-value", "--from", "write --from=…"),
        ("FROM a\nCOPY --link=yes d e", "bad-flag-value", "--link=yes", "write --link or --link=false"),
        ("FROM a\nCOPY --link= d e", "bad-flag-value", "--link=", "write --link or --link=false"),
        ("FROM a\nRUN --network=hots x", "bad-flag-value", "--network=hots", "did you mean host?"),
        ("FROM a\nRUN --security=x y", "bad-flag-value", "--security=x", "it is one of sandbox, insecure"),
        # FROM.
        ("FROM", "bad-from", "FROM", "write FROM image or FROM image AS name"),
        ("FROM a AS", "bad-from", "AS", "write FROM image or FROM image AS name"),
        ("FROM a IS b", "bad-from", "IS", "write FROM image or FROM image AS name"),
        ("FROM a AS 1b", "bad-stage-name", "1b", None),
        ("FROM a AS b$c", "bad-stage-name", "b$c", None),
        # Exec form.
        ('FROM a\nRUN ["a", 1]', "json-not-strings", '["a", 1]', "put every item in double quotes"),
        ("FROM a\nCMD [null]", "json-not-strings", "[null]", "put every item in double quotes"),
        ('FROM a\nCOPY ["a", ["b"]]', "json-not-strings", '["a", ["b"]]', "put every item in double quotes"),
        ("FROM a\nSHELL bash -c", "shell-not-json", "bash -c", 'write SHELL ["/bin/sh", "-c"], with double quotes'),
        ("FROM a\nSHELL ['bash']", "shell-not-json", "['bash']", None),
        ("FROM a\nSHELL []", "missing-argument", "[]", None),
        ("FROM a\nRUN []", "missing-argument", "[]", None),
        # Missing arguments.
        ("FROM a\nRUN", "missing-argument", "RUN", None),
        ("FROM a\nRUN --network=none", "missing-argument", "RUN", None),
        ("FROM a\nCMD", "missing-argument", "CMD", "write CMD [] to have none"),
        ("FROM a\nENTRYPOINT  ", "missing-argument", "ENTRYPOINT", "write ENTRYPOINT [] to have none"),
        ("FROM a\nCOPY", "missing-argument", "COPY", "write COPY source destination"),
        ("FROM a\nCOPY x", "missing-argument", "x", "write COPY source destination"),
        ('FROM a\nADD ["x"]', "missing-argument", '["x"]', "write ADD source destination"),
        ("FROM a\nWORKDIR", "missing-argument", "WORKDIR", None),
        ("FROM a\nUSER", "missing-argument", "USER", None),
        ("FROM a\nEXPOSE", "missing-argument", "EXPOSE", None),
        ("FROM a\nVOLUME", "missing-argument", "VOLUME", None),
        ("FROM a\nVOLUME []", "missing-argument", "[]", None),
        ('FROM a\nVOLUME [""]', "missing-argument", '[""]', None),
        ("FROM a\nSTOPSIGNAL", "missing-argument", "STOPSIGNAL", None),
        ("FROM a\nMAINTAINER", "missing-argument", "MAINTAINER", None),
        ("FROM a\nONBUILD", "missing-argument", "ONBUILD", None),
        ("FROM a\nARG", "missing-argument", "ARG", None),
        ("FROM a\nENV", "missing-argument", "ENV", None),
        # Pairs.
        ("FROM a\nENV x", "missing-value", "x", "write ENV x=value"),
        ("FROM a\nLABEL x", "missing-value", "x", "write LABEL x=value"),
        ("FROM a\nENV a=b c", "bad-pair", "c", None),
        ("FROM a\nENV a=b \\\n  c d=e", "bad-pair", "c", None),
        ("FROM a\nENV =b", "bad-pair", "=b", None),
        ("FROM a\nARG =b", "bad-pair", "=b", None),
        # Heredocs.
        ("FROM a\nRUN <<EOF\nx\n EOF\n", "unterminated-heredoc", "<<EOF", None),
        ("FROM a\nRUN cat \\\n  <<A <<B\nx\nA\n", "unterminated-heredoc", "<<B", None),
        ("FROM a\nCOPY x <<EOF\nEOF\n", "heredoc-destination", "<<EOF", None),
        ("FROM a\nONBUILD RUN <<EOF\n", "unterminated-heredoc", "<<EOF", None),
        # Health checks.
        ("FROM a\nHEALTHCHECK", "missing-argument", "HEALTHCHECK", None),
        ("FROM a\nHEALTHCHECK CMD", "missing-argument", "CMD", None),
        ("FROM a\nHEALTHCHECK curl x", "bad-healthcheck", "curl", "write HEALTHCHECK CMD in front of the command"),
        ("FROM a\nHEALTHCHECK NONE x", "bad-healthcheck", "x", None),
        ("FROM a\nHEALTHCHECK --interval=5 CMD x", "bad-flag-value", "--interval=5", None),
        ("FROM a\nHEALTHCHECK --timeout=1us CMD x", "bad-flag-value", "--timeout=1us", None),
        ("FROM a\nHEALTHCHECK --retries=-1 CMD x", "bad-flag-value", "--retries=-1", None),
        # Triggers.
        ("FROM a\nONBUILD ONBUILD RUN x", "bad-trigger", "ONBUILD RUN x", None),
        ("FROM a\nONBUILD from b", "bad-trigger", "from b", None),
        ("FROM a\nONBUILD COYP a b", "unknown-instruction", "COYP", "did you mean COPY?"),
        # Directives.
        ("# escape=x\nFROM a", "bad-escape", "# escape=x", "use a backslash or a backtick"),
        ("# syntax=a\n# SYNTAX=b\nFROM a", "duplicate-directive", "# SYNTAX=b", "keep one"),
        ("FROM a\n# check=skpi=X\nRUN x", "bad-check", "RUN x", None),
        # Whole files.
        ("", "empty", "", "begin with FROM"),
        ("# only\n\n", "empty", "", "begin with FROM"),
    ],
)  # fmt: skip
def test_refused(text: str, reference: str, mark: str, hint: str | None) -> None:
    found = failure(text)
    assert found.reference == f"dockerfile-{reference}"
    assert marked(text, found.span) == mark
    if hint is not None:
        assert found.hint == hint


def test_a_heredoc_whose_end_is_indented_gets_a_hint() -> None:
    hint = failure("FROM a\nRUN <<EOF\nx\n  EOF\n").hint
    assert hint is not None
    assert "<<- allows leading tabs" in hint


def test_a_line_of_64_kib_is_too_long() -> None:
    longest = b"FROM a\n#" + b"x" * (65535 - 1)
    assert len(parse(longest, "f").instructions) == 1
    found = failure(longest + b"x\nRUN y")
    assert found.reference == "dockerfile-line-too-long"
    assert found.span is not None
    assert found.span.line == 2


def test_a_long_instruction_over_many_lines_is_not() -> None:
    text = b"FROM a\nRUN " + b" \\\n".join(b"x" * 1000 for _ in range(200))
    assert len(parse(text, "f").instructions[1].original) > 200_000


def test_bytes_that_are_no_utf8_matter_only_outside_comments() -> None:
    parsed = parse(b"FROM a\n# caf\xe9\nRUN x\n", "f")
    assert parsed.lines[1] == "# caf\ufffd"
    assert parsed.instructions[1].comment == ("caf\ufffd",)
    for text in (b"FROM a\nRUN caf\xe9\n", b"FROM a\nRUN <<E\ncaf\xe9\nE\n"):
        assert failure(text).reference == "dockerfile-not-utf8"


@pytest.mark.parametrize("text", ["", "FROM a", "ONBUILD RUN x", "RUN x\nRUN y", "MAINTAINER x", "# x"])
def test_bad_triggers(text: str) -> None:
    place = Span("Dockerfile", 7, 1, 7, 9)
    with pytest.raises(BuildFailure) as caught:
        parse_trigger(text, place)
    assert caught.value.diagnostic.reference == "dockerfile-bad-trigger"
    assert caught.value.diagnostic.span == place


def test_a_message_quotes_little_of_a_long_word() -> None:
    for text in (f"FROM a\n{'x' * 5000} y", f"FROM a\nENV {'x' * 5000}", f"FROM a\nRUN --{'x' * 5000} y"):
        found = failure(text)
        assert len(found.message) < 150
        assert len(marked(text, found.span)) >= 5000
