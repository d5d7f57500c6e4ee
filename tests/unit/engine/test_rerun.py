"""A cached RUN from the parts of its key, and which of the cached ones are tried."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.store_making import a_digest, a_record

from lamina.engine.rerun import Unrepeatable, newest, operation
from lamina.keys.compute import run_key
from lamina.keys.record import CacheRecord
from lamina.oci.platform import Platform
from lamina.plan.steps import BindMount, CacheMount, Inline, RunOp, SecretMount, SshMount, StepMount, TmpfsMount

LINUX = Platform("linux", "amd64")
MAKE = RunOp(argv=("/bin/sh", "-c", "make"), env=(), args=(), user="", cwd="/")

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
names = st.text(st.characters(categories=["Lu", "Nd"]), min_size=1, max_size=6)
tmpfs = st.builds(TmpfsMount, target=words.map("/{}".format), size=st.none() | st.integers(0, 1 << 40))


@st.composite
def operations(draw: st.DrawFn) -> RunOp:
    argv = tuple(draw(st.lists(words, min_size=1, max_size=3)))
    script = None
    if draw(st.booleans()):
        script = Inline(draw(names), draw(words))
        argv = (*argv, f"/dev/pipes/{script.name}")
    return RunOp(
        argv=argv,
        env=tuple(draw(st.dictionaries(names, words, max_size=3)).items()),
        args=(),
        user=draw(words),
        cwd=draw(words),
        network=draw(st.sampled_from(["default", "none", "host"])),
        mounts=tuple(draw(st.lists(tmpfs, max_size=2, unique_by=lambda each: each.target))),
        script=script,
        hostname=draw(st.sampled_from(["", "name"])),
    )


def record(op: RunOp, hosts: tuple[str, ...] = (), platform: Platform = LINUX, *, epoch: bool = False) -> CacheRecord:
    key = run_key(op, a_digest("parent"), platform, (), hosts, epoch=epoch)
    return replace(a_record(), key=key)


@given(operations(), st.booleans(), st.sampled_from(["linux/amd64", "linux/arm/v7"]))
def test_an_operation_comes_back_from_its_key(op: RunOp, epoch: bool, platform: str) -> None:
    wanted = Platform(*platform.split("/"))
    assert operation(record(op, platform=wanted, epoch=epoch)) == (op, wanted)


@pytest.mark.parametrize(
    ("mount", "why"),
    [
        (BindMount("/src"), "mounts bind at /src"),
        (CacheMount("/root/.cache", "id"), "mounts cache at /root/.cache"),
        (SecretMount("id", None, "TOKEN"), "mounts secret at TOKEN"),
        (SshMount("id", "/run/agent"), "mounts ssh at /run/agent"),
    ],
)
def test_what_a_key_does_not_hold_is_not_tried(mount: StepMount, why: str) -> None:
    with pytest.raises(Unrepeatable, match=why):
        operation(record(replace(MAKE, mounts=(mount,))))


def test_hosts_and_privileges_are_not_tried() -> None:
    with pytest.raises(Unrepeatable, match="was given the address of db"):
        operation(record(MAKE, ("db",)))
    with pytest.raises(Unrepeatable, match="runs with security=insecure"):
        operation(record(replace(MAKE, security="insecure")))


def test_a_record_of_another_recipe_is_not_tried() -> None:
    """Whatever a part means there, it is not what would be run here."""
    made = record(MAKE)
    older = replace(made, key=replace(made.key, digest=a_digest("of another schema")))
    with pytest.raises(Unrepeatable, match="another version"):
        operation(older)
    nothing = replace(made, key=replace(made.key, schema=1, parts=made.key.parts[:2]))
    with pytest.raises(Unrepeatable, match="another version"):
        operation(nothing)


def a_run(number: int, text: str, project: str = "/p", address: str = "main/1", content: str = "") -> CacheRecord:
    made = replace(record(MAKE), text=text, project=project, address=address, content_key=a_digest(content or text))
    return replace(made, build=str(number))


def test_the_newest_of_each_step() -> None:
    records = [
        a_run(1, "RUN a"),
        a_run(2, "RUN b"),
        a_run(3, "RUN a", content="a again"),
        a_run(4, "RUN a", address="other/1", content="in another stage"),
        a_run(5, "RUN a", project="/q", content="a again"),  # the same step in another project
        replace(a_run(6, "COPY a"), key=replace(record(MAKE).key, kind="copy")),
        a_run(7, "RUN b", address="main/9", content="moved"),
    ]
    assert [each.build for each in newest(records)] == ["5", "4", "7"]
    assert [each.build for each in newest(records, "b")] == ["7"]
    assert newest(records, "none") == ()
