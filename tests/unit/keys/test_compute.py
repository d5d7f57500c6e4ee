"""What enters a cache key, and what does not."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from lamina.digest import ChainID, Digest
from lamina.keys.compute import base_key, copy_key, is_linked, mount_facts, over, run_key, source_facts, workdir_key
from lamina.keys.filetree import FileRecord, Selection
from lamina.keys.record import CacheKey
from lamina.keys.schema import PARTS, SCHEMA
from lamina.oci.platform import Platform
from lamina.plan.steps import (
    BindMount,
    CacheMount,
    CopyOp,
    GitSource,
    HttpSource,
    ImageRef,
    Inline,
    RunOp,
    SecretMount,
    SshMount,
    StageRef,
    StepMount,
    TmpfsMount,
    WorkdirOp,
)

LINUX = Platform("linux", "amd64")
PARENT = Digest("sha256:" + "1" * 64)
OTHER = Digest("sha256:" + "2" * 64)
RUN = RunOp(("/bin/sh", "-c", "make"), (("PATH", "/bin"), ("A", "1")), (("A", "1"),), "", "/")
COPY = CopyOp(("src",), "/app", True)
FROM_STAGE = replace(COPY, origin=StageRef(0))


def file(path: str, text: str = "x", **fields: Any) -> FileRecord:
    return FileRecord(path, "file", fields.pop("mode", 0o644), 1, hashlib.sha256(text.encode()).hexdigest(), **fields)


def tree(*files: FileRecord, base: str = "src") -> Selection:
    """A selected directory with these files in it."""
    return Selection(base, True, (FileRecord(base, "dir", 0o755), *files))


def alone(record: FileRecord) -> Selection:
    return Selection(record.path, False, (record,))


def copied(selection: Selection, op: CopyOp = COPY) -> Digest:
    return copy_key(op, PARENT, [source_facts(op, op.sources[0], (selection,))[0]]).digest


BEFORE = tree(file("src/a"))


# --- RUN -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "change",
    [
        {"argv": ("/bin/sh", "-c", "make all")},
        {"argv": ("/bin/bash", "-c", "make")},
        {"argv": ("/bin/sh", "-c make")},
        {"env": (("PATH", "/bin"), ("A", "2"))},
        {"env": (("A", "1"), ("PATH", "/bin"))},
        {"env": (("PATH", "/bin"),)},
        {"env": (("PATH", "/bin"), ("B", "1"))},
        {"env": (*RUN.env, ("NEW", ""))},
        {"user": "app"},
        {"cwd": "/app"},
        {"network": "none"},
        {"security": "insecure"},
    ],
)
def test_what_changes_the_key_of_a_run(change: dict[str, Any]) -> None:
    changed = run_key(replace(RUN, **change), PARENT, LINUX)
    assert changed.digest != run_key(RUN, PARENT, LINUX).digest


def test_parent_and_platform_change_the_key_of_a_run() -> None:
    keys = [run_key(RUN, PARENT, LINUX), run_key(RUN, OTHER, LINUX), run_key(RUN, PARENT, Platform("linux", "arm64"))]
    assert len({key.digest for key in keys}) == 3


def test_an_argument_counts_once_as_part_of_the_environment() -> None:
    """`args` repeats what `env` has, for the history: it is no input of its own."""
    assert run_key(replace(RUN, args=()), PARENT, LINUX) == run_key(RUN, PARENT, LINUX)


# --- COPY ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "after",
    [
        pytest.param(tree(file("src/a", "y")), id="content"),
        pytest.param(tree(file("src/a", mode=0o755)), id="mode"),
        pytest.param(tree(file("src/b")), id="name inside the directory"),
        pytest.param(tree(file("src/a"), file("src/b")), id="one more"),
        pytest.param(tree(), id="none left"),
        pytest.param(tree(FileRecord("src/a", "link", 0o777, target="b")), id="type"),
        pytest.param(tree(file("src/a", xattrs=(("user.x", b"1"),))), id="extended attribute"),
        pytest.param(Selection("src", True, (FileRecord("src", "dir", 0o700), file("src/a"))), id="directory's mode"),
    ],
)
def test_what_changes_the_key_of_a_copy(after: Selection) -> None:
    assert copied(after) != copied(BEFORE)


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(tree(file("lib/a"), base="lib"), id="the directory's own name"),
        pytest.param(tree(file("src/a", uid=5, gid=6)), id="owner of a context file"),
        pytest.param(tree(replace(file("src/a"), size=99)), id="size alone"),
    ],
)
def test_what_does_not_change_the_key_of_a_copy(after: Selection) -> None:
    assert copied(after) == copied(BEFORE)


def test_a_renamed_file_changes_the_key_but_its_directory_does_not() -> None:
    assert copied(alone(file("src/a"))) != copied(alone(file("src/b")))
    assert copied(alone(file("src/a"))) == copied(alone(file("lib/a")))


def test_the_sources_text_does_not_count() -> None:
    """`COPY . /app/` and `COPY src /app/` of the same files are the same step."""
    assert copied(BEFORE, replace(COPY, sources=("./src/",))) == copied(BEFORE)


@pytest.mark.parametrize(
    "change",
    [
        {"dest": "/srv"},
        {"dest_is_dir": False},
        {"chown": "app"},
        {"chmod": "755"},
        {"chmod": "0"},
        {"chmod": "u+x"},
        {"unpack": True},
    ],
)
def test_destination_and_flags_change_the_key_of_a_copy(change: dict[str, Any]) -> None:
    assert copied(BEFORE, replace(COPY, **change)) != copied(BEFORE)


def test_where_files_come_from_does_not_count() -> None:
    image = replace(COPY, origin=ImageRef("debian", LINUX))
    assert copied(BEFORE, FROM_STAGE) == copied(BEFORE, image)
    assert copied(BEFORE, FROM_STAGE) == copied(BEFORE, replace(FROM_STAGE, origin=StageRef(3)))


def test_a_chmod_makes_the_sources_modes_irrelevant() -> None:
    chmod = replace(COPY, chmod="644")
    assert copied(tree(file("src/a", mode=0o755)), chmod) == copied(BEFORE, chmod)
    assert copied(tree(file("src/a", "y")), chmod) != copied(BEFORE, chmod)


def test_owners_count_only_where_they_are_kept() -> None:
    owned = tree(file("src/a", uid=5, gid=6))
    assert copied(owned, FROM_STAGE) != copied(BEFORE, FROM_STAGE)
    chown = replace(FROM_STAGE, chown="app")
    assert copied(owned, chown) == copied(BEFORE, chown)


def test_two_sources_are_told_apart_by_their_order() -> None:
    op = replace(COPY, sources=("a", "b"))
    one, two = (source_facts(op, name, (alone(file(name)),))[0] for name in ("a", "b"))
    assert copy_key(op, PARENT, [one, two]).digest != copy_key(op, PARENT, [two, one]).digest


def test_the_root_is_told_from_the_only_file_that_it_holds() -> None:
    # `COPY . /d` makes /d/f, `COPY f /d` makes the file /d.
    op = CopyOp((".",), "/d", False)
    whole, one = Selection("", True, (file("f"),)), alone(file("f"))
    assert copied(whole, op) != copied(one, op)
    assert copied(Selection("", True, ()), op) != copied(whole, op)


# --- the rest --------------------------------------------------------------------------------------------------------
def test_workdir_and_from() -> None:
    op = WorkdirOp("/app", "")
    keys = [workdir_key(op, PARENT), workdir_key(replace(op, path="/srv"), PARENT)]
    keys += [workdir_key(replace(op, user="app"), PARENT), workdir_key(op, OTHER)]
    keys += [base_key(PARENT, LINUX), base_key(OTHER, LINUX), base_key(None, LINUX)]
    keys += [base_key(None, Platform("linux", "arm64"))]
    assert len({key.digest for key in keys}) == len(keys)


def test_the_content_key_is_the_same_key_over_the_parents_files() -> None:
    chain = ChainID("sha256:" + "c" * 64)
    assert over(run_key(RUN, PARENT, LINUX), chain) == run_key(RUN, chain, LINUX).digest
    assert over(run_key(RUN, PARENT, LINUX), chain) == over(run_key(RUN, OTHER, LINUX), chain)
    facts = [source_facts(COPY, "src", (BEFORE,))[0]]
    assert over(copy_key(COPY, PARENT, facts), chain) == copy_key(COPY, chain, facts).digest


def test_the_parts_are_those_of_the_schema() -> None:
    facts = [source_facts(COPY, "src", (BEFORE,))[0]]
    keys = [base_key(PARENT, LINUX), run_key(RUN, PARENT, LINUX), copy_key(COPY, PARENT, facts)]
    keys.append(workdir_key(WorkdirOp("/app", ""), PARENT))
    for key in keys:
        found = named_parts(key)
        assert found == PARTS[key.kind][: len(found)]
    whole = replace(RUN, mounts=(BindMount("/m"),), script=Inline("E", "#!a\n"), hostname="h")
    assert named_parts(run_key(whole, PARENT, LINUX, facts, ("db",), epoch=True, times=1)) == PARTS["run"]
    remote = (GitSource("https://x.test/r.git"), HttpSource("https://x.test/a.tar", unpack=True))
    whole_copy = replace(COPY, sources=remote, link=True, parents=True)
    assert named_parts(copy_key(whole_copy, PARENT, facts, times=1)) == PARTS["copy"]
    assert named_parts(workdir_key(WorkdirOp("/app", ""), PARENT, times=1)) == PARTS["workdir"]


def test_the_time_of_a_reproducible_build_counts() -> None:
    keys = [run_key(RUN, PARENT, LINUX, times=times).digest for times in (None, 0, 1)]
    assert len(set(keys)) == 3
    assert keys[0] == run_key(RUN, PARENT, LINUX).digest


def named_parts(key: CacheKey) -> tuple[str, ...]:
    """The names of the parts as the schema has them: `env …` for `env PATH`."""
    firsts = (part.name.partition(" ") for part in key.parts)
    return tuple(dict.fromkeys(first + (" …" if blank else "") for first, blank, _ in firsts))


def test_old_steps_have_no_new_parts() -> None:
    facts = [source_facts(COPY, "src", (BEFORE,))[0]]
    assert named_parts(run_key(RUN, PARENT, LINUX))[-1] == "security"
    assert named_parts(copy_key(COPY, PARENT, facts))[-1] == "unpack"


@pytest.mark.parametrize(
    ("key", "digest"),
    [
        (base_key(PARENT, LINUX), "sha256:f8ede9dfe4936bdb64d1654a6755ec0166f67dd2ac4a435cdb6fdb7b0fdc6462"),
        (run_key(RUN, PARENT, LINUX), "sha256:a42105fed720de4731c7cb19633c1320ece54902e2b34a1fa12486dd7f0ae8a3"),
        (
            copy_key(COPY, PARENT, [source_facts(COPY, "src", (BEFORE,))[0]]),
            "sha256:7ddfa59db61f9b85efe26f563b36a00c0d961a51cf652484f781a9a52e5c6a07",
        ),
        (
            workdir_key(WorkdirOp("/app", "app"), PARENT),
            "sha256:20307c35d6e9255962cd0218c7b61ec151b086047200efa9a3193a87ccbdf9c8",
        ),
    ],
    ids=["from", "run", "copy", "workdir"],
)
def test_the_recipe_is_pinned(key: CacheKey, digest: str) -> None:
    assert SCHEMA == 2
    assert key.digest == digest, "the key's recipe has changed: raise SCHEMA and write an ADR"


# --- properties ------------------------------------------------------------------------------------------------------
_WORDS = st.text(alphabet=" =:/aA1\0\n\udce9é", max_size=6)
_NAMES = st.text(alphabet="aA1 =", min_size=1, max_size=4)
_RUNS = st.builds(
    RunOp,
    argv=st.lists(st.text(alphabet='"[],\\ a\n', max_size=5), min_size=1, max_size=3).map(tuple),
    env=st.dictionaries(_NAMES, _WORDS, max_size=3).map(lambda env: tuple(env.items())),
    args=st.just(()),
    user=_WORDS,
    cwd=_WORDS,
    network=st.sampled_from(["default", "none", "host"]),
)


@given(_RUNS, _RUNS)
def test_two_different_runs_never_share_a_key(one: RunOp, other: RunOp) -> None:
    assume(one != other)
    assert run_key(one, PARENT, LINUX).digest != run_key(other, PARENT, LINUX).digest


@given(_NAMES, _WORDS, _WORDS)
def test_a_value_cannot_pass_for_another_part(name: str, value: str, user: str) -> None:
    """The bytes of one frame inside another's value make no frame."""
    frame = "env " + name + value
    plain = replace(RUN, env=((name, value),), user=user)
    for smuggled in (replace(plain, env=(), user=frame + user), replace(plain, env=((name, value + user),), user="")):
        assume(smuggled != plain)
        assert run_key(smuggled, PARENT, LINUX).digest != run_key(plain, PARENT, LINUX).digest


