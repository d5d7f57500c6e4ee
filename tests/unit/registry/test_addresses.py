"""Where requests go: schemes, mirrors, redirect targets, token servers, and what of an address may be shown."""

from __future__ import annotations

import sys
import time
from email.utils import formatdate
from pathlib import Path
from subprocess import run

import pytest

from lamina.diagnostics import BuildFailure
from lamina.registry.auth import Authenticator, merged_scopes
from lamina.registry.credentials import DockerCredentials
from lamina.registry.failures import TransportError, redacted, refused, words
from lamina.registry.settings import Endpoint, RegistrySettings, endpoints, is_loopback
from lamina.registry.transport import Transport, origin, resolve_location, seconds_until


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1", True),
        ("127.8.9.10:5000", True),
        ("[::1]:5000", True),
        ("[::1]", True),
        ("[::2]:5000", False),
        ("128.0.0.1", False),
        ("localhost.example", False),
        ("127.0.0.1.example:5000", False),
        ("r.example", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("registry", "bases"),
    [
        ("docker.io", ("https://mirror.example/v2", "http://localhost:5000/v2/hub", "https://registry-1.docker.io/v2")),
        ("plain.example:80", ("http://plain.example:80/v2",)),
        ("r.example", ("http://m.example/v2", "https://r.example/v2")),
        ("localhost:6000", ("https://localhost:6000/v2",)),
        ("[::1]:6000", ("http://[::1]:6000/v2",)),
    ],
)
def test_endpoints(registry: str, bases: tuple[str, ...]) -> None:
    settings = RegistrySettings(
        mirrors={"docker.io": ("mirror.example", "localhost:5000/hub/"), "r.example": ("http://m.example",)},
        insecure=("plain.example:80",),
        secure=("localhost:6000",),
    )
    found = endpoints(settings, registry)
    assert tuple(place.base for place in found) == bases
    assert [place.mirror for place in found] == [True] * (len(bases) - 1) + [False]


@pytest.mark.parametrize(
    ("url", "location", "expected"),
    [
        ("https://r.example/v2/a/blobs/x", "/v2/b", "https://r.example/v2/b"),
        ("https://r.example/v2/a/blobs/x", "https://cdn.example/y?s=1", "https://cdn.example/y?s=1"),
        ("https://r.example:5443/v2/x", "http://r.example/v2/y?z", "https://r.example:5443/v2/y?z"),
        ("http://localhost:5000/v2/x", "http://other.example/y", "http://other.example/y"),
        ("https://r.example/v2/x", "http://cdn.example/y", None),
        ("https://r.example/v2/x", "file:///etc/passwd", None),
        ("https://r.example/v2/x", "https://user:pw@cdn.example/", None),
        ("https://r.example/v2/x", "https://cdn.example:99999/", None),
        ("https://r.example/v2/x", "https://[broken/", None),
        ("https://r.example/v2/x", "https:///v2/y", "https://r.example/v2/y"),
    ],
)
def test_locations(url: str, location: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(TransportError) as caught:
            resolve_location(url, location)
        assert caught.value.kind == "address"
        assert "pw" not in caught.value.cause
    else:
        assert resolve_location(url, location) == expected


def test_origins_know_default_ports() -> None:
    assert origin("https://R.example/x") == origin("https://r.example:443/y?z")
    assert origin("https://r.example") != origin("http://r.example")
    assert origin("https://r.example") != origin("https://r.example:444")


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, None), ("", None), ("0", 0.0), ("120", 120.0), ("-1", None), ("1.5", None), ("soon", None), ("²", None)],
)
def test_retry_after_seconds(text: str | None, expected: float | None) -> None:
    assert seconds_until(text, None) == expected


