"""A parsed Dockerfile → text that parses to the same instructions again, places aside.

Comments inside continuations, empty lines and line breaks are not kept: each instruction takes one line.
"""

from __future__ import annotations

from collections.abc import Iterator

from lamina.dockerfile.source import LINE_LIMIT
from lamina.dockerfile.syntax import Dockerfile, Instruction

#: Where a long line is broken, in characters; four bytes each still keep it below the limit.
_BREAK = LINE_LIMIT // 4


def to_text(dockerfile: Dockerfile) -> str:
    """The text, UTF-8 once encoded. A comment never becomes a parser directive by being moved to the top."""
    lines = [f"# {directive.name}={directive.value}" for directive in dockerfile.directives]
    if lines or (dockerfile.instructions and dockerfile.instructions[0].comment):
        lines.append("")
    for instruction in dockerfile.instructions:
        lines.extend(f"# {comment}" for comment in instruction.comment)
        lines.extend(_broken(instruction.original, dockerfile.escape))
        lines.extend(f"{heredoc.body}{heredoc.name}" for heredoc in instruction.heredocs)
    return "\n".join(lines) + ("" if _ends_in_escape(dockerfile) else "\n")


def _broken(text: str, escape: str) -> Iterator[str]:
    """The logical line in physical lines that are short enough."""
    while len(text) > _BREAK:
        at = _BREAK
        # No piece may end in an escape character, and none may look empty or like a comment.
        while at > 1 and (text[at - 1] == escape or text[at] in "# \t" or text[at].isspace()):
            at -= 1
        if at == 1:
            break
        yield text[:at] + escape
        text = text[at:]
    yield text + f" {escape}" if _is_continued(text, escape) else text


def _is_continued(text: str, escape: str) -> bool:
    return text.endswith(escape) and text[-2:-1] != escape


def _ends_in_escape(dockerfile: Dockerfile) -> bool:
    """Only the end of the file can leave an instruction that ends in an escape character, so it must stay the end."""
    last: Instruction = dockerfile.instructions[-1]
    return not last.heredocs and _is_continued(last.original, dockerfile.escape)
