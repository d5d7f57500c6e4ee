"""What `lamina repro` says: the same image twice, or the first step and file that came out differently."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from lamina.digest import Digest
from lamina.explain.story import ToldStep
from lamina.image.compare import Difference
from lamina.report.differences import cure_lines, difference_phrase, plain_difference

#: An instruction is cut off at so many characters.
_WIDTH = 100
#: Said of a file that is none of the usual suspects.
_UNKNOWN = "  the step writes what depends on the clock, on chance or on the network: see docs/reproducible.md"


class Finding(Struct, frozen=True):
    """What two builds came to: their images, and the seconds that each took. If they differ, `step` is the first whose
    layer does, None if none does; then `settings` are the fields of the configuration that do. `first` are the step's
    first differences, of `total`. `more` steps differ after it."""

    images: tuple[Digest, Digest]
    seconds: tuple[float, float]
    step: ToldStep | None = None
    stage: str = ""
    first: tuple[Difference, ...] = ()
    total: int = 0
    more: int = 0
    settings: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        return self.images[0] == self.images[1]


def finding_lines(found: Finding) -> list[str]:
    """The finding for people."""
    first, second = found.seconds
    took = f"built in {first:.1f}s and {second:.1f}s"
    if found.same:
        return [f"reproducible: {found.images[0]}", took]
    lines = [f"not reproducible: {found.images[0]}", f"              and {found.images[1]}"]
    if found.step is None:
        return [*lines, f"the layers are the same, the configuration is not: {', '.join(found.settings)}", took]
    span = found.step.span
    text = " ".join(found.step.text.split())
    text = text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
    lines += [f"the first step that differs: {text}", f"  {span.file}:{span.line}"]
    lines += _differences(found.first, found.total)
    if found.more:
        lines.append(f"{found.more} more step{'s differ' if found.more > 1 else ' differs'} after it")
    return [*lines, took]


def finding_json(found: Finding) -> dict[str, object]:
    """The finding for programs: `docs/reproducible.md`."""
    step = found.step
    return {
        "same": found.same,
        "images": found.images,
        "seconds": tuple(round(each, 3) for each in found.seconds),
        "step": step and {"stage": found.stage, "address": step.address, "text": step.text, "line": step.span.line},
        "differences": [plain_difference(each) for each in found.first],
        "total": found.total,
        "more": found.more,
        "settings": found.settings,
    }


def _differences(first: Sequence[Difference], total: int) -> list[str]:
    if not first:
        return []
    more = f", and {total - 1} more" if total > 1 else ""
    return [f"  {first[0].path} differs ({difference_phrase(first[0])}{more})", *(cure_lines(first[0]) or [_UNKNOWN])]
