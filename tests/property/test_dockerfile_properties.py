"""Whatever the text: it parses or fails inside itself, and what parses survives printing."""

from __future__ import annotations

import re
from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.diagnostics import BuildFailure, Span
from lamina.dockerfile import parse, parse_trigger, to_text
from lamina.dockerfile.syntax import Dockerfile, Instruction, Onbuild
from lamina.dockerfile.words import expand, expand_heredoc, expand_words, names

PIECES = [
    "FROM", "RUN", "COPY", "ADD", "WORKDIR", "ENV", "ARG", "LABEL", "EXPOSE", "CMD", "ENTRYPOINT", "USER", "VOLUME",
    "STOPSIGNAL", "SHELL", "HEALTHCHECK", "ONBUILD", "MAINTAINER", "env", "FORM",
    " ", "  ", "\t", "\n", "\r\n", "\\\n", "\\ \n", "`\n", "\\", "`", "#", "# c\n", "'", '"', "$", "{", "}",
    "$a", "${b:-c}", "=", "a=b", "--from=x", "--chown='a b'", "--mount=type=bind", "--link", "--", "<<E", "<<-'E'",
    "3<<E", "\nE\n", "\n\tE\n", "[", "]", '["a", "b"]', "[1]", "AS", "x", "y/", "/", ".", ",", "é", "\u00a0", "\u2028",
    "\x1c", "\x0b", "\ufeff", "# escape=`\n", "# syntax=x\n", "# check=skip=A\n", "NONE", "1s", "<<",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
wild_bytes = st.one_of(texts.map(lambda text: text.encode()), st.binary(max_size=80))
words = st.lists(st.sampled_from([*"ab$\\`'\"{}:-+?#%/*@1_ \t\n", "${", "$a", "${a:-", "//", "<<"]), max_size=25).map(
    "".join
)
envs = st.dictionaries(st.sampled_from("ab_"), st.text("ab*/.\n ", max_size=6), max_size=3)

NOWHERE = Span("", 0, 0, 0, 0)


def parsed(data: bytes) -> Dockerfile | None:
    try:
        return parse(data, "Dockerfile")
    except BuildFailure as failure:
        assert failure.diagnostic.reference.startswith("dockerfile-")
        assert failure.diagnostic.span is not None
        assert_inside(failure.diagnostic.span, data)
        return None


def assert_inside(span: Span, data: bytes) -> None:
    lines = [
        line.rstrip("\r\n") for line in data.removeprefix(b"\xef\xbb\xbf").decode(errors="surrogateescape").split("\n")
    ]
    assert (1, 1) <= (span.line, span.column) <= (span.end_line, span.end_column)
    assert span.end_line <= len(lines)
    assert span.column <= len(lines[span.line - 1]) + 1
    assert span.end_column <= len(lines[span.end_line - 1]) + 1


def spans(value: object) -> list[Span]:
    if isinstance(value, Span):
        return [value]
    if isinstance(value, msgspec.Struct):
        return [span for name in value.__struct_fields__ for span in spans(getattr(value, name))]
    return [span for item in value for span in spans(item)] if isinstance(value, tuple) else []


def without_spans(instruction: Instruction) -> object:
    return re.sub(r"span=Span\(.*?\)", "", repr(instruction))


@settings(max_examples=400, deadline=None)
@given(wild_bytes)
def test_every_text_parses_or_fails_inside_itself(data: bytes) -> None:
    dockerfile = parsed(data)
    if dockerfile is None:
        return
    assert dockerfile.instructions
    for span in spans(dockerfile):
        assert_inside(span, data)
    places = [(each.span.line, each.span.end_line) for each in dockerfile.instructions]
    assert all(before[1] < after[0] for before, after in pairwise(places))


instructions = st.sampled_from(
    [
        "FROM alpine AS B", "FROM --platform=$P x", "RUN a \\\n  b", "RUN a \\\n# c\n\n  b", "run x '\"$y\"'",
        "RUN <<E cat <<-'F'\n$x\nE\n\tF\n\tF", "ARG a b=1", 'ENV a="x y" b=\\ z', "ENV a  b  c", "CMD ['x']", "CMD []",
        'COPY --from=b --chown="1:2" a b/ c', 'COPY ["a b", "c"]', 'COPY <<E <<"F" /d/\nE\nx\nF', 'SHELL ["a"]',
        "ADD --checksum=sha256:0 http://x/y /z", "ONBUILD RUN <<E\nx\nE", "ONBUILD COPY a \\\n b", "HEALTHCHECK NONE",
        "HEALTHCHECK --retries=3 CMD true", 'LABEL "a b"="c" d=\\\ne', "EXPOSE 80/tcp $p", "VOLUME /a /b", "USER u",
        "STOPSIGNAL 9", "WORKDIR /x y", "# comment\n# check=skip=A,B\nRUN x", "# a\n#\n# b\nRUN y", "RUN a\\\\",
        "RUN a \\\\\\", "MAINTAINER me", "RUN x \\ \\", "RUN a\\\n#b\n\\\n  c",
        "RUN --mount='a b' --network=none \\\n x",
    ]
)  # fmt: skip
files = st.tuples(
    st.sampled_from(["", "# escape=`\n", "# syntax=a/b\n# escape=\\\n", "\n# escape=`\n", "# note\n"]),
    st.lists(st.one_of(instructions, texts), min_size=1, max_size=6),
).map(lambda parts: (parts[0] + "\n".join(parts[1])).encode())


@settings(max_examples=400, deadline=None)
@given(files)
def test_what_is_printed_parses_to_the_same(data: bytes) -> None:
    dockerfile = parsed(data)
    if dockerfile is None:
        return
    again = parse(to_text(dockerfile).encode(), "Dockerfile")
    assert [*map(without_spans, again.instructions)] == [*map(without_spans, dockerfile.instructions)]
    assert [(each.name, each.value) for each in again.directives] == [
        (each.name, each.value) for each in dockerfile.directives
    ]


@settings(max_examples=200, deadline=None)
@given(st.one_of(instructions, texts))
def test_a_trigger_parses_to_what_the_instruction_is(text: str) -> None:
    alone = parsed(text.encode())
    if alone is None or len(alone.instructions) != 1 or alone.directives:
        return
    instruction = alone.instructions[0]
    first = instruction.span.line == instruction.span.column == 1
    if not first or instruction.keyword in ("FROM", "MAINTAINER", "ONBUILD") or instruction.original.endswith("\\"):
        return
    behind = parse(b"ONBUILD " + text.encode(), "Dockerfile")
    trigger = behind.instructions[0]
    assert isinstance(trigger, Onbuild)
    assert without_spans(parse_trigger(trigger.trigger, NOWHERE)) == without_spans(instruction)


@settings(max_examples=400, deadline=None)
@given(words, envs, st.sampled_from("\\`"))
def test_expansion_gives_text_or_a_failure(text: str, env: dict[str, str], escape: str) -> None:
    for run in (expand, expand_words, expand_heredoc):
        try:
            run(text, env, escape=escape)
        except BuildFailure as failure:
            assert failure.diagnostic.reference == "dockerfile-bad-substitution"


@settings(max_examples=300, deadline=None)
@given(words, envs)
def test_only_named_variables_matter(text: str, env: dict[str, str]) -> None:
    """A variable that `names` does not list can be changed without changing the result."""
    try:
        used, before = names(text), expand(text, env)
        changed = {name: value for name, value in env.items() if name in used} | {
            name: "changed" for name in "ab_" if name not in used
        }
        assert expand(text, changed) == before
    except BuildFailure:
        return


@given(st.text("ab$'\"\\ \n", max_size=20))
def test_text_in_single_quotes_stays_as_it_is(text: str) -> None:
    plain = text.replace("'", "")
    assert expand(f"'{plain}'", {"a": "1", "b": "2"}) == plain
