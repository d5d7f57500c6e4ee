"""Docker's config.json and real helper programs (small scripts that speak the helper protocol)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lamina.diagnostics import BuildFailure
from lamina.registry.credentials import Credentials, DockerCredentials

HUB = "https://index.docker.io/v1/"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def written(folder: Path, config: Mapping[str, Any] | str) -> DockerCredentials:
    file = folder / "config.json"
    file.write_text(config if isinstance(config, str) else json.dumps(config))
    return DockerCredentials(file)


@pytest.mark.parametrize(
    ("auths", "registry", "expected"),
    [
        ({}, "r.example", None),
        ({"r.example": {"auth": encoded("ann:pw")}}, "r.example", Credentials("ann", "pw")),
        ({"r.example": {"auth": encoded("ann:p:w:")}}, "r.example", Credentials("ann", "p:w:")),
        ({"r.example": {"auth": encoded("änn:pässword")}}, "r.example", Credentials("änn", "pässword")),
        ({"r.example": {"auth": encoded("ann:pw\0\0")}}, "r.example", Credentials("ann", "pw")),
        ({"r.example": {"username": "ann", "password": "pw"}}, "r.example", Credentials("ann", "pw")),
        ({"r.example": {"auth": encoded("0:"), "identitytoken": "it"}}, "r.example", Credentials("0", "", "it")),
        ({"r.example": {"registrytoken": "rt"}}, "r.example", Credentials(registry_token="rt")),
        ({"r.example": {}}, "r.example", None),
        ({"https://r.example": {"auth": encoded("ann:pw")}}, "r.example", Credentials("ann", "pw")),
        ({"https://r.example/v1/": {"auth": encoded("ann:pw")}}, "r.example", Credentials("ann", "pw")),
        ({"http://r.example:5000/v2/": {"auth": encoded("ann:pw")}}, "r.example:5000", Credentials("ann", "pw")),
        ({"r.example:5000": {"auth": encoded("ann:pw")}}, "r.example", None),
        ({"other.example": {"auth": encoded("ann:pw")}}, "r.example", None),
        ({HUB: {"auth": encoded("ann:pw")}}, "docker.io", Credentials("ann", "pw")),
        ({"docker.io": {"auth": encoded("ann:pw")}}, "docker.io", Credentials("ann", "pw")),
        ({"index.docker.io": {"auth": encoded("ann:pw")}}, "docker.io", Credentials("ann", "pw")),
        (
            {"https://r.example/v1/": {"auth": encoded("a:old")}, "r.example": {"auth": encoded("a:new")}},
            "r.example",
            Credentials("a", "new"),
        ),
    ],
)
def test_auths(tmp_path: Path, auths: dict[str, Any], registry: str, expected: Credentials | None) -> None:
    found = written(tmp_path, {"auths": auths, "HttpHeaders": {"x": "y"}, "detachKeys": "ctrl-x"}).lookup(registry)
    assert found == expected


@pytest.mark.parametrize("text", ["", "{}", "  \n", '{"auths": null, "credsStore": null}'])
def test_nothing_configured(tmp_path: Path, text: str) -> None:
    assert written(tmp_path, text).lookup("docker.io") is None


def test_no_file_at_all(tmp_path: Path) -> None:
    assert DockerCredentials(None).lookup("docker.io") is None
    assert DockerCredentials(tmp_path / "missing" / "config.json").lookup("docker.io") is None
    (tmp_path / "file").touch()
    assert DockerCredentials(tmp_path / "file" / "config.json").lookup("docker.io") is None


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '"x"',
        '{"auths": []}',
        '{"auths": {"r.example": {"auth": "s3cr3t!"}}}',
        '{"auths": {"r.example": {"auth": "' + encoded("s3cr3t") + '"}}}',
        '{"auths": {"r.example": {"auth": 5, "password": "s3cr3t"}}}',
        "[" * 100_000,
        "\udcff",
    ],
)
def test_a_broken_file_is_named_without_its_secrets(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BuildFailure) as caught:
        DockerCredentials(file).lookup("r.example")
    said = caught.value.diagnostic
    assert said.reference == "registry-bad-config"
    assert str(file) in said.message
    assert "s3cr3t" not in repr(said)
    assert caught.value.__cause__ is None


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(BuildFailure) as caught:
        DockerCredentials(tmp_path).lookup("r.example")
    assert caught.value.diagnostic.reference == "registry-bad-config"


def test_secrets_do_not_show() -> None:
    shown = repr(Credentials("ann", "hidden", "hidden", "hidden"))
    assert "hidden" not in shown
    assert "ann" not in shown


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def helper(folder: Path, name: str, script: str) -> None:
    program = folder / f"docker-credential-{name}"
    program.write_text(f'#!/bin/sh\n[ "$1" = get ] || exit 9\nread -r server\n{script}\n')
    program.chmod(0o755)


ANSWER = 'echo "{\\"ServerURL\\":\\"$server\\",\\"Username\\":\\"ann\\",\\"Secret\\":\\"for $server\\"}"'


@pytest.mark.parametrize(
    ("config", "registry", "expected"),
    [
        ({"credsStore": "good"}, "r.example", Credentials("ann", "for r.example")),
        ({"credsStore": "good"}, "docker.io", Credentials("ann", f"for {HUB}")),
        ({"credHelpers": {"r.example": "good"}}, "r.example", Credentials("ann", "for r.example")),
        ({"credHelpers": {"r.example": "good"}}, "q.example", None),
        (
            {"credHelpers": {"r.example": "good"}, "credsStore": "none"},
            "r.example",
            Credentials("ann", "for r.example"),
        ),
        ({"credHelpers": {"docker.io": "good"}}, "docker.io", Credentials("ann", f"for {HUB}")),
        ({"credsStore": "token"}, "r.example", Credentials(identity_token="refresh")),
        ({"credsStore": "none"}, "r.example", None),
        ({"credsStore": "none", "auths": {"r.example": {"auth": encoded("a:b")}}}, "r.example", Credentials("a", "b")),
        ({"credsStore": "good", "auths": {"r.example": {}}}, "r.example", Credentials("ann", "for r.example")),
    ],
)
def test_helpers(
    tmp_path: Path, programs: Path, config: dict[str, Any], registry: str, expected: Credentials | None
) -> None:
    helper(programs, "good", ANSWER)
    helper(programs, "token", 'echo \'{"ServerURL":"x","Username":"<token>","Secret":"refresh"}\'')
    helper(programs, "none", 'echo "credentials not found in native keychain"; exit 1')
    assert written(tmp_path, config).lookup(registry) == expected


@pytest.mark.parametrize(
    ("name", "script", "cause"),
    [
        ("missing", None, "it is not installed"),
        ("../evil", None, "it is not installed"),
        ("broken", "echo s3cr3t; exit 3", "exit status 3"),
        ("babble", "echo s3cr3t", "it did not answer with Username and Secret"),
        ("half", 'echo \'{"Secret":"s3cr3t"}\'', "it did not answer with Username and Secret"),
        ("slow", "exec sleep 30", "no answer within 0 seconds"),
    ],
)
def test_helpers_that_fail_are_named(
    tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str | None, cause: str
) -> None:
    monkeypatch.setattr("lamina.registry.credential_helper._SECONDS", 0.3 if name == "slow" else 20.0)
    if script:
        helper(programs, name, script)
    with pytest.raises(BuildFailure) as caught:
        written(tmp_path, {"credsStore": name}).lookup("r.example")
    said = caught.value.diagnostic
    assert (said.reference, said.cause) == ("registry-credential-helper", cause)
    assert f"docker-credential-{name}" in said.message
    assert "s3cr3t" not in repr(said)
