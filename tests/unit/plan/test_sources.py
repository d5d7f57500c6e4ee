"""Heredocs, addresses and flags of RUN, COPY and ADD."""

from __future__ import annotations

import pytest
from tests.support.planning import failure, image, only_copy, only_run, plan

from lamina.plan.remote import remote_source
from lamina.plan.steps import (
    BindMount,
    ContextRef,
    CopyOp,
    GitSource,
    HttpSource,
    ImageRef,
    Inline,
    RunOp,
    Scratch,
    StageRef,
)

SHELL = ("/bin/sh", "-c")


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("RUN <<EOF\na $X\nb\nEOF\n", "a $X\nb\n"),
        ("RUN <<-EOF\n\ta\n\t\tb\n\tEOF\n", "a\nb\n"),
        ("RUN <<EOF cat > /x\na\nEOF\n", "<<EOF cat > /x\na\nEOF"),
        ("RUN cat <<A 3<<'B'\na\nA\nb\nB\n", "cat <<A 3<<'B'\na\nA\nb\nB"),
    ],
)
def test_a_heredoc_of_run_goes_to_the_shell(text: str, command: str) -> None:
    op = only_run(f"FROM b\nARG X=1\n{text}")
    assert (op.argv, op.script) == ((*SHELL, command), None)


def test_a_heredoc_with_an_interpreter_is_a_file() -> None:
    op = only_run("FROM b\nRUN <<EOF\n#!/usr/bin/env python3\nprint()\nEOF\n")
    assert op.argv == (*SHELL, "/dev/pipes/EOF")
    assert op.script == Inline("EOF", "#!/usr/bin/env python3\nprint()\n")


def test_heredocs_of_copy_are_files_behind_the_paths() -> None:
    text = "FROM b\nENV A=x\nCOPY <<one a <<-'two' /d/\n$A \\$A\none\n\t$A\ntwo\n"
    assert only_copy(text).sources == ("a", Inline("one", "x $A\n"), Inline("two", "$A\n"))


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("a/b", None),
        ("http.txt", None),
        ("https://x.test/f.tgz", HttpSource("https://x.test/f.tgz")),
        ("https://x.test/r.git", GitSource("https://x.test/r.git")),
        ("https://x.test/r.git#v1:sub/dir", GitSource("https://x.test/r.git", "v1", "sub/dir")),
        ("git://x.test/r#:dir", GitSource("git://x.test/r", "", "dir")),
        ("git@x.test:o/r#main", GitSource("git@x.test:o/r", "main")),
        ("ssh://git@x.test/r", GitSource("ssh://git@x.test/r")),
        (
            "https://x.test/r.git?tag=v1&subdir=d&submodules=false&keep-git-dir=true&checksum=abc",
            GitSource("https://x.test/r.git", "refs/tags/v1", "d", "abc", True, False),
        ),
        ("https://x.test/r.git?branch=main", GitSource("https://x.test/r.git", "refs/heads/main")),
        ("https://x.test/r.git?ref=a#a:d", GitSource("https://x.test/r.git", "a", "d")),
        ("https://x.test/r.git?ref=a#:d", GitSource("https://x.test/r.git", "a", "d")),
        ("https://x.test/r.git?commit=abcdef0", GitSource("https://x.test/r.git", "abcdef0", "", "abcdef0")),
        ("https://x.test/r.git?ref=a&commit=abcdef0", GitSource("https://x.test/r.git", "a", "", "abcdef0")),
        ("https://x.test/r.git?submodules", GitSource("https://x.test/r.git")),
        ("git@x.test:o/r.git?branch=b", GitSource("git@x.test:o/r.git", "refs/heads/b")),
    ],
)
def test_what_an_address_is(text: str, source: HttpSource | GitSource | None) -> None:
    assert remote_source(text) == source


@pytest.mark.parametrize(
    "text",
    [
        "?rf=x",
        "?ref=a&tag=b",
        "?ref=a#b",
        "?submodules=maybe",
        "?ref=",
        "?ref=a&ref=a",
        "?tag=a&branch=a",
        "?subdir=a#:b",
    ],
)
def test_a_git_url_that_is_wrong(text: str) -> None:
    found = failure(f"FROM b\nADD https://x.test/r.git{text} /\n").diagnostic
    assert (found.reference, found.span and found.span.line) == ("dockerfile-bad-git-url", 2)
    assert found.hint


