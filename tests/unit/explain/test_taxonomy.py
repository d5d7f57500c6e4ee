"""Every cause has one entry, every entry has a cause, and the page is made from the table."""

from __future__ import annotations

from typing import get_args

import pytest
from tests.support.causes_page import PAGE, page

from lamina.dockerfile import parse
from lamina.explain.entry import Entry
from lamina.explain.taxonomy import BY_NAME, ENTRIES, entry_of, name_of
from lamina.keys.decide import CauseKind, MissCause
from lamina.keys.facts import ChangeKind, FileChange, Sole
from lamina.keys.schema import PARTS


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_an_example_is_an_example_of_its_entry(entry: Entry) -> None:
    assert entry_of(entry.cause) is entry
    assert entry.meaning.endswith(".") and not entry.edit.endswith(".")
    assert entry.cure == "" or entry.cure.endswith(".") or "`" in entry.cure


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_an_example_is_a_dockerfile(entry: Entry) -> None:
    assert parse(entry.dockerfile.encode(), "Dockerfile")


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(ENTRIES)


@pytest.mark.parametrize("kind", get_args(CauseKind))
def test_every_kind_and_every_part_of_every_key_has_an_entry(kind: CauseKind) -> None:
    for parts in PARTS.values():
        for part in parts:
            cause = MissCause(kind, part.replace("…", "x"), "1", "2")
            assert name_of(cause) in BY_NAME
            # Only what is not in the recipe is told as "another input".
            assert name_of(cause) != "other-input", part


@pytest.mark.parametrize("kind", get_args(ChangeKind))
@pytest.mark.parametrize("sole", get_args(Sole))
def test_every_change_of_a_file_has_an_entry(kind: ChangeKind, sole: Sole) -> None:
    change = FileChange("a", kind, "1", "2")
    name = name_of(MissCause("changed", "source .", "1", "2", (change,), total=1, sole=sole))
    assert name in BY_NAME and name != "other-input"


def test_the_page_is_that_of_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew: python -m tests.support.causes_page"
