"""What differs between two layers that should be the same, in words: for `cache verify --steps` and `repro`."""

from __future__ import annotations

from lamina.explain.suspects import Suspect, suspect
from lamina.image.compare import Difference


def difference_phrase(difference: Difference) -> str:
    """What differs at its path, such as `content, line 3`."""
    match difference.kind:
        case "content" if difference.line is not None:
            return f"content, line {difference.line}"
        case "content":
            return f"content, byte {difference.offset}"
        case "added":
            return f"a new {difference.after}"
        case "removed":
            return f"the {difference.before} is gone"
        case _ if difference.before == difference.after:
            return difference.kind
        case _:
            return f"{difference.kind}, {difference.before or 'none'} → {difference.after or 'none'}"


def cure_lines(difference: Difference) -> list[str]:
    """Why such files differ and what cures it, if it is known: one line or none."""
    found = _suspect(difference)
    return [f"  {found.why}: {found.cure}"] if found is not None else []


def plain_difference(difference: Difference) -> dict[str, object]:
    """For `--json`."""
    found = _suspect(difference)
    fields = {name: getattr(difference, name) for name in ("path", "kind", "before", "after", "line", "offset")}
    return {**fields, "why": found.why if found else None, "cure": found.cure if found else None}


def _suspect(difference: Difference) -> Suspect | None:
    return suspect(difference.path, difference.magic, difference.offset)