def test_retry_after_dates() -> None:
    ahead = seconds_until(formatdate(time.time() + 100, usegmt=True), None)
    assert ahead is not None
    assert 90 < ahead <= 100
    assert seconds_until(formatdate(time.time() - 100, usegmt=True), "no date") == 0.0
    # Where the server tells its time, ours does not count.
    assert seconds_until(formatdate(1_000_000_060, usegmt=True), formatdate(1_000_000_000, usegmt=True)) == 60.0


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://r.example/v2/x?X-Signature=secret#f", "https://r.example/v2/x"),
        ("https://ann:secret@r.example:1/x", "https://r.example:1/x"),
        ("https://[secret", "(unreadable address)"),
    ],
)
def test_redaction(url: str, shown: str) -> None:
    assert redacted(url) == shown


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"errors":[{"code":"DENIED","message":"no"}]}', "HTTP 500 DENIED: no"),
        (b'{"errors":[{"code":"A"},{"message":"b"}]}', "HTTP 500 A; b"),
        (b'{"errors":[{"code":"A\\u001b[31m\\n"}]}', "HTTP 500 A [31m"),
        (b'{"errors":null}', "HTTP 500"),
        (b'{"errors":["x"]}', "HTTP 500"),
        (b"[" * 100_000, "HTTP 500"),
        (b"<html>", "HTTP 500"),
        (b"\xff", "HTTP 500"),
        (b"", "HTTP 500"),
    ],
)
def test_a_registrys_words(body: bytes, said: str) -> None:
    assert words(500, body) == said
    assert len(words(500, b'{"errors":[{"code":"' + b"x" * 5000 + b'"}]}')) < 400


@pytest.mark.parametrize(
    ("status", "reference"),
    [
        (400, "registry-bad-response"),
        (401, "registry-unauthorized"),
        (403, "registry-denied"),
        (404, "registry-not-found"),
        (429, "registry-too-many-requests"),
        (503, "registry-bad-response"),
    ],
)
def test_statuses(status: int, reference: str) -> None:
    said = refused("r.example", "r.example/a:1", status, b"").diagnostic
    assert said.reference == reference
    assert "r.example/a:1" in said.message
    assert said.hint


def test_scopes_are_merged_by_resource() -> None:
    given = ("repository:a/b:push,pull", "repository:a/b:pull", "repository:a:5/c:pull", "registry:catalog:*")
    assert merged_scopes(given) == ["registry:catalog:*", "repository:a/b:pull,push", "repository:a:5/c:pull"]


@pytest.mark.parametrize(
    "realm", ["http://auth.example/token?secret=1", "", "ftp://auth.example", "https://", "https://[x"]
)
def test_credentials_are_not_sent_in_the_clear(realm: str) -> None:
    authenticator = Authenticator(Transport(RegistrySettings()), DockerCredentials(None))
    place = Endpoint("r.example", "r.example", "https://r.example/v2")
    with pytest.raises(BuildFailure) as caught:
        authenticator.answer(place, f'Bearer realm="{realm}"', ("repository:a:pull",), "r.example/a", None)
    assert caught.value.diagnostic.reference == "registry-bad-response"
    assert "secret" not in repr(caught.value.diagnostic)


@pytest.mark.parametrize("header", ["", "Negotiate", 'Basic realm="r"'])
def test_challenges_without_an_answer(header: str) -> None:
    authenticator = Authenticator(Transport(RegistrySettings()), DockerCredentials(None))
    place = Endpoint("r.example", "r.example", "https://r.example/v2")
    with pytest.raises(BuildFailure) as caught:
        authenticator.answer(place, header, (), "r.example/a", None)
    assert caught.value.diagnostic.reference == "registry-unauthorized"


def test_the_http_library_is_imported_late() -> None:
    source = Path(__file__).parents[3] / "src"
    code = "import sys; import lamina.registry.client, lamina.registry.push; print('urllib3' in sys.modules)"
    found = run([sys.executable, "-c", code], env={"PYTHONPATH": str(source)}, capture_output=True, text=True)
    assert found.stdout == "False\n", found.stderr
