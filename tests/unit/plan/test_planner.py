"""The planner: from a Dockerfile's text to steps, with variables, stages and configurations worked out."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.support.planning import LINUX, failure, image, only_run, options, plan

from lamina.dockerfile import parse
from lamina.plan.planner import make_plan
from lamina.plan.scope import DEFAULT_PATH, normal_path
from lamina.plan.steps import CopyOp, ImageRef, MetaOp, Missing, RunOp, StageRef, WorkdirOp


def test_the_lessons_dockerfile_gives_the_lessons_steps() -> None:
    made = plan(
        "FROM python:3.12-slim\nWORKDIR /app\nCOPY . .\nRUN pip install pipenv\n"
        'EXPOSE 8000\nCMD ["python", "manage.py"]\n'
    )
    (stage,) = made.stages
    kinds = [
        (step.keyword, type(step.op), step.position, step.history and step.history.empty_layer) for step in stage.steps
    ]
    assert kinds == [
        ("WORKDIR", WorkdirOp, "2/4", False),
        ("COPY", CopyOp, "3/4", False),
        ("RUN", RunOp, "4/4", False),
        ("EXPOSE", MetaOp, "", True),
        ("CMD", MetaOp, "", True),
    ]
    copy = stage.steps[1].op
    assert isinstance(copy, CopyOp) and (copy.sources, copy.dest, copy.dest_is_dir) == ((".",), "/app", True)
    assert stage.config.cmd == ("python", "manage.py") and stage.config.exposed_ports == {"8000/tcp": {}}
    assert stage.config.working_dir == "/app"


def test_images_are_asked_for_with_their_place_and_all_in_one_round() -> None:
    dockerfile = parse(b"FROM one AS a\nFROM two\nCOPY --from=a /x /x\nCOPY --from=three /y /y\n", "Dockerfile")
    missing = make_plan(dockerfile, options(), {})
    assert isinstance(missing, Missing)
    assert {(ref.name, span.line) for ref, span in missing.images} == {("one", 1), ("two", 2), ("three", 4)}


@pytest.mark.parametrize(
    ("text", "args", "expected"),
    [
        ("ARG V=1\nFROM x:$V", {}, "x:1"),
        ("ARG V=1\nFROM x:${V}", {"V": "2"}, "x:2"),
        ("FROM x:${V:-3}", {}, "x:3"),
        ("ARG A=1\nARG B=$A-b\nFROM x:$B", {}, "x:1-b"),
        ("FROM x:$TARGETARCH", {}, "x:amd64"),
    ],
)
def test_from_sees_global_arguments(text: str, args: dict[str, str], expected: str) -> None:
    assert plan(text, build_args=args).stages[0].base == ImageRef(expected, LINUX)


@pytest.mark.parametrize(
    ("body", "args", "value"),
    [
        ("ARG X\n", {}, None),
        ("ARG X=d\n", {}, "d"),
        ("ARG X=d\n", {"X": "cli"}, "cli"),
        ("ARG G\n", {}, None),
        ("ENV X=e\nARG X=a\n", {}, "a"),  # the last one wins
        ("ARG X=a\nENV X=e\n", {}, "e"),
        ("ENV X=e\nARG X\n", {}, "e"),  # a bare ARG without a value leaves ENV alone
        ("ARG X=$HOME_DIR\nENV Y=1\n", {}, ""),
    ],
)
def test_arguments_in_a_run_environment(body: str, args: dict[str, str], value: str | None) -> None:
    assert dict(only_run(f"ARG G=global\nFROM b\n{body}RUN x\n", build_args=args).env).get("X") == value


def test_a_bare_arg_imports_the_global_default_and_a_stage_default_beats_it() -> None:
    assert dict(only_run("ARG G=global\nFROM b\nARG G\nRUN x\n").env)["G"] == "global"
    assert dict(only_run("ARG G=global\nFROM b\nARG G=own\nRUN x\n").env)["G"] == "own"
    assert "G" not in dict(only_run("ARG G=global\nFROM b\nRUN x\n").env)


def test_arguments_are_inherited_by_a_stage_built_from_the_stage() -> None:
    assert dict(only_run("FROM b AS one\nARG X=1\nFROM one\nRUN x\n").env)["X"] == "1"


def test_values_of_one_env_line_see_the_variables_before_it() -> None:
    made = plan("FROM b\nENV a=1\nENV a=2 b=$a\n")
    assert made.stages[0].config.env[-2:] == ("a=2", "b=1")


def test_env_keeps_its_place_when_set_again() -> None:
    assert plan("FROM b\nENV x=1 y=2\nENV x=3\n").stages[0].config.env == ("PATH=/usr/bin", "x=3", "y=2")


def test_an_environment_of_the_base_that_is_not_regular_is_written_anew() -> None:
    base = image()
    odd = replace(base, config=replace(base.runtime, env=("PATH=/bin", "FOO", "A=1", "A=2")))
    assert plan("FROM b\nENV x=1\nENV y=2\n", base=odd).stages[0].config.env == (
        "PATH=/bin",
        "FOO=",
        "A=2",
        "x=1",
        "y=2",
    )
    assert plan("FROM b\n", base=odd).stages[0].config.env == odd.runtime.env


def test_ten_thousand_lines_are_planned() -> None:
    text = "FROM b\n" + "".join(f"ENV A{number}=x\n" for number in range(3_000)) + "RUN x\n" * 3_000
    (stage,) = plan(text + "COPY a b\n" * 4_000).stages
    assert len(stage.steps) == 10_000 and len(stage.config.env) == 3_001


def test_a_base_without_path_gets_the_default_one() -> None:
    assert plan("FROM scratch\nCOPY a /\n").stages[0].config.env == (f"PATH={DEFAULT_PATH}",)


@pytest.mark.parametrize(
    ("dockerfile", "cmd", "entrypoint"),
    [
        ('FROM b\nENTRYPOINT ["e"]\n', None, ("e",)),
        ('FROM b\nCMD ["c"]\nENTRYPOINT ["e"]\n', ("c",), ("e",)),
        ('FROM b\nCMD run me\nENTRYPOINT ["e"]\n', ("/bin/sh", "-c", "run me"), ("e",)),
        ('FROM b\nSHELL ["/bin/bash", "-ec"]\nCMD x\n', ("/bin/bash", "-ec", "x"), None),
        ("FROM b\nCMD []\n", (), None),
    ],
)
def test_cmd_and_entrypoint(dockerfile: str, cmd: object, entrypoint: object) -> None:
    config = plan(dockerfile, base=image(cmd=("inherited",))).stages[0].config
    assert (config.cmd, config.entrypoint) == (cmd, entrypoint)


def test_shell_applies_from_its_line_on() -> None:
    steps = plan('FROM b\nRUN one\nSHELL ["/bin/bash", "-c"]\nRUN two\n').stages[0].steps
    runs = [step.op.argv for step in steps if isinstance(step.op, RunOp)]
    assert runs == [("/bin/sh", "-c", "one"), ("/bin/bash", "-c", "two")]


def test_exec_form_has_no_shell() -> None:
    assert only_run('FROM b\nRUN ["a", "b c"]\n').argv == ("a", "b c")


@pytest.mark.parametrize(
    ("text", "path"),
    [("WORKDIR a", "/a"), ("WORKDIR /a\nWORKDIR b/../c", "/a/c"), ("WORKDIR /a/../../..", "/"), ("WORKDIR $X/y", "/y")],
)
def test_workdir(text: str, path: str) -> None:
    assert plan(f"FROM b\n{text}\n").stages[0].config.working_dir == path


def test_workdir_root_makes_no_layer() -> None:
    assert isinstance(plan("FROM b\nWORKDIR /\n").stages[0].steps[0].op, MetaOp)


@pytest.mark.parametrize(
    ("text", "dest", "is_dir"),
    [
        ("COPY a /x", "/x", False),
        ("COPY a /x/", "/x", True),
        ("COPY a b", "/w/b", False),
        ("COPY a .", "/w", True),
        ("COPY a ./", "/w", True),
        ("COPY a ..", "/", True),
        ("COPY a b c/", "/w/c", True),
        ("COPY a $D/", "/data", True),
    ],
)
def test_copy_destinations(text: str, dest: str, is_dir: bool) -> None:
    op = plan(f"FROM b\nWORKDIR /w\nENV D=/data\n{text}\n").stages[0].steps[-1].op
    assert isinstance(op, CopyOp) and (op.dest, op.dest_is_dir) == (dest, is_dir)


def test_copy_flags() -> None:
    op = plan("FROM b\nARG U=app\nCOPY --chown=$U:users --chmod=0640 a /x\n").stages[0].steps[-1].op
    assert isinstance(op, CopyOp) and (op.chown, op.chmod, op.unpack) == ("app:users", "640", False)
    add = plan("FROM b\nADD a.tar /x\n").stages[0].steps[-1].op
    assert isinstance(add, CopyOp) and add.unpack


def test_copy_from_a_stage_by_name_and_by_index_and_from_an_image() -> None:
    made = plan("FROM b AS One\nFROM c\nCOPY --from=ONE a b\nCOPY --from=0 a b\nCOPY --from=img:1 a b\n")
    sources = [step.op.origin for step in made.stages[1].steps if isinstance(step.op, CopyOp)]
    assert sources == [StageRef(0), StageRef(0), ImageRef("img:1", LINUX)]


def test_stages_that_the_target_does_not_need_are_left_out() -> None:
    made = plan("FROM a AS one\nRUN x\nFROM nowhere AS two\nRUN y\nFROM one AS three\n", target="three")
    assert [stage.label for stage in made.stages] == ["one", "three"]
    assert [ref.name for ref in made.images] == ["a"]


def test_the_target_defaults_to_the_last_stage_and_its_name_may_have_any_case() -> None:
    text = "FROM a AS one\nFROM b AS two\n"
    assert plan(text).target == 1
    assert plan(text, target="ONE").target == 0


def test_a_digit_in_from_is_an_image_and_the_last_of_equal_names_wins() -> None:
    assert plan("FROM a\nFROM 0\n").stages[0].base == ImageRef("0", LINUX)
    made = plan("FROM a AS x\nFROM b AS x\nFROM x\n")
    assert made.stages[-1].base == StageRef(1)


def test_onbuild_triggers_of_the_base_run_first_and_are_not_inherited_twice() -> None:
    made = plan("FROM b\nRUN own\n", base=image(on_build=("RUN trigger", "ENV T=1")))
    steps = made.stages[0].steps
    assert [step.text for step in steps] == ["RUN trigger", "ENV T=1", "RUN own"]
    assert made.stages[0].config.on_build is None


def test_onbuild_of_a_parent_stage_fires_too() -> None:
    made = plan("FROM b AS parent\nONBUILD RUN fired\nFROM parent\n")
    assert [step.text for step in made.stages[1].steps] == ["RUN fired"]
    assert made.stages[0].config.on_build == ("RUN fired",)


def test_metadata_instructions() -> None:
    config = (
        plan(
            'FROM b\nLABEL a=1 b="two words"\nEXPOSE 80 53/UDP 8000-8002\nUSER app\nVOLUME /data /logs\n'
            "STOPSIGNAL SIGINT\nHEALTHCHECK --interval=1m30s --retries=3 CMD curl localhost\n"
        )
        .stages[0]
        .config
    )
    assert config.labels == {"a": "1", "b": "two words"}
    assert set(config.exposed_ports) == {"80/tcp", "53/udp", "8000/tcp", "8001/tcp", "8002/tcp"}
    assert (config.user, config.stop_signal, set(config.volumes)) == ("app", "SIGINT", {"/data", "/logs"})
    assert config.healthcheck is not None
    assert (config.healthcheck.test, config.healthcheck.interval) == (("CMD-SHELL", "curl localhost"), 90 * 10**9)


def test_healthcheck_none_and_maintainer() -> None:
    made = plan("FROM b\nHEALTHCHECK NONE\nMAINTAINER A B <a@b.example>\n").stages[0]
    assert made.config.healthcheck is not None and made.config.healthcheck.test == ("NONE",)
    assert made.author == "A B <a@b.example>"


def test_history_is_written_as_docker_writes_it() -> None:
    text = """FROM b
