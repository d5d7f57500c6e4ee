"""One phrase a cause."""

from __future__ import annotations

from typing import get_args

import pytest

from lamina.keys.decide import CauseKind, MissCause
from lamina.keys.facts import ChangeKind, FileChange
from lamina.report.causes import file_phrase, phrase

CAUSES = [
    (MissCause("first_build"), "never built before"),
    (MissCause("evicted"), "its layer is no longer in the store"),
    (MissCause("forced"), "--no-cache"),
    (MissCause("order"), "the same inputs in another order"),
    (MissCause("parent", "parent", origin="a/1"), "a step above it was rebuilt"),
    (MissCause("added", "env A", after="1"), "A is new: 1"),
    (MissCause("removed", "env A", before="1"), "A is gone"),
    (MissCause("added", "epoch", after="offered"), "SOURCE_DATE_EPOCH is offered now"),
    (MissCause("removed", "epoch", before="offered"), "SOURCE_DATE_EPOCH is not offered now"),
    (MissCause("changed", "env A", "1", "2"), "A: 1 → 2"),
    (MissCause("changed", "user", "", "app"), "the user: nothing → app"),
    (MissCause("changed", "env A", "1", "x" * 60), f"A: 1 → {'x' * 47}…"),
    (MissCause("changed", "command", "a", "b"), "the command is different"),
    (MissCause("changed", "parent", "RUN a", "FROM x"), "it stands on 'FROM x', not on 'RUN a'"),
    (MissCause("changed", "parent", "sha256:1", "sha256:2"), "what lies below it came out differently"),
    (MissCause("changed", "base", "sha256:12", "sha256:34"), "the base image is another: 12 → 34"),
    (
        MissCause("changed", "source .", "1", "2", (FileChange("a", "mode", "0644", "0664"),), total=9, sole="mode"),
        "only modes differ: a: mode 0644 → 0664",
    ),
    (MissCause("changed", "source 1", "d1", "d2"), "the files that it copies are different"),
    (
        MissCause("changed", "source 1", "d1", "d2", (FileChange("a.py", "content", "1", "2"),)),
        "a.py is different",
    ),
]
FILES = [
    (FileChange("a", "added", "", "file"), "a is new"),
    (FileChange("a", "removed", "file", ""), "a is gone"),
    (FileChange("a", "content", "1", "2"), "a is different"),
    (FileChange("a", "content", "1", "2", ((3, 3),)), "a is different: line 3"),
    (FileChange("a", "content", "1", "2", ((3, 5), (9, 9))), "a is different: lines 3 to 5 and 1 more place"),
    (FileChange("a", "content", "1", "2", ((3, 2),)), "a is different: after line 2, where lines are gone"),
    (FileChange("a", "content", "1", "2", ((1, 0),)), "a is different: its first lines are gone"),
    (FileChange("a", "line-ends", "1", "2"), "a: nothing but line ends"),
    (FileChange("a", "mode", "0644", "0755"), "a: mode 0644 → 0755"),
    (FileChange("a", "type", "file", "dir"), "a was a file, is a dir"),
    (FileChange("a", "target", "x", "y"), "a points to y, not to x"),
    (FileChange("a", "owner", "0:0", "5:6"), "a: owner 0:0 → 5:6"),
    (FileChange("a", "xattrs", "", "user.x"), "a: extended attributes differ"),
]


@pytest.mark.parametrize(("cause", "text"), CAUSES)
def test_phrases(cause: MissCause, text: str) -> None:
    assert phrase(cause) == text
    assert phrase(cause, 2) == f"{text} (and 2 more)"


@pytest.mark.parametrize(("change", "text"), FILES)
def test_file_phrases(change: FileChange, text: str) -> None:
    assert file_phrase(change) == text


def test_no_kind_is_forgotten() -> None:
    assert {cause.kind for cause, _ in CAUSES} == set(get_args(CauseKind))
    assert {change.kind for change, _ in FILES} == set(get_args(ChangeKind))
