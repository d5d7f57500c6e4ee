"""The shapes of arguments that several instructions share: exec and shell form, name=value, sources and destination."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from lamina.dockerfile.expansion import BadSubstitution
from lamina.dockerfile.heredocs import opening
from lamina.dockerfile.source import SPACE, shown
from lamina.dockerfile.statement import BLANKS, Part, Statement
from lamina.dockerfile.syntax import Command, Pair

#: The strings of a JSON array; None when the text is no JSON array, which makes it shell form.
JsonArray = tuple[str, ...] | None

_SPLIT_OPERATOR = re.compile(r"\d*<<-?\Z")


def json_array(statement: Statement, part: Part) -> JsonArray:
    """Read exec form. Raises `dockerfile-json-not-strings` for a JSON array that holds anything but strings.

    What cannot be read as JSON is silently shell form (`CMD ['a']`), as in every builder.
    """
    if not part.text.startswith("["):
        return None
    try:
        items: list[Any] = msgspec.json.decode(part.text.strip(SPACE), type=list[Any])
    except (msgspec.MsgspecError, RecursionError):
        return None
    if not all(isinstance(item, str) for item in items):
        statement.fail(
            "dockerfile-json-not-strings",
            f"the JSON array of {statement.keyword} holds something other than strings",
            part,
            hint="put every item in double quotes",
        )
    return tuple(items)


def command(statement: Statement, part: Part | None = None) -> Command:
    """The command in `part`, by default all arguments. In exec form the text is empty."""
    part = part or statement.args
    argv = json_array(statement, part)
    return Command(argv, part.text if argv is None else "")


def pairs(statement: Statement) -> tuple[tuple[Pair, ...], bool]:
    """The pairs of ENV and LABEL, and whether they stand in the old form `name rest of line`.

    Raises `dockerfile-missing-argument` and `dockerfile-bad-pair`.
    """
    keyword, args = statement.keyword, statement.args
    words = statement.quoted_words()
    if not words:
        statement.fail("dockerfile-missing-argument", f"{keyword} needs name=value", args)
    if "=" not in words[0].text:
        name, *rest = BLANKS.split(args.text, maxsplit=1)
        if not rest:
            statement.fail(
                "dockerfile-missing-value",
                f"{keyword} {shown(name)} has no value",
                args,
                hint=f"write {keyword} {shown(name)}=value",
            )
        return (Pair(name, rest[0], statement.span(args)),), True
    found: list[Pair] = []
    for word in words:
        name, equals, value = word.text.partition("=")
        if not equals:
            statement.fail(
                "dockerfile-bad-pair",
                f"{shown(word.text)} has no = and no value",
                word,
                hint='quote a value that holds blanks, as in name="two words"',
            )
        if not name:
            statement.fail("dockerfile-bad-pair", f"{keyword} needs a name in front of =", word)
        found.append(Pair(name, value, statement.span(word)))
    return tuple(found), False


def sources_and_dest(statement: Statement) -> tuple[tuple[str, ...], str]:
    """The sources of COPY and ADD without heredocs, and the destination. Raises `dockerfile-missing-argument`."""
    listed = json_array(statement, statement.args)
    words = _joined_operators(statement.words()) if listed is None else [Part(text, 0, 0) for text in listed]
    if len(words) < 2:
        statement.fail(
            "dockerfile-missing-argument",
            f"{statement.keyword} needs a source and a destination",
            statement.args,
            hint=f"write {statement.keyword} source destination",
        )
    dest = words[-1]
    if listed is not None:
        return listed[:-1], dest.text
    if _opens(dest.text):
        statement.fail(
            "dockerfile-heredoc-destination", f"{statement.keyword} cannot have a heredoc as its destination", dest
        )
    return tuple(word.text for word in words[:-1] if not _opens(word.text)), dest.text


def _opens(word: str) -> bool:
    try:
        return "<<" in word and opening(word) is not None
    except BadSubstitution:
        return False


def _joined_operators(words: tuple[Part, ...]) -> list[Part]:
    """`<< NAME` as one word: blanks are allowed behind the operator."""
    joined: list[Part] = []
    for word in words:
        if joined and _SPLIT_OPERATOR.match(joined[-1].text):
            word = Part(joined[-1].text + word.text, joined.pop().start, word.end)
        joined.append(word)
    return joined
