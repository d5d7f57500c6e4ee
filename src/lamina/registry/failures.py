"""Every failure of this room in words: who was asked for what, what went wrong, what to do. No URL with a query, no
secret ever enters a message.
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

import msgspec

from lamina.diagnostics import BuildFailure

Kind = Literal["unreachable", "timeout", "cut", "certificate", "address"]


class TransportError(Exception):
    """A request that brought no answer, or none but that it should be made again: then `retry_after` is in
    how many seconds, if the registry says it. Internal to the room: `unanswered` makes it a BuildFailure."""

    def __init__(self, kind: Kind, cause: str, retry_after: float | None = None) -> None:
        super().__init__(cause)
        self.kind: Kind = kind
        self.cause = cause
        self.retry_after = retry_after


def redacted(url: str) -> str:
    """A URL that may be shown: no user info, no query, no fragment (signed URLs carry secrets there)."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(unreadable address)"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def unanswered(host: str, what: str, error: TransportError) -> BuildFailure:
    """The registry did not answer, or stopped in the middle."""
    match error.kind:
        case "timeout":
            reference, message = "registry-timeout", f"{host} did not answer in time for {what}"
            hint = "check the network and try again"
        case "certificate":
            reference, message = "registry-unreachable", f"no trusted connection to {host} for {what}"
            hint = (
                f"name the authority that signed its certificate, or say that it speaks plain HTTP: `ca = PATH` or"
                f' `insecure = true` below [registry."{host}"] in ~/.config/lamina/config.toml'
            )
        case "address":
            reference, message = "registry-bad-response", f"{host} answers for {what} with an address that is refused"
            hint = "the registry, or a proxy before it, is set up wrongly"
        case "cut":
            reference, message = "registry-unreachable", f"the connection to {host} was cut while asking for {what}"
            hint = "check the network and try again"
        case "unreachable":
            reference, message = "registry-unreachable", f"cannot reach {host} for {what}"
            hint = f"check the name {host} and the network"
    return BuildFailure(reference, message, cause=error.cause, hint=hint)


def refused(host: str, what: str, status: int, body: bytes, retry_after: float | None = None) -> BuildFailure:
    """The registry answered with an HTTP status that is no success."""
    cause = words(status, body)
    match status:
        case 401:
            return unauthorized(host, what, cause)
        case 403:
            message, hint = (
                f"{host} denies access to {what}",
                f"ask for access, or `lamina login {host}` as another user",
            )
            return BuildFailure("registry-denied", message, cause=cause, hint=hint)
        case 404:
            hint = f"check the spelling; if it is private, `lamina login {host}`"
            return BuildFailure("registry-not-found", f"{host} does not have {what}", cause=cause, hint=hint)
        case 429:
            wait = f"wait {retry_after:.0f} seconds" if retry_after else "wait"
            hint = f"{wait} and try again; `lamina login {host}` often raises the limit"
            message = f"{host} allows no more requests for now (asked for {what})"
            return BuildFailure("registry-too-many-requests", message, cause=cause, hint=hint)
    trouble = "the registry is in trouble: try again later" if status >= 500 else f"is {host} a registry?"
    return BuildFailure(
        "registry-bad-response", f"{host} answers {status} when asked for {what}", cause=cause, hint=trouble
    )


def unauthorized(host: str, what: str, cause: str | None) -> BuildFailure:
    """Credentials are missing or wrong. Docker Hub answers so for repositories that do not exist, too."""
    hint = f"`lamina login {host}`, and check the spelling: some registries answer so for what does not exist"
    return BuildFailure("registry-unauthorized", f"{host} wants a login for {what}", cause=cause, hint=hint)


def malformed(host: str, what: str, cause: str) -> BuildFailure:
    """An answer that breaks the protocol."""
    hint = f"is {host} a registry? A proxy or a login page between may answer in its place"
    return BuildFailure(
        "registry-bad-response", f"{host} answers in a way that lamina cannot use for {what}", cause=cause, hint=hint
    )


def words(status: int, body: bytes) -> str:
    """What the registry says about an error (distribution-spec, "Error Codes") after the status; one short line."""
    try:
        errors = msgspec.json.decode(body)["errors"]
        text = "; ".join(f"{item.get('code', '')}: {item.get('message', '')}".strip(": ") for item in errors)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, TypeError, AttributeError):
        text = ""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return f"HTTP {status} {printable[:300]}".rstrip()