def test_flags_of_add() -> None:
    digest = "sha256:" + "a" * 64
    (source,) = only_copy(f"FROM b\nADD --checksum={digest} --unpack=true https://x.test/a.tar /\n").sources
    assert source == HttpSource("https://x.test/a.tar", digest, True)
    (source,) = only_copy("FROM b\nADD --keep-git-dir --checksum=abcdef0 https://x.test/r.git /r\n").sources
    assert source == GitSource("https://x.test/r.git", checksum="abcdef0", keep_git_dir=True)
    assert only_copy("FROM b\nADD --unpack=false a.tar /\n").unpack is False
    assert only_copy("FROM b\nADD a.tar /\n").unpack is True


def test_flags_of_copy() -> None:
    op = only_copy("FROM b\nARG E=*.md\nCOPY --link --parents --exclude=$E --exclude=x --chmod=0644 --chown=1 a /b/\n")
    assert (op.link, op.parents, op.exclude, op.chmod, op.chown) == (True, True, ("*.md", "x"), "644", "1")
    assert only_copy("FROM b\nCOPY --link=false --chmod=u+x a /b/\n").link is False


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("ADD --checksum=sha256:12 https://x.test/a /\n", "dockerfile-bad-checksum"),
        ("ADD --checksum=sha256:12 a /\n", "dockerfile-bad-checksum"),
        ("ADD --checksum=sha256:12 https://x.test/a https://x.test/b /\n", "dockerfile-bad-checksum"),
        ("COPY --chmod=999 a /\n", "dockerfile-bad-chmod"),
        ("COPY --chmod=u+q a /\n", "dockerfile-bad-chmod"),
        ("COPY <<../../etc/cron /d/\nx\n../../etc/cron\n", "dockerfile-bad-heredoc-name"),
        ("ADD <<'..' /d/\nx\n..\n", "dockerfile-bad-heredoc-name"),
        ("RUN <<a/b\n#!/bin/sh\na/b\n", "dockerfile-bad-heredoc-name"),
        ("COPY <<A <<B /x\na\nA\nb\nB\n", "dockerfile-copy-needs-directory"),
        ("ADD --checksum=abc https://x.test/r.git?commit=abcdef0 /\n", "dockerfile-bad-checksum"),
        ("ADD --checksum=1234567 https://x.test/r.git?commit=abcdef0 /\n", "dockerfile-bad-checksum"),
        ("COPY https://x.test/a /\n", "dockerfile-copy-address"),
        ("COPY https://x.test/r.git?rf=x /\n", "dockerfile-copy-address"),
        ("COPY git@x.test:o/r /\n", "dockerfile-copy-address"),
    ],
)
def test_what_is_refused(text: str, reference: str) -> None:
    found = failure(f"FROM b\n{text}").diagnostic
    assert (found.reference, found.span and found.span.line) == (reference, 2)
    assert found.hint


def test_named_contexts_go_before_stages_and_images() -> None:
    text = """FROM lib AS one
FROM Alpine:latest AS two
FROM here AS three
FROM scratch
COPY --from=one /a /
COPY --from=two /a /
COPY --from=lib /a /
COPY --from=image /a /
COPY --from=three /a /
"""
    contexts = {
        "lib": "tree",
        "alpine": "docker-image://pinned:1",
        "image": "docker-image://other",
        "here": "target:two",
    }
    made = plan(text, contexts=contexts)
    library = ContextRef("lib")
    origins = [step.op.origin for step in made.stages[-1].steps if isinstance(step.op, CopyOp)]
    assert origins[:3] == [StageRef(0), StageRef(1), library]
    assert isinstance(origins[3], ImageRef) and origins[3].name == "other"
    assert isinstance(made.stages[0].base, Scratch)
    (step,) = made.stages[0].steps
    assert isinstance(step.op, CopyOp) and (step.op.sources, step.op.dest, step.op.origin) == (("/",), "/", library)
    assert isinstance(made.stages[1].base, ImageRef) and made.stages[1].base.name == "pinned:1"
    assert made.stages[2].base == StageRef(1)


def test_insecure_is_planned_once_it_is_allowed() -> None:
    text = "FROM b\nRUN --security=insecure x\n"
    assert only_run(text, allow=frozenset({"security.insecure"})).security == "insecure"


@pytest.mark.parametrize("line", ["CMD ['a']", "RUN [\"a\", 'b']", "ENTRYPOINT [ 'x' ]"])
def test_a_bad_array_is_warned_of(line: str) -> None:
    (warning,) = plan(f"FROM b\n{line}\n").warnings
    assert (warning.reference, warning.severity, warning.span and warning.span.line) == (
        "dockerfile-json-as-shell",
        "warning",
        2,
    )