_TREES = st.dictionaries(
    st.sampled_from(["a", "b", "a b", "c"]),
    st.tuples(st.sampled_from(["x", "y", "xy"]), st.sampled_from([0o644, 0o755])),
    max_size=3,
).map(lambda files: tree(*(file(f"src/{name}", text, mode=mode) for name, (text, mode) in sorted(files.items()))))


@given(_TREES, _TREES)
def test_two_copies_share_a_key_exactly_if_their_files_are_the_same(one: Selection, other: Selection) -> None:
    assert (copied(one) == copied(other)) == (one == other)


# --- the whole language ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("mount", "other", "same"),
    [
        (CacheMount("/c", "a"), CacheMount("/c", "b", "locked"), True),
        (CacheMount("/c", "a"), CacheMount("/d", "a"), False),
        (CacheMount("/c", "a"), CacheMount("/c", "a", mode=0o700), False),
        (TmpfsMount("/t"), TmpfsMount("/t", 5), False),
        (SecretMount("a", "/s"), SecretMount("b", "/s"), True),
        (SecretMount("a", "/s"), SecretMount("a", "/s", required=True), False),
        (SecretMount("a", None, "A"), SecretMount("a", None, "B"), False),
        (SshMount("a", "/s"), SshMount("b", "/s"), True),
        (BindMount("/b"), BindMount("/b", read_only=False), False),
    ],
)
def test_what_counts_of_a_mount(mount: StepMount, other: StepMount, same: bool) -> None:
    one, two = (run_key(replace(RUN, mounts=(each,)), PARENT, LINUX).digest for each in (mount, other))
    assert (one == two) is same
    assert one != run_key(RUN, PARENT, LINUX).digest


