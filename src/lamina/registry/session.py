"""One conversation with registries: a request with its authentication, and failures that name what was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from lamina.diagnostics import BuildFailure
from lamina.registry.auth import Authenticator, CredentialSource
from lamina.registry.failures import TransportError, refused, unanswered
from lamina.registry.settings import Endpoint, RegistrySettings
from lamina.registry.sightings import NoSightings, Sightings
from lamina.registry.transport import Answer, Body, Transport, origin

_MAX_ERROR_BYTES = 1 << 16


class Session:
    """What pulling and pushing share: settings, connections, credentials, and what was seen where. Safe to use from
    several threads."""

    def __init__(
        self,
        settings: RegistrySettings,
        credentials: CredentialSource,
        transport: Transport | None = None,
        sightings: Sightings | None = None,
    ) -> None:
        self.settings = settings
        self.credentials = credentials
        self.sightings: Sightings = sightings or NoSightings()
        self._transport = transport or Transport(settings)
        self._authenticator = Authenticator(self._transport, credentials)

    def send(
        self,
        endpoint: Endpoint,
        method: str,
        url: str,
        *,
        what: str,
        scopes: tuple[str, ...],
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        attempts: int | None = None,
    ) -> Answer:
        """One request, authenticated if the registry asks for it. `url` is absolute, or a path below the endpoint.

        The answer may have any status but 401. `what` names the object in messages. Raises BuildFailure, and
        TransportError only where the connection broke, so that the caller can go on elsewhere.
        """
        target = endpoint.base + url if url.startswith("/") else url
        fields = dict(headers or {})
        own = origin(target) == origin(endpoint.base)
        header = self._authenticator.known(endpoint, scopes, what) if own else None
        answer = self._transport.send(method, target, _with(fields, header), body, attempts)
        if answer.status != 401 or origin(answer.url) != origin(endpoint.base):
            # A challenge of another host (a storage server) must not draw out the registry's credentials.
            return answer
        challenge = answer.headers.get("WWW-Authenticate", "")
        error = answer.body(_MAX_ERROR_BYTES) if method != "HEAD" else b""
        header = self._authenticator.answer(endpoint, challenge, scopes, what, header)
        if isinstance(body, Body):
            body.rewind()
        answer = self._transport.send(method, target, _with(fields, header), body, attempts)
        if answer.status == 401:
            answer.close()
            raise refused(endpoint.host, what, 401, error)
        return answer

    def pause(self, attempt: int, retry_after: float | None = None) -> bool:
        """Wait before something is tried once more, as `Transport` does between attempts. False, at once, if the
        registry asks for more patience than there is."""
        return self._transport.pause(attempt, retry_after)


def pull_scope(repository: str) -> str:
    """The scope that reading a repository needs (distribution, "Token Scope Documentation")."""
    return f"repository:{repository}:pull"


def failure(endpoint: Endpoint, what: str, answer: Answer) -> BuildFailure:
    """The failure that an answer without success stands for; closes the answer."""
    try:
        body = answer.body(_MAX_ERROR_BYTES)
    except TransportError:
        body = b""
    answer.discard()
    return refused(endpoint.host, what, answer.status, body, answer.retry_after)


@contextmanager
def answered(endpoint: Endpoint, what: str) -> Iterator[None]:
    """Turns a broken connection inside the block into a BuildFailure."""
    try:
        yield
    except TransportError as error:
        raise unanswered(endpoint.host, what, error) from error


def _with(headers: dict[str, str], authorization: str | None) -> dict[str, str]:
    return headers if authorization is None else {**headers, "Authorization": authorization}
