"""Proving who asks: bearer tokens (distribution's token authentication, OAuth2 for identity tokens) and basic auth.

A registry answers 401 with a challenge; a bearer challenge names a token server. Tokens are kept in memory alone, one
per registry and set of scopes, until shortly before they expire.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterable
from typing import Protocol
from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import Struct

from lamina.registry.challenge import Challenge, parse_challenges
from lamina.registry.credentials import Credentials
from lamina.registry.failures import TransportError, malformed, redacted, refused, unanswered, unauthorized
from lamina.registry.settings import Endpoint
from lamina.registry.transport import Answer, Transport

_MAX_TOKEN_BYTES = 1 << 20
#: Distribution's token specification: a token that does not say when it expires lives for a minute.
_DEFAULT_LIFE = 60.0


class CredentialSource(Protocol):
    """Where credentials come from, such as `DockerCredentials`."""

    def lookup(self, registry: str) -> Credentials | None: ...


class _TokenAnswer(Struct, frozen=True):
    token: str | None = None
    access_token: str | None = None
    expires_in: float | None = None


class _Pass(Struct, frozen=True):
    """An `Authorization` header's value and the monotonic second at which it goes stale."""

    header: str
    until: float


class Authenticator:
    """Answers challenges and remembers the answers. Safe to use from several threads."""

    def __init__(self, transport: Transport, credentials: CredentialSource) -> None:
        self._transport = transport
        self._credentials = credentials
        self._passes: dict[tuple[str, tuple[str, ...]], _Pass] = {}
        self._challenges: dict[str, Challenge] = {}
        self._lock = threading.Lock()

    def known(self, endpoint: Endpoint, scopes: tuple[str, ...], what: str) -> str | None:
        """The header to send at once: a token in hand, or a new one where the registry has challenged before."""
        with self._lock:
            found = self._passes.get((endpoint.base, scopes))
            if found is not None and found.until > time.monotonic():
                return found.header
            challenge = self._challenges.get(endpoint.base)
            return None if challenge is None else self._obtain(endpoint, challenge, scopes, what)

    def answer(self, endpoint: Endpoint, header: str, scopes: tuple[str, ...], what: str, tried: str | None) -> str:
        """The header that answers a challenge. `tried` is what was refused; another thread may have a newer one.

        Raises BuildFailure `registry-unauthorized` if nothing is left to try.
        """
        challenges = {challenge.scheme: challenge for challenge in reversed(parse_challenges(header))}
        with self._lock:
            found = self._passes.get((endpoint.base, scopes))
            if found is not None and found.header != tried and found.until > time.monotonic():
                return found.header
            challenge = challenges.get("bearer") or challenges.get("basic")
            if challenge is None:
                offered = ", ".join(challenges) or "nothing"
                raise unauthorized(
                    endpoint.host, what, f"lamina speaks Bearer and Basic, the registry offers {offered}"
                )
            return self._obtain(endpoint, challenge, scopes, what)

    def _obtain(self, endpoint: Endpoint, challenge: Challenge, scopes: tuple[str, ...], what: str) -> str:
        credentials = self._credentials.lookup(endpoint.host if endpoint.mirror else endpoint.registry)
        if challenge.scheme == "basic":
            if credentials is None or not credentials.username:
                raise unauthorized(endpoint.host, what, "no credentials for this registry")
            made = _Pass(_basic(credentials), float("inf"))
        elif credentials is not None and credentials.registry_token:
            made = _Pass(f"Bearer {credentials.registry_token}", float("inf"))
        else:
            made = self._fetch_token(endpoint, challenge, scopes, credentials, what)
        self._passes[endpoint.base, scopes] = made
        # The scope belongs to the request that was challenged; the next request brings its own.
        kept = {key: value for key, value in challenge.parameters.items() if key in ("realm", "service")}
        self._challenges[endpoint.base] = Challenge(challenge.scheme, kept)
        return made.header

    def _fetch_token(
        self,
        endpoint: Endpoint,
        challenge: Challenge,
        scopes: tuple[str, ...],
        credentials: Credentials | None,
        what: str,
    ) -> _Pass:
        realm = challenge.parameters.get("realm", "")
        if not _acceptable(realm, endpoint):
            raise malformed(endpoint.host, what, f"its token server {redacted(realm)!r} is not reached by https")
        asked = merged_scopes((*scopes, *challenge.parameters.get("scope", "").split()))
        service = challenge.parameters.get("service")
        started = time.monotonic()
        try:
            answer = self._ask(realm, service, asked, credentials)
            body = answer.body(_MAX_TOKEN_BYTES)
        except TransportError as error:
            raise unanswered(urlsplit(realm).netloc, f"a token for {what}", error) from error
        if answer.status in (400, 401, 403):
            cause = "the token server refused the credentials" if credentials else "the token server wants credentials"
            raise unauthorized(endpoint.host, what, cause)
        if answer.status != 200:
            raise refused(urlsplit(realm).netloc, f"a token for {what}", answer.status, body)
        return _read_token(body, started, endpoint, what)

    def _ask(self, realm: str, service: str | None, scopes: list[str], credentials: Credentials | None) -> Answer:
        fields = [("service", service)] if service else []
        if credentials is not None and credentials.identity_token:
            form = [
                ("grant_type", "refresh_token"),
                *fields,
                ("client_id", "lamina"),
                ("scope", " ".join(scopes)),
                ("refresh_token", credentials.identity_token),
            ]
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            return self._transport.send("POST", realm, headers, urlencode(form).encode())
        headers = {} if credentials is None else {"Authorization": _basic(credentials)}
        if credentials is not None:
            fields.append(("account", credentials.username))
        query = urlencode(fields + [("scope", scope) for scope in scopes])
        return self._transport.send("GET", realm + ("&" if "?" in realm else "?") + query, headers)


def merged_scopes(scopes: Iterable[str]) -> list[str]:
    """Scopes with the actions of each resource joined and sorted: registries name them in any order."""
    actions: dict[str, set[str]] = {}
    for scope in scopes:
        resource, _, verbs = scope.rpartition(":")
        actions.setdefault(resource, set()).update(verbs.split(","))
    return [f"{resource}:{','.join(sorted(verbs))}" for resource, verbs in sorted(actions.items())]


def _acceptable(realm: str, endpoint: Endpoint) -> bool:
    """Credentials go over TLS, except to the token server of a registry that is itself spoken to in plain HTTP."""
    try:
        parts = urlsplit(realm)
        plain = parts.scheme == "http" and endpoint.base.startswith("http://")
        return bool(parts.hostname) and (parts.scheme == "https" or plain)
    except ValueError:
        return False


#: Made on import, which is one thread's: msgspec (0.22) crashes when two look at a type for the first time at once.
_TOKEN = msgspec.json.Decoder(_TokenAnswer, strict=False)


def _read_token(body: bytes, started: float, endpoint: Endpoint, what: str) -> _Pass:
    try:
        answer = _TOKEN.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise malformed(endpoint.host, what, "its token server did not answer with a token") from None
    token = answer.token or answer.access_token
    if not token or not token.isascii() or not token.isprintable():
        raise malformed(endpoint.host, what, "its token server did not answer with a token")
    # A token that goes stale on the way costs a round trip, so it is given up a little early.
    return _Pass(f"Bearer {token}", started + 0.9 * max(answer.expires_in or _DEFAULT_LIFE, 0.0))


def _basic(credentials: Credentials) -> str:
    return "Basic " + base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()
