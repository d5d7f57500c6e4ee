"""`RUN --mount`: every option of every type, and what is wrong with the others."""

from __future__ import annotations

import pytest
from tests.support.planning import LINUX, failure, only_run

from lamina.plan.steps import (
    BindMount,
    CacheMount,
    ContextRef,
    ImageRef,
    SecretMount,
    SshMount,
    StageRef,
    StepMount,
    TmpfsMount,
)


@pytest.mark.parametrize(
    ("flag", "mount"),
    [
        ("target=/x", BindMount("/x")),
        ("type=bind,source=a/../b/,target=/x,rw", BindMount("/x", "/b", read_only=False)),
        ("from=0,src=/s,dst=/x,ro", BindMount("/x", "/s", StageRef(0))),
        ("type=bind,from=first,destination=rel", BindMount("/w/rel", "/", StageRef(0))),
        ("from=lib,target=/x,readonly=false", BindMount("/x", "/", ContextRef("lib"), False)),
        ("type=cache,target=/c/", CacheMount("/c", "/c")),
        ("type=cache,target=c", CacheMount("/w/c", "c")),
        (
            "TYPE=cache,id=$ID,target=/c,sharing=locked,mode=0700,uid=5,gid=6,ro",
            CacheMount("/c", "mine", "locked", True, mode=0o700, uid=5, gid=6),
        ),
        ("type=cache,target=/c,from=first,source=s", CacheMount("/c", "/c", origin=StageRef(0), source="/s")),
        ("type=tmpfs,target=/t", TmpfsMount("/t")),
        ("type=tmpfs,target=/t,size=2m", TmpfsMount("/t", 2 << 20)),
        ("type=secret,id=key", SecretMount("key", "/run/secrets/key")),
        ("type=secret,id=a/b", SecretMount("a/b", "/run/secrets/b")),
        ("type=secret,target=/etc/key,required", SecretMount("key", "/etc/key", required=True)),
        ("type=secret,id=key,env=KEY", SecretMount("key", None, "KEY")),
        (
            "type=secret,id=key,env=KEY,target=/k,mode=440,uid=1,gid=2",
            SecretMount("key", "/k", "KEY", mode=0o440, uid=1, gid=2),
        ),
        ("type=ssh", SshMount("default", "/run/buildkit/ssh_agent.0")),
        ("type=ssh,id=x,target=/s,required=true,mode=0666", SshMount("x", "/s", True, 0o666)),
        ('type=bind,"source=a,b",target=/x', BindMount("/x", "/a,b")),
        ("type=BIND,ReadWrite=T,target=/x", BindMount("/x", read_only=False)),
        ("target=/x,rw,ro", BindMount("/x")),
        ("target=/x,ro,rw", BindMount("/x", read_only=False)),
        ("type=bind,id=unused", BindMount("/w")),
        ("type=cache", CacheMount("/w", ".")),
        ("type=tmpfs,target=/t,size=1.5k,ro", TmpfsMount("/t", 1536)),
        ("type=tmpfs,target=/t,size=2GiB", TmpfsMount("/t", 2 << 30)),
        ("type=tmpfs,target=/t,size=0", TmpfsMount("/t")),
        ("type=secret,src=key,readonly", SecretMount("key", "/run/secrets/key")),
    ],
)
def test_a_mount(flag: str, mount: StepMount) -> None:
    quoted = flag.replace('"', '\\"')
    text = f"FROM b AS first\nFROM b\nENV ID=mine\nWORKDIR /w\nRUN --mount={quoted} x\n"
    assert only_run(text, contexts={"lib": "tree"}).mounts == (mount,)


def test_agents_are_counted() -> None:
    mounts = only_run("FROM b\nRUN --mount=type=ssh --mount=type=ssh,id=b x\n").mounts
    assert [mount.target for mount in mounts] == ["/run/buildkit/ssh_agent.0", "/run/buildkit/ssh_agent.1"]


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("type=bnd,target=/x", "has no type"),
        ("type=cache", "needs a target"),
        ("target=/", "root"),
        ("target=..", "root"),
        ("targt=/x", "has no 'targt'"),
        ("target", "needs a value"),
        ("type=tmpfs,target=/x,sharing=locked", "has no 'sharing'"),
        ("type=tmpfs,target=/x,size=big", "size"),
        ("type=cache,target=/x,sharing=some", "sharing"),
        ("type=cache,target=/x,mode=9", "octal"),
        ("type=cache,target=/x,uid=root", "number"),
        ("type=secret", "needs an id"),
        ("type=secret,id=x,source=y", "both id and source"),
        ("type=secret,id=x,from=first", "has no 'from'"),
        ("type=ssh,source=x", "has no 'source'"),
        ("target=/x,ro=", "neither true nor false"),
        ("target=/x,required", "has no 'required'"),
        ("zzzzzzzz=1", "has no 'zzzzzzzz'"),
        ("type=tmpfs,target=/x,size=-1", "size"),
        ("type=cache,target=/x,uid=4294967296", "number"),
        ("type=secret,id=x,required=maybe", "neither true nor false"),
        ('"target=/x', "comma-separated"),
    ],
)
def test_what_is_wrong_with_a_mount(flag: str, message: str) -> None:
    quoted = flag.replace('"', '\\"')
    found = failure(f"FROM b\nRUN --mount={quoted} x\n").diagnostic
    assert (found.reference, found.span and found.span.line) == ("dockerfile-bad-mount", 2)
    assert message in found.message
    assert found.hint


def test_an_image_is_mounted_from_by_name_and_a_variable_is_refused_there() -> None:
    (mount,) = only_run("FROM b\nRUN --mount=from=tools:1,target=/t x\n").mounts
    assert isinstance(mount, BindMount) and mount.origin == ImageRef("tools:1", LINUX)
    assert failure("FROM b\nRUN --mount=from=$X,target=/t x\n").diagnostic.reference == "dockerfile-variable-in-from"