def test_files_that_are_mounted_count_by_content() -> None:
    mount = BindMount("/m", "src")

    def key(selection: Selection) -> Digest:
        facts, _ = mount_facts(mount, (selection,))
        return run_key(replace(RUN, mounts=(mount,)), PARENT, LINUX, [facts]).digest

    assert key(BEFORE) == key(BEFORE) != key(tree(file("src/a", "changed")))
    # A file is seen at the target, whatever it is called where it comes from.
    assert key(alone(file("one"))) == key(alone(file("two")))


def test_a_script_and_the_names_of_hosts_count() -> None:
    keys = {run_key(RUN, PARENT, LINUX).digest, run_key(RUN, PARENT, LINUX, (), ("db",)).digest}
    keys |= {run_key(replace(RUN, script=Inline("E", text)), PARENT, LINUX).digest for text in ("#!a\n", "#!b\n")}
    assert len(keys) == 4


def test_a_linked_copy_has_no_parent() -> None:
    facts = [source_facts(COPY, "src", (BEFORE,))[0]]
    linked = replace(COPY, link=True)
    assert copy_key(linked, PARENT, facts).digest == copy_key(linked, OTHER, facts).digest
    named = replace(linked, chown="app")
    assert copy_key(named, PARENT, facts).digest != copy_key(named, OTHER, facts).digest
    assert [is_linked(op) for op in (COPY, linked, named, replace(linked, chown="1:2"))] == [False, True, False, True]


