"""When neighbouring RUNs are put into one, what that is said to spare, and when they are left alone."""

from __future__ import annotations

import pytest
from tests.support.advising import advised, body
from tests.support.layer_values import layers_of

UPDATE, INSTALL, CLEAN = "RUN apt-get update", "RUN apt-get install -y git", "RUN rm -rf /var/lib/apt/lists/*"
MEGA = 1_000_000


def merged(*lines: str, copy: str = "") -> list[str]:
    advice = advised("\n".join(["FROM base", *lines, copy, ""]), {})
    assert advice.after.replay.seconds <= advice.before.replay.seconds
    return body(advice)


def test_an_index_is_used_and_deleted_where_it_is_fetched() -> None:
    (line,) = merged(UPDATE, INSTALL, CLEAN)
    commands = [part.strip() for part in line.removeprefix("RUN ").split("&&")]
    assert commands == ["apt-get update", "apt-get install -y git", "rm -rf /var/lib/apt/lists/*"]


def test_what_is_said_of_it() -> None:
    advice = advised(f"FROM base\n{UPDATE}\n{INSTALL}\n", {})
    (move,) = advice.after.moves
    assert move.what == f"Put `{UPDATE}` and `{INSTALL}` into one RUN" and move.spared == 0
    assert "stays cached when the packages" in move.why[0] and "is not known" in move.why[1]
    assert "runs all of them again" in move.risks[0]
    assert advice.saved == 0 and advice.better


@pytest.mark.parametrize(
    "lines",
    [
        (UPDATE, "USER me", INSTALL),
        (UPDATE, "ENV A=b", INSTALL),
        ("RUN --mount=type=cache,target=/var/lib/apt apt-get update", "RUN apt-get install -y git"),
        ("RUN cd /x && apt-get update", INSTALL),
        (UPDATE, "RUN apt-get update && apt-get install -y git"),
        (UPDATE, "RUN apt-get install -y git || true"),
        (UPDATE, "RUN apt-get install -y git; true"),
        (UPDATE, 'RUN ["apt-get", "install", "-y", "git"]'),
        ("RUN apk add git", "RUN apk add make"),
        ("RUN pip install a", "RUN pip install b"),
    ],
)
def test_what_stays_apart(lines: tuple[str, ...]) -> None:
    assert merged(*lines) == list(lines)


def test_what_does_not_always_run_together_stays_apart() -> None:
    text = f"FROM base\n{UPDATE}\nRUN --mount=type=bind,source=src,target=/s apt-get install -y git\n"
    assert not advised(text, {}).better
    below = advised(f"FROM base\n{UPDATE}\nCOPY src /src\n{INSTALL}\nRUN make\n", {})
    assert below.after.replay.seconds < below.before.replay.seconds
    assert [line.split()[0] for line in body(below)] == ["RUN", "COPY", "RUN"]


def test_bytes_that_nobody_sees() -> None:
    make, clean = "RUN wget x && tar xf x", "RUN rm x"
    steps = {make: {"x": 30 * MEGA, "out": 5}, clean: {"x": -1}}
    advice = advised(f"FROM base\n{make}\n{clean}\n", {}, layers=layers_of(steps))
    (move,) = advice.after.moves
    assert move.spared == 30 * MEGA and "hides /x of the layer of" in move.why[0]
    assert len(body(advice)) == 1
    small = {make: {"x": MEGA // 2}, clean: {"x": -1}}
    assert not advised(f"FROM base\n{make}\n{clean}\n", {}, layers=layers_of(small)).better
    # The same, but what is deleted was there before: merging frees nothing.
    kept = {make: {"out": 5}, clean: {"x": -1}}
    assert not advised(f"FROM base\n{make}\n{clean}\n", {}, layers=layers_of(kept, {"x": 30 * MEGA})).better


def test_what_lies_between_is_merged_too() -> None:
    make, use, clean = "RUN wget x", "RUN ./x install", "RUN rm x"
    steps = {make: {"x": 9 * MEGA}, use: {"out": 2 * MEGA}, clean: {"x": -1}}
    advice = advised(f"FROM base\n{make}\n{use}\n{clean}\n", {}, layers=layers_of(steps))
    assert len(body(advice)) == 1 and sum(move.spared for move in advice.after.moves) == 9 * MEGA


def test_the_lines_stay_as_they_are_written() -> None:
    text = (
        "FROM base\n# fetch\nRUN apt-get update\n\n# tools\nRUN apt-get install -y \\\n    # the first\n    git \\\n"
        "    make\n# end\n"
    )
    found = advised(text, {}).after.scene.sheet.text
    assert found == (
        "FROM base\n# fetch\nRUN apt-get update \\\n# tools\n    && apt-get install -y \\\n    # the first\n"
        "    git \\\n    make\n# end\n"
    )
    flags = "RUN --network=host \\\n  apt-get update\nRUN --network=host \\\n  apt-get install -y git\n"
    (line,) = body(advised(f"FROM base\n{flags}", {}))
    assert line.count("--network=host") == 1 and line.endswith("&& apt-get install -y git")
    crlf = advised(f"FROM base\r\n{UPDATE}\r\n{INSTALL}\r\n", {}).after.scene.sheet.text
    assert crlf.count("\r\n") == crlf.count("\n") == 3
