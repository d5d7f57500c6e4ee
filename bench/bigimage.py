"""The image that travels: 1 GiB in twenty layers, half of it random, half what compresses as images do."""

from __future__ import annotations

import random
from pathlib import Path

from bench.peers import BASE

LAYERS = 20
#: Bytes of each kind in a layer: twenty times the two halves are 1 GiB.
HALF = (1 << 30) // (2 * LAYERS)
#: Text and programs compress alike well here, but text lies in many small files.
_TEXT = HALF // 2
_RANDOM_FILE = 4 << 20
#: Bytes a program or library may have, to be one of the files of a layer.
_SIZES = range(20_000, 2_000_000)


def write_big_context(context: Path, layers: int = LAYERS) -> None:
    """A context whose Dockerfile copies one folder a layer. Text and random bytes are the same each time; programs and
    libraries are this machine's own, for nothing made up compresses as they do."""
    context.mkdir(parents=True)
    source = random.Random(1)
    lines = [f"FROM {BASE}"]
    for number in range(layers):
        write_layer_files(context / f"layer-{number:02d}", source)
        lines.append(f"COPY layer-{number:02d} /layer-{number:02d}")
    (context / "Dockerfile").write_text("\n".join(lines) + "\n")


def write_layer_files(folder: Path, source: random.Random, half: int = HALF) -> None:
    """One layer's files: `half` bytes of random ones, and as many of text and of programs."""
    folder.mkdir()
    for number, size in enumerate(_parts(half, _RANDOM_FILE)):
        (folder / f"random-{number:02d}").write_bytes(source.randbytes(size))
    left, number = half // 2, 0
    while left > 0:
        folded = folder / f"text-{number // 100:02d}"
        folded.mkdir(exist_ok=True)
        size = min(left, source.randint(2_000, 40_000))
        (folded / f"{number:04d}.txt").write_bytes(_text(source, size))
        left, number = left - size, number + 1
    left, number, programs = half - half // 2, 0, _programs()
    while left > 0:
        data = programs[source.randrange(len(programs))].read_bytes()[:left]
        (folder / f"program-{number:03d}").write_bytes(data)
        left, number = left - len(data), number + 1


def _parts(total: int, most: int) -> list[int]:
    return [min(most, total - at) for at in range(0, total, most)]


def _programs() -> list[Path]:
    """Programs and libraries of this machine, in the same order each time."""
    found = [*Path("/usr/bin").iterdir(), *Path("/usr/lib").glob("*-linux-gnu/*.so*")]
    return sorted(one for one in found if one.is_file() and not one.is_symlink() and one.stat().st_size in _SIZES)


def _text(source: random.Random, size: int) -> bytes:
    """Words, some much more often than others."""
    return " ".join(source.choices(_WORDS, _WEIGHTS, k=size // 4)).encode()[:size]


_letters = random.Random(2)
_WORDS = ["".join(_letters.choices("etaoinshrdlucmfwyp", k=_letters.randint(2, 11))) for _ in range(4000)]
_WEIGHTS = [1 / (rank + 1) for rank in range(4000)]