def test_a_test_command_is_not_warned_of() -> None:
    assert plan('FROM b\nRUN [ -f /x ] && [ "$a" = \'b\' ]\nCMD ["a"]\n').warnings == ()


def test_source_date_epoch() -> None:
    assert plan("FROM b\n").epoch is None
    given = {"SOURCE_DATE_EPOCH": "17"}
    assert plan("FROM b\n", build_args=given).epoch == 17
    wrong = failure("FROM b\n", build_args={"SOURCE_DATE_EPOCH": "now"})
    assert wrong.diagnostic.reference == "usage-source-date-epoch"
    assert "SOURCE_DATE_EPOCH" not in dict(only_run("FROM b\nRUN x\n", build_args=given).env)
    declared = only_run("FROM b\nARG SOURCE_DATE_EPOCH\nRUN x\n", build_args=given)
    assert dict(declared.env)["SOURCE_DATE_EPOCH"] == "17"
    # A default above the first FROM is enough, and the command line wins.
    assert plan("ARG SOURCE_DATE_EPOCH=5\nFROM b\n").epoch == 5
    assert plan("ARG SOURCE_DATE_EPOCH=5\nFROM b\n", build_args=given).epoch == 17
    assert plan("FROM b\nARG SOURCE_DATE_EPOCH=5\n").epoch is None


@pytest.mark.parametrize(
    ("above", "given"),
    [("=context", {}), ("", {"SOURCE_DATE_EPOCH": "context"}), ("=5", {"SOURCE_DATE_EPOCH": "context"})],
)
def test_the_time_of_the_context_is_unset_for_a_directory(above: str, given: dict[str, str]) -> None:
    text = f"ARG SOURCE_DATE_EPOCH{above}\nFROM b\nARG SOURCE_DATE_EPOCH\nRUN x\n"
    assert plan(text, build_args=given).epoch is None
    assert "SOURCE_DATE_EPOCH" not in dict(only_run(text, build_args=given).env)


def test_the_backslash_escapes_in_a_heredoc_whatever_the_escape_directive_says() -> None:
    text = "# escape=`\nFROM b\nENV A=x\nCOPY <<E /d\n\\$A `$A $A\nE\n"
    assert only_copy(text).sources == (Inline("E", "$A `x x\n"),)


@pytest.mark.parametrize("flag", ["--chmod=$NONE", "--checksum=$NONE", "--from=", "--chown=$NONE"])
def test_a_flag_that_expands_to_nothing_is_none(flag: str) -> None:
    keyword, source = ("ADD", "https://x.test/f") if "checksum" in flag else ("COPY", "f")
    assert only_copy(f"FROM b\n{keyword} {flag} {source} /x\n") == only_copy(f"FROM b\n{keyword} {source} /x\n")


@pytest.mark.parametrize(
    ("text", "target", "value"),
    [("FROM b AS Last\n", "", "last"), ("FROM b\n", "", "default"), ("FROM b AS one\nFROM b AS two\n", "one", "one")],
)
def test_the_target_stage_is_known_by_name(text: str, target: str, value: str) -> None:
    stages = text.replace("\n", "\nARG TARGETSTAGE\nRUN x\n")
    run = plan(stages, target=target).stages[-1].steps[-1].op
    assert isinstance(run, RunOp) and dict(run.env)["TARGETSTAGE"] == value


def test_triggers_copy_from_stages_and_have_heredocs() -> None:
    triggers = ("COPY --from=one /a /a", "COPY <<E /h\n$A\nE", "RUN --mount=from=one,target=/m x")
    made = plan("FROM scratch AS one\nFROM b\n", base=image(on_build=triggers))
    copy, heredoc, run = (step.op for step in made.stages[-1].steps)
    assert isinstance(copy, CopyOp) and copy.origin == StageRef(0)
    assert isinstance(heredoc, CopyOp) and heredoc.sources == (Inline("E", "\n"),)
    assert isinstance(run, RunOp) and run.mounts == (BindMount("/m", "/", StageRef(0)),)
    assert [stage.index for stage in made.stages] == [0, 1]


def test_a_stage_that_only_a_mount_needs_is_planned() -> None:
    text = "FROM a AS one\nFROM scratch AS unused\nCOPY --chmod=rwx a b\nFROM b\nRUN --mount=from=one,target=/m x\n"
    made = plan(text)
    assert [(stage.index, stage.label) for stage in made.stages] == [(0, "one"), (2, "stage-2")]
    assert {ref.name for ref in made.images} == {"a", "b"}