ARG V=1 U
ARG A=a
RUN make
ENV A=b
RUN ["x"]
CMD ["a", "b"]
SHELL ["/bin/sh", "-ec"]
ONBUILD RUN y
COPY --chown=1 \\
  ["$A", "b c", "d/"]
"""
    steps = plan(text).stages[0].steps
    assert [step.history and step.history.created_by for step in steps] == [
        "ARG V=1 U",
        "ARG A=a",
        "RUN |3 V=1 U= A=a /bin/sh -c make # buildkit",
        "ENV A=b",
        "RUN |3 V=1 U= A=b x # buildkit",
        'CMD ["a" "b"]',
        "SHELL [/bin/sh -ec]",
        None,
        "COPY --chown=1 b b c d/ # buildkit",
    ]


def test_command_line_labels_go_to_the_target_alone() -> None:
    made = plan("FROM a AS one\nFROM one\n", labels={"x": "1"})
    assert made.stages[0].config.labels == {} and made.stages[1].config.labels == {"x": "1"}


def test_a_build_argument_that_nothing_declares_is_warned_of_with_the_near_name() -> None:
    (warning,) = plan("FROM b\nARG VERSION\n", build_args={"VERSON": "1"}).warnings
    assert "VERSON" in warning.message and warning.hint == "did you mean VERSION?"
    assert plan("FROM b\n", build_args={"HTTP_PROXY": "x"}).warnings == ()


@pytest.mark.parametrize(
    ("text", "reference", "line"),
    [
        ("ARG X\n", "dockerfile-no-from", None),
        ("RUN x\nFROM b\n", "dockerfile-no-from", 1),
        ("FROM b\nRUN --device=gpu x\n", "dockerfile-no-devices", 2),
        ("FROM b\nRUN --security=insecure x\n", "dockerfile-entitlement", 2),
        ("FROM b\nCOPY a b /c\n", "dockerfile-copy-needs-directory", 2),
        ("FROM b\nCOPY $NOTHING /c\n", "dockerfile-empty-value", 2),
        ("FROM b\nWORKDIR $NOTHING\n", "dockerfile-empty-value", 2),
        ("FROM b\nCOPY --chmod=rwx a /c\n", "dockerfile-bad-chmod", 2),
        ("FROM b\nEXPOSE seven\n", "dockerfile-bad-port", 2),
        ("FROM b\nEXPOSE 9-2\n", "dockerfile-bad-port", 2),
        ("FROM b\nSTOPSIGNAL SIGWHAT!\n", "dockerfile-bad-signal", 2),
        ("FROM b\nSTOPSIGNAL 0\n", "dockerfile-bad-signal", 2),
        ("FROM b\nSTOPSIGNAL 65\n", "dockerfile-bad-signal", 2),
        ("FROM b\nHEALTHCHECK --interval=1us CMD x\n", "dockerfile-bad-flag-value", 2),
        ("FROM b\nRUN --network=moon x\n", "dockerfile-bad-flag-value", 2),
        ("FROM ${NOTHING}\n", "dockerfile-empty-image", 1),
        ("FROM b/UPPER\n", "dockerfile-bad-image-name", 1),
        ("FROM --platform=a/b/c/d x\n", "dockerfile-bad-platform", 1),
        ("FROM b AS one\nCOPY --from=one a b\n", "dockerfile-circular-stages", 2),
        ("FROM b\nCOPY --from=later a b\nFROM c AS later\nFROM stage0\n", None, None),
        ("FROM b AS a\nCOPY --from=z a b\nFROM a AS z\n", "dockerfile-circular-stages", 2),
        ("FROM b\nCOPY --from=3 a b\n", "dockerfile-unknown-stage", 2),
        ("FROM b\nCOPY --from=$X a b\n", "dockerfile-variable-in-from", 2),
    ],
)
def test_what_is_refused_and_where(text: str, reference: str | None, line: int | None) -> None:
    if reference is None:
        assert plan(text)
        return
    diagnostic = failure(text).diagnostic
    assert diagnostic.reference == reference
    assert (diagnostic.span.line if diagnostic.span else None) == line


def test_an_unknown_target_suggests_the_near_one() -> None:
    diagnostic = failure("FROM b AS builder\n", target="bulider").diagnostic
    assert (diagnostic.reference, diagnostic.hint) == ("dockerfile-unknown-stage", "did you mean builder?")


def test_a_fault_in_a_stage_that_nothing_needs_is_no_fault() -> None:
    assert plan("FROM b AS broken\nCOPY --chmod=rwx a b\nFROM b\n").target == 1


@pytest.mark.parametrize(
    ("path", "expected"), [("/", "/"), ("//a//b/", "/a/b"), ("/a/./b/..", "/a"), ("/../../x", "/x")]
)
def test_normal_path(path: str, expected: str) -> None:
    assert normal_path(path) == expected


def test_a_long_chain_of_stages_is_planned() -> None:
    text = "FROM base AS s0\nRUN x\n" + "".join(f"FROM s{number} AS s{number + 1}\n" for number in range(3000))
    assert len(plan(text).stages) == 3001


def test_stages_that_copy_from_each_other_too_deeply() -> None:
    text = "FROM base AS s0\n" + "".join(
        f"FROM base AS s{number + 1}\nCOPY --from=s{number} /x /x\n" for number in range(3000)
    )
    assert failure(text).diagnostic.reference == "dockerfile-too-many-stages"
