"""Flags that bring something in: secrets, hosts, limits, sizes, agents, annotations."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from lamina.cli import outside
from lamina.diagnostics import BuildFailure
from lamina.ports.running import Limit
from lamina.workshop.annotations import Annotations, parse_annotations


# --- secrets ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id=a,src=file", b"in the file"),
        ("id=a,source=file,type=file", b"in the file"),
        ("ID=a,SRC=file", b"in the file"),
        ("id=a,env=VARIABLE", b"in the variable"),
        ("id=a,type=env,src=VARIABLE", b"in the variable"),
        ("id=VARIABLE,type=env", b"in the variable"),
        ("id=VARIABLE", b"in the variable"),
        ("id=file", b"in the file"),
        ('id=a,"src=with, comma"', b"odd name"),
        ("src=file,id=a", b"in the file"),
        ("id=a,env=BYTES", b"\xff\xfe"),
    ],
)
def test_secrets(text: str, expected: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"in the file")
    (tmp_path / "with, comma").write_bytes(b"odd name")
    found = outside.secrets([text], {"VARIABLE": "in the variable", "BYTES": os.fsdecode(b"\xff\xfe")})
    ((name, read),) = found.items()
    assert name in ("a", "VARIABLE", "file")
    assert read() == read() == expected


def test_a_secret_may_come_through_a_pipe(tmp_path: Path) -> None:
    """As with `src=<(command)`: it can be read but once, and several steps may want it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = outside.secrets([f"id=a,src={pipe}"], {})["a"]
    writer = threading.Thread(target=pipe.write_bytes, args=(b"flowing",))
    writer.start()
    assert (read(), read()) == (b"flowing", b"flowing")
    writer.join()


@pytest.mark.parametrize(
    "text", ["", "src=file", "id=", "id=a", "id=a,src=.", "id=a,env=NONE", "id=a,kind=x", "id=a,type=x", 'id="a']
)
def test_secrets_that_are_refused(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BuildFailure) as caught:
        outside.secrets([text], {"OTHER": "value-of-other"})
    assert caught.value.diagnostic.reference == "usage-secret"
    assert "value-of-other" not in repr(caught.value.diagnostic)


# --- agents ----------------------------------------------------------------------------------------------------------
def test_agents_that_run_already(tmp_path: Path) -> None:
    path = tmp_path / "agent"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        with outside.agents(["default", f"deploy={path}"], {"SSH_AUTH_SOCK": str(path)}) as found:
            assert found == {"default": path, "deploy": path}


@pytest.mark.parametrize(("text", "told"), [("default", "SSH_AUTH_SOCK"), ("default=/nowhere/key", "/nowhere/key")])
def test_agents_that_are_not_there(text: str, told: str) -> None:
    with pytest.raises(BuildFailure, match=told) as caught, outside.agents([text], {}):
        raise AssertionError("it was found")
    assert caught.value.diagnostic.reference == "usage-ssh"


def test_what_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("this is no key")
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(BuildFailure) as caught, outside.agents([f"default={tmp_path / 'key'}"], {}):
        raise AssertionError("it was taken")
    assert caught.value.diagnostic.reference == "usage-ssh"
    assert caught.value.diagnostic.cause


# --- hosts, limits, sizes --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("db:10.0.0.7", ("db", "10.0.0.7")),
        ("db=10.0.0.7", ("db", "10.0.0.7")),
        ("db:::1", ("db", "::1")),
        ("db=[2001:db8::1]", ("db", "2001:db8::1")),
        ("host.docker.internal:host-gateway", ("host.docker.internal", "127.0.0.1")),
        ("db=host-gateway", ("db", "127.0.0.1")),
    ],
)
def test_hosts(text: str, expected: tuple[str, str]) -> None:
    assert outside.hosts([text]) == (expected,)


@pytest.mark.parametrize("text", ["", "db", "db:", ":1.2.3.4", "db:beef", "db:1.2.3", "a b:1.2.3.4", "a\nb=1.2.3.4"])
def test_hosts_that_are_refused(text: str) -> None:
    with pytest.raises(BuildFailure, match="--add-host"):
        outside.hosts([text])


def test_limits() -> None:
    assert outside.limits(["nofile=10:20", "core=-1", "nproc=5"]) == (
        Limit("nofile", 10, 20),
        Limit("core", -1, -1),
        Limit("nproc", 5, 5),
    )


@pytest.mark.parametrize("text", ["nofile", "nofile=", "nofile=a", "nofile=1:", "nofile=20:10", "no such=1", "odd=1"])
def test_limits_that_are_refused(text: str) -> None:
    with pytest.raises(BuildFailure, match="--ulimit"):
        outside.limits([text])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("64", 64), ("1k", 1024), ("1.5m", 3 << 19), ("2G", 2 << 30), ("3MiB", 3 << 20), ("8kb", 8192)],
)
def test_sizes(text: str, expected: int) -> None:
    assert outside.size(text, "--shm-size") == expected
    assert outside.size(None, "--shm-size") is None


@pytest.mark.parametrize("text", ["", "m", "-1", "1x", "1 2"])
def test_sizes_that_are_refused(text: str) -> None:
    with pytest.raises(BuildFailure, match="--shm-size"):
        outside.size(text, "--shm-size")


# --- annotations -----------------------------------------------------------------------------------------------------
def test_annotations() -> None:
    found = parse_annotations(["a=1", "manifest:b=x=y", "index:c=", "index,manifest:d=4"])
    assert found == Annotations({"a": "1", "b": "x=y", "d": "4"}, {"c": "", "d": "4"})


@pytest.mark.parametrize("text", ["", "a", "=1", "index:=1", "layer:a=1", ":a=1", "index,:a=1"])
def test_annotations_that_are_refused(text: str) -> None:
    with pytest.raises(BuildFailure, match="--annotation"):
        parse_annotations([text])