def test_a_file_with_its_parents_is_no_file_at_the_destination() -> None:
    """`COPY f /d` makes the file /d, `COPY --parents f /d` the file /d/f, of the same records."""
    op = CopyOp(("f",), "/d", False)
    plain = copy_key(op, PARENT, [source_facts(op, "f", (alone(file("f")),))[0]])
    kept = replace(op, parents=True)
    below = copy_key(kept, PARENT, [source_facts(kept, "f", (Selection("", True, (file("f"),)),))[0]])
    assert plain.digest != below.digest


def test_a_repository_is_no_file_at_the_destination() -> None:
    source = GitSource("https://x.test/r.git")
    op, git = CopyOp(("f",), "/d", False, unpack=True), CopyOp((source,), "/d", False, unpack=True)
    plain = copy_key(op, PARENT, [source_facts(op, "f", (alone(file("f")),))[0]])
    tree_key = copy_key(git, PARENT, [source_facts(git, source, (Selection("", True, (file("f"),)),))[0]])
    assert plain.digest != tree_key.digest


def test_it_counts_which_cache_was_filled() -> None:
    filled, empty = CacheMount("/a", "x", origin=StageRef(0)), CacheMount("/b", "y")
    other = (CacheMount("/a", "x"), CacheMount("/b", "y", origin=StageRef(0)))
    facts, _ = mount_facts(filled, (BEFORE,))
    keys = [run_key(replace(RUN, mounts=each), PARENT, LINUX, [facts]) for each in ((filled, empty), other)]
    assert keys[0].digest != keys[1].digest


def test_only_an_octal_mode_makes_the_sources_modes_irrelevant() -> None:
    loose, tight = tree(file("src/a", mode=0o777)), tree(file("src/a", mode=0o600))
    symbolic = replace(COPY, chmod="u+x")
    assert copied(loose, symbolic) != copied(tight, symbolic)


def test_no_secret_of_an_address_is_shown_in_a_key() -> None:
    facts, _ = source_facts(COPY, HttpSource("https://me:hunter2@x.test/f?token=hunter2"), (alone(file("f")),))
    assert "hunter2" not in repr(copy_key(COPY, PARENT, [facts]))
