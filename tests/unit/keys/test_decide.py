"""Why a step missed: the comparison of its key with those that its records keep."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from lamina.digest import ChainID, Digest
from lamina.keys.compute import run_key
from lamina.keys.decide import CauseKind, MissCause, compare, explain_miss
from lamina.keys.facts import Comparison, FileChange
from lamina.keys.record import CacheKey, CacheRecord, KeyPart
from lamina.oci.platform import Platform
from lamina.plan.steps import RunOp

LINUX = Platform("linux", "amd64")
PARENT = Digest("sha256:" + "1" * 64)
OTHER = Digest("sha256:" + "2" * 64)
CHAIN = ChainID("sha256:" + "c" * 64)
RUN = RunOp(("make",), (("PATH", "/bin"), ("A", "1")), (), "", "/")


def no_files(before: CacheKey, old: KeyPart, new: KeyPart) -> Comparison:
    raise AssertionError("there is no file list to compare")


def key(parent: Digest = PARENT, **changes: Any) -> CacheKey:
    return run_key(replace(RUN, **changes), parent, LINUX)


def record(of: CacheKey, **changes: Any) -> CacheRecord:
    made = CacheRecord(
        of, Digest("content"), "app/1", "p", "RUN make", CHAIN, None, None, None, 1.0, 0, 0.0, build="b", version="0"
    )
    return replace(made, **changes)


def copy_of(*sources: tuple[str, str]) -> CacheKey:
    """A key with these (text, file list) sources."""
    parts = [KeyPart(f"source {text}", files, Digest(files)) for text, files in sources]
    return CacheKey(1, "copy", (KeyPart("parent", PARENT), *parts), Digest(f"copy of {sources}"))


def test_a_step_without_records_is_new() -> None:
    miss = explain_miss(key(), [], no_files)
    assert (miss.causes, miss.nearest) == ((MissCause("first_build"),), None)


def test_records_of_another_kind_of_step_do_not_count() -> None:
    """At this place of the file stood a COPY."""
    assert explain_miss(key(), [record(copy_of(("a", "f1")))], no_files).causes == (MissCause("first_build"),)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"env": (("PATH", "/bin"), ("A", "2"))}, MissCause("changed", "env A", "1", "2")),
        ({"env": (*RUN.env, ("B", "new"))}, MissCause("added", "env B", None, "new")),
        ({"env": RUN.env[:1]}, MissCause("removed", "env A", "1", None)),
        ({"argv": ("make", "all")}, MissCause("changed", "command", '["make"]', '["make","all"]')),
        ({"user": "app"}, MissCause("changed", "user", "", "app")),
        ({"cwd": "/app"}, MissCause("changed", "directory", "/", "/app")),
        ({"network": "none"}, MissCause("changed", "network", "default", "none")),
    ],
)
def test_the_part_that_differs_is_named_with_both_values(change: dict[str, Any], cause: MissCause) -> None:
    old = record(key())
    miss = explain_miss(key(**change), [old], no_files)
    assert (miss.causes, miss.nearest) == ((cause,), old)


def test_causes_come_in_key_order() -> None:
    miss = explain_miss(key(argv=("x",), user="app", env=(("A", "1"), ("Z", "1"))), [record(key())], no_files)
    assert [(cause.kind, cause.part) for cause in miss.causes] == [
        ("changed", "command"),
        ("added", "env Z"),
        ("changed", "user"),
        ("removed", "env PATH"),
    ]


def test_the_same_environment_in_another_order() -> None:
    (cause,) = compare(key(), key(env=RUN.env[::-1]), no_files)
    assert cause.kind == "order"
    assert cause.before is not None and cause.after is not None
    assert cause.before.index("env PATH") < cause.before.index("env A")
    assert cause.after.index("env A") < cause.after.index("env PATH")


def test_equal_keys_have_no_difference() -> None:
    assert compare(key(), key(), no_files) == ()


def test_file_lists_are_compared_and_the_changes_passed_through() -> None:
    asked = []
    changes = (FileChange("a", "mode", "1", "2"), FileChange("b", "mode", "1", "2"))
    before = copy_of(("x", "f1"), ("y", "same"))

    def compared(key: CacheKey, old: KeyPart, new: KeyPart) -> Comparison:
        asked.append((key, old.files, new.files))
        return Comparison(changes, 9, "mode")

    causes = compare(before, copy_of((".", "f2"), ("y", "same")), compared)
    assert causes == (MissCause("changed", "source .", "f1", "f2", changes, total=9, sole="mode"),)
    assert asked == [(before, "f1", "f2")]


def test_a_source_that_joined() -> None:
    (cause,) = compare(copy_of(("x", "f1")), copy_of(("x", "f1"), ("y", "f2")), no_files)
    assert (cause.kind, cause.part, cause.after) == ("added", "source y", "f2")


def test_the_nearest_has_most_equal_parts_and_is_the_newest_of_those() -> None:
    far = record(key(argv=("x",), user="app", cwd="/x"), build="far")
    near, older = record(key(user="app"), build="near"), record(key(user="other"), build="older")
    miss = explain_miss(key(), [far, near, older], no_files)
    assert miss.nearest == near
    assert miss.causes == (MissCause("changed", "user", "app", ""),)


def test_a_step_below_one_that_ran_rebuilds_because_of_it() -> None:
    miss = explain_miss(key(OTHER), [record(key())], no_files, parent_missed="app/1")
    assert miss.causes == (MissCause("parent", "parent", origin="app/1"),)


def test_its_own_change_is_told_before_the_parents() -> None:
    miss = explain_miss(key(OTHER, user="app"), [record(key())], no_files, parent_missed="app/1")
    kinds: list[CauseKind] = [cause.kind for cause in miss.causes]
    assert kinds == ["changed", "parent"]


def test_another_base_image_is_a_change_of_the_parent() -> None:
    miss = explain_miss(key(OTHER), [record(key())], no_files, chain=CHAIN)
    assert miss.causes == (MissCause("changed", "parent", PARENT, OTHER),)


def test_an_equal_key_whose_layer_is_gone_was_evicted() -> None:
    assert explain_miss(key(), [record(key())], no_files, chain=CHAIN).causes == (MissCause("evicted"),)


def test_an_equal_key_over_other_files_was_not_evicted() -> None:
    """What lies below is the same step with another result: only its files differ."""
    other = ChainID("sha256:" + "d" * 64)
    assert explain_miss(key(), [record(key())], no_files, chain=other).causes == (
        MissCause("changed", "parent", CHAIN, other),
    )
