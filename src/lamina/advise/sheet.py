"""A Dockerfile's text cut into blocks that can be moved: an instruction with the comments above it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from lamina.dockerfile import parse
from lamina.dockerfile.syntax import Dockerfile, From, Instruction


class Block(Struct, frozen=True):
    """One instruction's lines, line ends included. `lead` are the comments and empty lines above it, back to the
    instruction before; `instruction` is None for one that a move has made."""

    lead: tuple[str, ...]
    body: tuple[str, ...]
    instruction: Instruction | None = None

    @property
    def text(self) -> str:
        return "".join((*self.lead, *self.body))


class Sheet(Struct, frozen=True):
    """A whole file: `blocks` in order, then `tail`. `name` is what places in it are called by."""

    name: str
    blocks: tuple[Block, ...]
    tail: tuple[str, ...]
    newline: str
    #: Whether comments and empty lines set instructions apart, so that those that are put in get them too.
    airy: bool
    parsed: Dockerfile

    @property
    def text(self) -> str:
        return "".join(block.text for block in self.blocks) + "".join(self.tail)

    def with_blocks(self, blocks: Sequence[Block]) -> Sheet:
        """The sheet of the text that these blocks make. Raises BuildFailure if that is no Dockerfile."""
        text = "".join(block.text for block in blocks) + "".join(self.tail)
        return sheet(text.encode("utf-8", "surrogateescape"), self.name)

    def made(self, lines: Sequence[str], comment: str = "") -> Block:
        """A block of new instructions in the manner of the file."""
        lead = (self.newline, f"# {comment}{self.newline}") if self.airy and comment else ()
        return Block(lead, tuple(line + self.newline for line in lines))

    def stage(self, index: int) -> range:
        """The places in `blocks` of a stage's instructions, FROM left out."""
        begins = [at for at, block in enumerate(self.blocks) if isinstance(block.instruction, From)]
        end = begins[index + 1] if index + 1 < len(begins) else len(self.blocks)
        return range(begins[index] + 1, end)


def sheet(text: bytes, name: str) -> Sheet:
    """Cut a file. Raises BuildFailure `dockerfile-…` as parsing does."""
    parsed = parse(text, name)
    raw = text.decode("utf-8", "surrogateescape").split("\n")
    lines = [line + "\n" for line in raw[:-1]] + ([raw[-1]] if raw[-1] else [])
    newline = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    blocks: list[Block] = []
    at = 0
    for instruction in parsed.instructions:
        first, end = instruction.span.line - 1, instruction.span.end_line
        body = [*lines[first:end]]
        if not body[-1].endswith("\n"):
            body[-1] += newline
        blocks.append(Block(tuple(lines[at:first]), tuple(body), instruction))
        at = end
    spaced = sum(bool(block.lead) for block in blocks[1:])
    return Sheet(name, tuple(blocks), tuple(lines[at:]), newline, spaced * 2 > len(blocks) - 1, parsed)


def moved(blocks: Sequence[Block], at: int, to: int) -> list[Block]:
    """The blocks with the one `at` put behind the one that is `to` now (`to` > `at`)."""
    rest = [*blocks[:at], *blocks[at + 1 :]]
    return [*rest[:to], blocks[at], *rest[to:]]
