"""Each `dockerfile/NAME.Dockerfile` parses to what `dockerfile/NAME.json` says, places included.

`python tests/golden/test_golden_dockerfile.py` writes the JSON files anew; read the difference before you keep it.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from lamina.diagnostics import BuildFailure, Span
from lamina.dockerfile import parse, to_text
from lamina.dockerfile.syntax import Dockerfile

FOLDER = Path(__file__).parent / "dockerfile"
CASES = sorted(FOLDER.glob("*.Dockerfile"))


def described(path: Path) -> str:
    try:
        parsed = parse(path.read_bytes(), "Dockerfile")
    except BuildFailure as failure:
        return rendered({"failure": msgspec.to_builtins(failure.diagnostic)})
    value = msgspec.to_builtins(parsed)
    # The lines are the input itself.
    del value["lines"], value["file"]
    return rendered(value)


def rendered(value: object) -> str:
    """JSON with each span as `line:column-line:column` and without what is empty."""
    return msgspec.json.format(msgspec.json.encode(compact(value)), indent=1).decode() + "\n"


def compact(value: object) -> object:
    if isinstance(value, dict):
        if value.keys() == set(Span.__struct_fields__):
            return "{line}:{column}-{end_line}:{end_column}".format(**value)
        return {key: compact(item) for key, item in value.items() if item not in ((), [], None)}
    return [compact(item) for item in value] if isinstance(value, (list, tuple)) else value


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 25


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_parse(path: Path) -> None:
    assert described(path) == path.with_suffix(".json").read_text()


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_printing_loses_nothing(path: Path) -> None:
    once = parse(path.read_bytes(), "Dockerfile")
    again = parse(to_text(once).encode(), "Dockerfile")
    assert placeless(again) == placeless(once)


def placeless(dockerfile: Dockerfile) -> str:
    return re.sub(r"span=Span\(.*?\)", "", repr((dockerfile.directives, dockerfile.instructions)))


if __name__ == "__main__":
    for case in CASES:
        case.with_suffix(".json").write_text(described(case))
