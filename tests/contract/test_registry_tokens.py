"""The bearer token flow against a real registry and a token server: how often, with what, and when it is asked."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.registry_server import RegistryServer, running_registry
from tests.support.token_server import TokenServer, running_token_server

from lamina.diagnostics import BuildFailure
from lamina.digest import digest_of
from lamina.oci.descriptor import Descriptor
from lamina.oci.reference import Reference, parse_reference
from lamina.registry.client import RegistryClient
from lamina.registry.credentials import DockerCredentials
from lamina.registry.push import RegistryPusher
from lamina.registry.session import Session
from lamina.registry.settings import RegistrySettings

DATA = b"a layer"
BLOB = Descriptor("application/octet-stream", digest_of(DATA), len(DATA))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RegistryServer, TokenServer]]:
    folder = tmp_path_factory.mktemp("tokens")
    with (
        running_token_server(folder / "tokens", {"ann": "pw"}, {"refresh-me": "ann"}) as tokens,
        running_registry(folder / "server", token_realm=tokens.realm) as server,
    ):
        yield server, tokens


@pytest.fixture
def tokens(both: tuple[RegistryServer, TokenServer]) -> TokenServer:
    both[1].seen.clear()
    both[1].expires_in = 300
    return both[1]


def session(server: RegistryServer, folder: Path, entry: dict[str, str] | None) -> Session:
    file = folder / "config.json"
    file.write_text(json.dumps({"auths": {server.host: entry} if entry else {}}))
    return Session(RegistrySettings(backoff_seconds=0.01), DockerCredentials(file))


def push(server: RegistryServer, made: Session, name: str) -> Reference:
    reference = parse_reference(f"{server.host}/{name}")
    RegistryPusher(made).push_blob(reference, BLOB, lambda: io.BytesIO(DATA))
    return reference


def pull(made: Session, reference: Reference) -> bytes:
    with RegistryClient(made).blob(reference, BLOB) as chunks:
        return b"".join(chunks)


def test_one_token_serves_a_scope(
    both: tuple[RegistryServer, TokenServer], tokens: TokenServer, tmp_path: Path
) -> None:
    made = session(both[0], tmp_path, {"username": "ann", "password": "pw"})
    reference = push(both[0], made, "private/a:1")
    for _ in range(3):
        assert pull(made, reference) == DATA
    asked = [fields["scope"] for _, fields, _ in tokens.seen]
    assert asked == [["repository:private/a:pull,push"], ["repository:private/a:pull"]]
    assert all(fields["service"] == ["registry.test"] for _, fields, _ in tokens.seen)


def test_anonymous_pull_of_what_is_public(
    both: tuple[RegistryServer, TokenServer], tokens: TokenServer, tmp_path: Path
) -> None:
    owner = session(both[0], tmp_path, {"username": "ann", "password": "pw"})
    public, private = push(both[0], owner, "public/a:1"), push(both[0], owner, "private/b:1")
    nobody = session(both[0], tmp_path, None)
    assert pull(nobody, public) == DATA
    assert tokens.seen[-1][2] == ""
    with pytest.raises(BuildFailure) as caught:
        pull(nobody, private)
    assert caught.value.diagnostic.reference == "registry-unauthorized"
    assert "private/b" in caught.value.diagnostic.message


def test_identity_tokens_go_by_post(
    both: tuple[RegistryServer, TokenServer], tokens: TokenServer, tmp_path: Path
) -> None:
    made = session(both[0], tmp_path, {"identitytoken": "refresh-me"})
    push(both[0], made, "private/c:1")
    method, form, authorization = tokens.seen[0]
    assert (method, authorization) == ("POST", "")
    assert form["grant_type"] == ["refresh_token"]
    assert form["client_id"] == ["lamina"]
    stale = session(both[0], tmp_path, {"identitytoken": "revoked-secret"})
    with pytest.raises(BuildFailure) as caught:
        push(both[0], stale, "private/c:1")
    assert caught.value.diagnostic.reference == "registry-unauthorized"
    assert "revoked-secret" not in str(caught.value.diagnostic)


def test_an_expired_token_is_renewed_before_it_is_refused(
    both: tuple[RegistryServer, TokenServer], tokens: TokenServer, tmp_path: Path
) -> None:
    tokens.expires_in = -1
    made = session(both[0], tmp_path, {"username": "ann", "password": "pw"})
    reference = push(both[0], made, "private/d:1")
    before = len(tokens.seen)
    assert pull(made, reference) == DATA
    assert len(tokens.seen) == before + 1


def test_mounting_asks_for_both_repositories(
    both: tuple[RegistryServer, TokenServer], tokens: TokenServer, tmp_path: Path
) -> None:
    made = session(both[0], tmp_path, {"username": "ann", "password": "pw"})
    push(both[0], made, "private/from:1")
    target = parse_reference(f"{both[0].host}/private/to:1")
    assert not RegistryPusher(made).push_blob(target, BLOB, lambda: io.BytesIO(DATA), mount_from="private/from")
    assert tokens.seen[-1][1]["scope"] == ["repository:private/from:pull", "repository:private/to:pull,push"]
