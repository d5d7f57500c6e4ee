"""What an observed step looked at, as a user reads it."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace
from tests.unit.report.test_explain_lines import BUILD, COPY, source, step, story

from lamina.digest import digest_of
from lamina.explain.narrative import narrate
from lamina.explain.needed import Needed
from lamina.explain.observed import Saw, SeenCopy, Sight, Sort
from lamina.keys.decide import MissCause
from lamina.keys.facts import ChangeKind, FileChange
from lamina.keys.looks import ANSWER, NOT_THERE, Look, LookKind, SeenLayer
from lamina.keys.record import CacheKey, KeyPart
from lamina.report import explain_json
from lamina.report.explain import narrative_lines, reason, step_lines
from lamina.report.explain_observed import read_phrase, saw_phrase, seen_lines

KEY = CacheKey(2, "copy", (KeyPart("destination", "/app/"),), digest_of(b"key"))
COPIED = replace(COPY, key=KEY, causes=(source(FileChange("shop/new.py", "added", "", "file")),))
BROKEN = MissCause("parent", "parent", origin="stage-0/3", look=Look("app/shop", "list"))
COMPILE = step(4, "RUN python -m compileall .", causes=(BROKEN,), seconds=4.0, size=9000)
CACHED = step(5, "RUN pip install", "cached", how="observation", read=(2, 214), saved=61.0, size=7)


CURE = (
    "To avoid it: If line 4 (RUN python -m compileall .) needs only some of these files, copy those first, and the "
    "rest in a COPY below it."
)


def layer(*looks: tuple[str, LookKind], missing: tuple[str, ...] = ()) -> SeenLayer:
    found = {Look(path, kind): b"x" * ANSWER for path, kind in looks} | {
        Look(path, "entry"): NOT_THERE for path in missing
    }
    ordered = tuple(sorted(found))
    return SeenLayer(ordered, b"".join(found[look] for look in ordered), 214)


SEEN = SeenCopy(
    COPIED, "app", layer(("app", "entry"), ("app/Pipfile", "read"), ("app/\x1b", "list"), missing=("app/s",))
)


def test_a_step_is_told_with_what_it_saw_and_what_stayed_cached() -> None:
    told = story(COPIED, COMPILE, CACHED)
    assert narrative_lines(narrate(told), told) == [
        "Line 3: COPY . .",
        "  ran because shop/new.py is new.",
        "It dragged along 1 step, in which nothing else had changed:",
        "    line 4  RUN python -m compileall .  4.0s  9kB  listed shop, where new.py is new",
        "Together that took 4.5s and made 10kB of layers; the last time it was 0.4s (1 of them ran before).",
        "1 step below stayed cached, since nothing that it looked at has changed: 1m 01s saved.",
        "    line 5  RUN pip install  1m 01s  read 2 of 214 files",
        CURE,
    ]
    many = story(COPIED, *[replace(CACHED, address=f"stage-0/{number}") for number in range(10, 17)])
    assert "    and 2 more (--all)" in narrative_lines(narrate(many), many)
    assert not any("more" in line for line in narrative_lines(narrate(many), many, whole=True))


def test_one_observed_step_alone() -> None:
    told = story(COPIED, COMPILE, CACHED)
    assert step_lines(COMPILE, told, narrate(told), None, 0.0)[1:4] == [
        "  ran because it listed shop, where new.py is new; nothing else of it had changed.",
        "  The step above it is line 3, COPY . .,",
        "  which ran because shop/new.py is new.",
    ]
    assert step_lines(CACHED, told, narrate(told), None, 0.0)[1:] == [
        "  was cached: it read 2 of 214 copied files, and nothing that it looked at has changed.",
        "  That saved 1m 01s.",
    ]
    assert read_phrase(replace(CACHED, read=(0, 1))).startswith("it read 0 of 1 copied file, and")


@pytest.mark.parametrize(
    ("kind", "sort", "change", "inside", "said"),
    [
        ("list", "listed", FileChange("a/new.py", "added", "", "file"), True, "listed a, where new.py is new"),
        ("list", "listed", FileChange("new.py", "removed", "file", ""), True, "listed ., where new.py is gone"),
        ("list", "listed", FileChange("a", "removed", "dir", ""), False, "listed a, which is gone"),
        ("list", "listed", None, False, "listed a, where names changed"),
        ("read", "read", FileChange("a", "content", "1", "2", ((3, 3),)), False, "read a, which is different: line 3"),
        ("read", "read", None, False, "read a, which is different now"),
        ("entry", "looked", FileChange("a", "added", "", "file"), False, "looked for a, which is new"),
        ("entry", "looked", FileChange("a", "removed", "file", ""), False, "looked at a, which is gone"),
        ("entry", "looked", FileChange("a", "mode", "0644", "0755"), False, "looked at a: mode 0644 → 0755"),
        (
            "link",
            "followed",
            FileChange("a", "target", "v1", "v2"),
            False,
            "followed the link a, which points to v2, not to v1",
        ),
        ("entry", "looked", FileChange("\x1b[2J", "added", "", "file"), False, "looked for \\x1b[2J, which is new"),
    ],
)
def test_what_broke_in_words(kind: LookKind, sort: Sort, change: FileChange | None, inside: bool, said: str) -> None:
    assert saw_phrase(Saw(Look("app/a", kind), Sight("a", sort), change, inside)) == said


def test_what_was_looked_at() -> None:
    needed = Needed(("COPY Pipfile ./",), ("Pipfile",), 1, 214)
    lines = seen_lines(CACHED, [(SEEN, needed), (replace(SEEN, copy=None, top=""), None)])
    assert lines[:6] == [
        "Line 5: RUN pip install",
        "  of line 3, COPY . . (214 files in /app):",
        "    read Pipfile",
        "    listed \\x1b",
        "    looked for s: not there",
        "    all that it needs of it: COPY Pipfile ./",
    ]
    assert lines[6] == "  a layer of 214 files:"
    assert "    went through ." in seen_lines(CACHED, [(SEEN, None)], whole=True)


def test_long_lists_are_cut_unless_all_is_asked_for() -> None:
    one = SeenCopy(COPIED, "app", layer(*((f"app/{number:02}", "read") for number in range(20))))
    assert seen_lines(CACHED, [(one, None)])[-1] == "    read 8 more (--all)"
    assert len(seen_lines(CACHED, [(one, None)], whole=True)) == 22
    nothing = SeenCopy(COPIED, "app", layer(("app", "entry"), missing=("etc",)))
    assert seen_lines(CACHED, [(nothing, Needed((), (), 0, 214))])[2:] == [
        "    nothing but what leads to other files (--all)",
        "    it needs none of it",
    ]
    assert seen_lines(CACHED, [(replace(nothing, seen=layer()), None)])[2:] == ["    nothing"]


def test_a_cause_that_is_a_look() -> None:
    assert reason(BROKEN) == "it listed /app/shop, where names changed."


def test_the_json_of_looks() -> None:
    told = story(COPIED, COMPILE, CACHED)
    (cause,) = json.loads(explain_json.document(BUILD, (), told, narrate(told), None))["causes"]
    (dragged,) = cause["dragged"]
    assert dragged["saw"]["path"] == "app/shop" and dragged["saw"]["change"]["path"] == "shop/new.py"
    assert cause["spared"] == ["stage-0/5"]
    (found,) = json.loads(explain_json.document(BUILD, (), told, narrate(told), COMPILE))["steps"]
    assert found["causes"][0]["name"] == "observed-list" and found["observed"] is False
    document = explain_json.observed(BUILD, (), [(CACHED, [(SEEN, Needed((), (), 0, 1)), (SEEN, None)])])
    (listed,) = json.loads(document)["steps"]
    first, second = listed["layers"]
    assert (first["needed"], second["needed"], first["destination"], first["files"]) == ([], None, "/app", 214)
    assert {"path": "/app/s", "kind": "entry", "there": False} in first["looks"]


@pytest.mark.parametrize("kind", ["added", "removed", "content", "type", "target", "mode", "xattrs", "line-ends"])
def test_every_change_can_be_told(kind: ChangeKind) -> None:
    for look in ("entry", "list", "read", "link", "xattrs"):
        told = saw_phrase(Saw(Look("a", look), Sight("a", "read"), FileChange("a", kind, "1", "2")))
        assert " a" in told and "  " not in told
