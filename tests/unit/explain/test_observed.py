"""What a step looked at, told by the COPY that made each layer, and joined with what changed there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lamina.diagnostics import Span
from lamina.digest import Digest, digest_of
from lamina.explain.needed import Needed, needed_of
from lamina.explain.observed import Saw, SeenCopy, Sight, copies_below, saw, seen_copies, sights
from lamina.explain.story import Story, ToldStage, ToldStep
from lamina.image.answers import answers
from lamina.keys.decide import MissCause
from lamina.keys.facts import FileChange
from lamina.keys.filetree import FileRecord
from lamina.keys.looks import ANSWER, NOT_THERE, Look, Observations, SeenLayer
from lamina.keys.record import CacheKey, KeyPart

KEY = digest_of(b"key")


def copy_step(
    line: int, text: str, target: str = "/app/", *, causes: tuple[MissCause, ...] = (), parts: tuple[KeyPart, ...] = ()
) -> ToldStep:
    key = CacheKey(2, "copy", (*parts, KeyPart("destination", target)), KEY)
    return ToldStep(f"s/{line}", text, Span("Dockerfile", line, 1, line, 9), "done", key=key, causes=causes)


def run_step(line: int, look: Look | None = None) -> ToldStep:
    causes = (MissCause("parent", "parent", origin="s/1", look=look),)
    key = CacheKey(2, "run", (), KEY)
    return ToldStep(f"s/{line}", "RUN x", Span("Dockerfile", line, 1, line, 9), "done", key=key, causes=causes)


def stage(*steps: ToldStep, label: str = "s", base: str = "busybox", of_stage: bool = False) -> ToldStage:
    return ToldStage(label, True, base, "stage" if of_stage else "cached", steps[0].span, "linux/amd64", steps)


def seen(*looks: tuple[str, str], missing: tuple[str, ...] = (), files: int = 10) -> SeenLayer:
    """What was found, by kind and path, and paths that were asked for and are not there."""
    found = {Look(path, kind): b"x" * ANSWER for kind, path in looks}  # type: ignore[arg-type]
    found |= dict.fromkeys((Look(path, "entry") for path in missing), NOT_THERE)
    ordered = tuple(sorted(found))
    return SeenLayer(ordered, b"".join(found[look] for look in ordered), files)


def told(layer: SeenLayer, top: str = "app") -> set[tuple[str, str]]:
    return {(sight.sort, sight.path) for sight in sights(SeenCopy(None, top, layer))}


def test_the_answer_of_what_is_not_there_is_that_of_a_layer(tmp_path: Path) -> None:
    looks = (Look("gone", "entry"), Look("gone/below", "entry"))
    assert answers(tmp_path, looks, {}) == NOT_THERE * 2
    (tmp_path / "gone").write_text("")
    assert answers(tmp_path, looks[:1], {}) != NOT_THERE


def test_directories_on_the_way_are_told_apart_from_what_was_looked_at() -> None:
    layer = seen(
        ("entry", "app"),
        ("entry", "app/Pipfile"),
        ("read", "app/Pipfile"),
        ("entry", "app/src"),
        ("entry", "app/src/main.c"),
        ("entry", "app/lib"),
        ("list", "app/lib"),
        ("link", "app/current"),
        ("xattrs", "app/ping"),
        missing=("app/setup.py", "etc", "out", "app/src/none"),
    )
    assert told(layer) == {
        ("walked", "."),
        ("read", "Pipfile"),
        ("walked", "src"),
        ("looked", "src/main.c"),
        ("listed", "lib"),
        ("followed", "current"),
        ("attributes", "ping"),
        ("missing", "setup.py"),
        ("missing", "src/none"),
        ("outside", "/etc"),
        ("outside", "/out"),
    }


def test_a_copy_to_the_root_and_one_of_a_single_file() -> None:
    layer = seen(("read", "one"), ("list", ""), missing=("etc", "two"))
    assert told(layer, "") == {("read", "one"), ("listed", "."), ("outside", "etc"), ("missing", "two")}
    assert told(seen(("entry", "srv"), ("read", "srv/q")), "srv/q") == {("walked", "/srv"), ("read", "/srv/q")}


@given(
    st.dictionaries(
        st.tuples(
            st.lists(st.sampled_from(["app", "a", "b", "etc", "\udcff"]), max_size=4).map("/".join),
            st.sampled_from(["entry", "list", "read", "link", "xattrs"]),
        ),
        st.booleans(),
    ),
    st.sampled_from(["", "app", "app/a"]),
)
def test_every_look_is_told_once(found: dict[tuple[str, str], bool], top: str) -> None:
    found.pop(("", "xattrs"), None)  # that there are none anywhere is nothing that the step did
    looks = tuple(sorted(Look(path, kind) for path, kind in found))  # type: ignore[arg-type]
    there = b"".join(b"x" * ANSWER if found[look.path, look.kind] else NOT_THERE for look in looks)
    listed = list(sights(SeenCopy(None, top, SeenLayer(looks, there, 1))))
    assert len({look.path for look in looks}) <= len(listed) <= len(looks)


def test_layers_are_those_of_the_copies_below_those_of_other_stages_first() -> None:
    below = stage(copy_step(2, "COPY a /a", "/a/"), run_step(3), label="base")
    step = run_step(6)
    above = stage(copy_step(5, "COPY . .", "/app/"), step, copy_step(7, "COPY z /z"), base="BASE", of_stage=True)
    story = Story((below, above))
    assert [copy.span.line for copy in copies_below(story, step)] == [2, 5]
    layers = seen_copies(story, step, Observations((seen(("read", "a/x")), seen(("read", "app/y")))))
    assert [(one.copy.span.line if one.copy else 0, one.top) for one in layers] == [(2, "a"), (5, "app")]
    # What the other copy has is not missing.
    both = Observations((seen(missing=("a/x", "a/y")), seen(("entry", "a/x"))))
    assert [sight.sort for sight in sights(seen_copies(story, step, both)[0])] == ["outside", "missing"]
    # A story that does not tell of all layers is not guessed at.
    assert [one.copy for one in seen_copies(story, step, Observations((seen(("read", "a/x")),)))] == [None]


def change(path: str, kind: str, source: str = ".") -> MissCause:
    return MissCause("changed", f"source {source}", "1", "2", (FileChange(path, kind, "", ""),), total=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "target", "cause", "look", "path", "inside"),
    [
        ("COPY . .", "/app/", change("shop/new.py", "added"), Look("app/shop", "list"), "shop", True),
        ("COPY . .", "/app/", change("new.py", "added"), Look("app", "list"), ".", True),
        ("COPY . .", "/app/", change("Pipfile", "content"), Look("app/Pipfile", "read"), "Pipfile", False),
        ("COPY . .", "/app/", change(".", "mode"), Look("app", "entry"), ".", False),
        ("COPY src /app", "/app", change("src/a/b", "removed", "src"), Look("app/a", "list"), "a", True),
        ("COPY x/one.txt /q", "/q", change("x/one.txt", "content", "x/one.txt"), Look("q", "read"), "/q", False),
        ("COPY *.txt /t/", "/t/", change("one.txt", "content", "*.txt"), Look("t/one.txt", "read"), "one.txt", False),
        ("COPY . /", "//", change("etc/x", "content"), Look("etc/x", "read"), "etc/x", False),
    ],
)
def test_what_broke_is_joined_with_the_change_that_broke_it(
    text: str, target: str, cause: MissCause, look: Look, path: str, inside: bool
) -> None:
    step = run_step(3, look)
    found = saw(Story((stage(copy_step(2, text, target, causes=(cause,)), step),)), step)
    assert found is not None and found.change == cause.files[0]
    assert (found.sight.path, found.inside) == (path, inside)


def test_what_broke_without_a_change_that_is_known() -> None:
    look = Look("app/shop", "list")
    step = run_step(3, look)
    told_of = stage(copy_step(2, "COPY . .", causes=(change("shop/a/deeper", "added"),)), step)
    assert saw(Story((told_of,)), step) == Saw(look, Sight("shop", "listed"))
    other = run_step(3)
    assert saw(Story((stage(other),)), other) is None


# --- the least that is needed --------------------------------------------------------------------------------------
TREE = Digest("sha256:" + "1" * 64)
FILE = Digest("sha256:" + "2" * 64)
RECORDS = {
    TREE: (
        FileRecord(".", "dir", 0o755),
        FileRecord("Pipfile", "file", 0o644),
        FileRecord("Pipfile.lock", "file", 0o644),
        FileRecord("a b", "file", 0o644),
        FileRecord("current", "link", 0o777, target="shop"),
        *(FileRecord(f"f{number}", "file", 0o644) for number in range(7)),
        FileRecord("req", "dir", 0o755),
        FileRecord("req/dev.txt", "file", 0o644),
        FileRecord("shop", "dir", 0o755),
        FileRecord("shop/a.py", "file", 0o644),
        FileRecord("shop/sub", "dir", 0o755),
        FileRecord("shop/sub/b.py", "file", 0o644),
    ),
    FILE: (FileRecord("one.txt", "file", 0o644),),
}
WALK = ("entry", "app")


def least(
    layer: SeenLayer, text: str = "COPY . .", source: str = ".", target: str = "/app/", *more: KeyPart
) -> Needed | None:
    parts = (KeyPart(f"source {source}", TREE, files=TREE), *more)
    copy = copy_step(2, text, target, parts=parts)
    return needed_of(SeenCopy(copy, target.strip("/"), layer), RECORDS.get)


@pytest.mark.parametrize(
    ("layer", "lines", "looked"),
    [
        (seen(WALK, ("read", "app/Pipfile"), ("read", "app/Pipfile.lock")), ("COPY Pipfile Pipfile.lock ./",), 2),
        (seen(WALK, ("read", "app/Pipfile"), missing=("app/setup.py", "etc")), ("COPY Pipfile ./",), 1),
        (seen(WALK, ("entry", "app/Pipfile")), ("COPY Pipfile ./",), 1),
        (seen(WALK, ("entry", "app/req"), ("read", "app/req/dev.txt")), ("COPY req/dev.txt ./req/",), 1),
        (seen(WALK, ("entry", "app/shop"), ("list", "app/shop"), ("read", "app/shop/a.py")), ("COPY shop ./shop/",), 2),
        (seen(WALK, ("list", "app/shop"), ("list", "app/shop/sub")), ("COPY shop ./shop/",), 2),
        (seen(WALK, ("entry", "app/req")), ("COPY req ./req/",), 1),
        (seen(WALK, ("list", "app/req"), ("read", "app/f1")), ("COPY f1 ./", "COPY req ./req/"), 2),
        (seen(WALK, ("list", ""), missing=("app/x",)), (), 0),
        (seen(WALK, ("entry", "app/req"), missing=("app/req/none",)), (), 0),
    ],
)
def test_the_least_that_a_step_needed(layer: SeenLayer, lines: tuple[str, ...], looked: int) -> None:
    found = least(layer)
    assert found is not None and (found.lines, found.looked, found.files) == (lines, looked, 13)


@pytest.mark.parametrize(
    "layer",
    [
        seen(WALK, ("list", "app")),
        seen(WALK, ("read", "app/a b")),
        seen(WALK, ("link", "app/current")),
        seen(WALK, ("read", "app/not-in-the-list")),
        seen(WALK, *(("read", f"app/f{number}") for number in range(7))),
    ],
    ids=["all was listed", "a name to quote", "a link", "unknown", "too many"],
)
def test_what_cannot_be_said_in_a_line_is_not_said(layer: SeenLayer) -> None:
    assert least(layer) is None


def test_flags_and_folders_of_the_instruction_are_kept() -> None:
    layer = seen(("entry", "srv"), ("read", "srv/x/Pipfile"))
    found = least(layer, "copy --chown=app ./web /srv/x", "./web/", "/srv/x")
    assert found is not None and found.lines == ("COPY --chown=app web/Pipfile /srv/x/",)
    assert found.has("web/Pipfile") and not found.has("web/Pipfile.lock")
    single = least(
        seen(("read", "app/one.txt")), "COPY . x/one.txt .", ".", "/app/", KeyPart("source x/one.txt", FILE, files=FILE)
    )
    assert single is not None and single.lines == ("COPY x/one.txt ./",)


@pytest.mark.parametrize(
    ("text", "source", "part"),
    [
        ("COPY --parents a .", ".", None),
        ("COPY --exclude=b a .", ".", None),
        ("COPY *.txt .", "*.txt", None),
        ("COPY . $HERE", ".", None),
        ("ADD a.tar .", ".", KeyPart("unpack", "yes")),
        ("COPY . .", ".", KeyPart("source gone", KEY, files=KEY)),
    ],
)
def test_nothing_is_said_of_copies_that_mean_more_than_their_words(
    text: str, source: str, part: KeyPart | None
) -> None:
    layer = seen(WALK, ("read", "app/Pipfile"))
    assert least(layer, text, source, "/app/", *([part] if part else [])) is None
    unknown = SeenCopy(None, "app", layer)
    assert needed_of(unknown, RECORDS.get) is None
    assert needed_of(replace(unknown, copy=copy_step(2, "COPY", "/app/")), RECORDS.get) is None
