"""Making new inputs from old ones: bytes, lines and tokens changed, moved, doubled, joined from two inputs."""

from __future__ import annotations

from pathlib import Path
from random import Random

TESTS = Path(__file__).parents[1]
TOKENS = [
    *b"FROM |RUN |COPY |ADD |ENV |ARG |LABEL |ONBUILD |HEALTHCHECK |SHELL |CMD |ENTRYPOINT |EXPOSE |USER ".split(b"|"),
    *rb"\|\ |`|#|'|\"|$|${|}|${a:-|${a#|${a//|:?|--from=|--mount=type=|--chown=|--link|--exclude=".split(b"|"),
    *b"<<|<<-|<<E|<<'E'|3<<E|[|]|,|=|**|*|?|!|/../|/./|~|NONE|scratch|AS |0|-1|99999999999999999999|1h|id=".split(b"|"),
    b"--parents", b"\n", b"\r\n", b"\t", b"\x00", b"\xff", b"\xc2\xa0", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\x1c",
    b"\\\n", b"\nE\n", b"# escape=`\n", b"# syntax=x\n", b"# check=skip=all;error=true\n",
]  # fmt: skip
LONGEST = 8000


def seeds() -> list[bytes]:
    """The corpus, the golden files, the oracle's Dockerfiles, and some ignore files."""
    folders = (TESTS / "corpus", TESTS / "golden" / "dockerfile")
    found = [path.read_bytes() for folder in folders for path in sorted(folder.glob("*.Dockerfile"))]
    ignore = (b"*\n!src\n", b"**/*.log\n!keep.log\n#c\n", b"a/**/b\n[a-z]?\n", b"\\#x\n**.bak\n /a/../b/ \n")
    return [*found, *(b"!" + text for text in ignore)]


def mutated(random: Random, pool: list[bytes]) -> bytes:
    """One new input: some changes to one of the pool."""
    data = bytearray(random.choice(pool))
    for _ in range(random.choice((1, 1, 2, 3, 6))):
        _change(random, data, pool)
    return bytes(data[:LONGEST])


def _change(random: Random, data: bytearray, pool: list[bytes]) -> None:
    at = random.randrange(len(data) + 1)
    end = min(len(data), at + random.choice((1, 1, 2, 5, 40)))
    match random.randrange(8):
        case 0:
            data[at:at] = random.choice(TOKENS)
        case 1:
            data[at:end] = random.choice(TOKENS)
        case 2:
            del data[at:end]
        case 3:
            data[at:at] = data[at:end] * random.choice((1, 2, 50))
        case 4:
            data[at:end] = bytes(random.randrange(256) for _ in range(end - at))
        case 5:
            other = random.choice(pool)
            start = random.randrange(len(other) + 1)
            data[at:] = other[start:]
        case _:
            lines = data.split(b"\n")
            one, two = random.randrange(len(lines)), random.randrange(len(lines))
            if random.random() < 0.5:
                lines[one], lines[two] = lines[two], lines[one]
            else:
                lines.insert(one, bytearray(random.choice(random.choice(pool).split(b"\n"))))
            data[:] = bytearray(b"\n").join(lines)
