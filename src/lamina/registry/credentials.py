"""Credentials where others keep them: Docker's `config.json`, the helper programs that it names, and the `auth.json` of
Podman and Skopeo, which has the same form.

Rules: Docker's `config.json` reference (`auths`, `credHelpers`, `credsStore`), containers-auth.json(5).
"""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from lamina.diagnostics import BuildFailure
from lamina.registry import credential_helper

_HUB = "https://index.docker.io/v1/"


class Credentials(Struct, frozen=True):
    """A user's name and password, or an identity token (OAuth2's refresh token), or a ready bearer token.

    The `repr` hides all of it, so that no log or traceback can show a secret.
    """

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    def __repr__(self) -> str:
        return "Credentials(…)"


class _Auth(Struct, frozen=True):
    """An entry of `auths`; `auth` is base64 of `username:password`."""

    auth: str = ""
    username: str = ""
    password: str = ""
    identitytoken: str = ""
    registrytoken: str = ""


class DockerConfig(Struct, frozen=True, rename="camel"):
    """What lamina reads of `config.json`; the rest is Docker's own business."""

    auths: dict[str, _Auth] = field(default_factory=dict)
    cred_helpers: dict[str, str] = field(default_factory=dict)
    creds_store: str = ""


class DockerCredentials:
    """Looks credentials up in a `config.json`, then in the files `others`. Each registry is looked up once. Safe to use
    from several threads."""

    def __init__(self, config_file: Path | None, others: Sequence[Path] = ()) -> None:
        self._files = (config_file, *others)
        self._found: dict[str, Credentials | None] = {}
        self._lock = threading.Lock()

    def lookup(self, registry: str) -> Credentials | None:
        """The credentials for `host[:port]`, None for anonymous access.

        Raises BuildFailure `registry-bad-config` (unreadable file) or `registry-credential-helper`.
        """
        with self._lock:
            if registry not in self._found:
                found = (_find(file, registry) for file in self._files)
                self._found[registry] = next((one for one in found if one is not None), None)
            return self._found[registry]


class FixedCredentials:
    """The same credentials for every registry: to try them before they are kept."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def lookup(self, registry: str) -> Credentials | None:
        return self._credentials


def _find(file: Path | None, registry: str) -> Credentials | None:
    config = read_config(file)
    names = server_names(registry)
    helper = helper_for(config, registry)
    if helper:
        found = _ask_helper(helper, names[0], file)
        if found is not None:
            return found
    by_name = {_host(key): entry for key, entry in reversed(config.auths.items())}
    entry = next((config.auths[name] for name in names if name in config.auths), None)
    return _decoded(entry or by_name.get(_host(names[0])), registry, file)


def helper_for(config: DockerConfig, registry: str) -> str:
    """The name of the helper that keeps a registry's credentials; "" if the file itself does."""
    names = server_names(registry)
    return next((config.cred_helpers[name] for name in names if name in config.cred_helpers), config.creds_store)


def server_names(registry: str) -> tuple[str, ...]:
    """The keys under which a registry's credentials may stand, the usual one first."""
    if registry in ("docker.io", "index.docker.io", "registry-1.docker.io"):
        return (_HUB, "index.docker.io", "docker.io", "registry-1.docker.io")
    return (registry, f"https://{registry}", f"http://{registry}")


def read_config(file: Path | None) -> DockerConfig:
    """A `config.json`; empty if there is none. Raises BuildFailure `registry-bad-config`."""
    if file is None:
        return DockerConfig()
    try:
        raw = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return DockerConfig()
    except OSError as error:
        raise _bad_config(file, error.strerror or "unreadable") from error
    return parse_config(raw, file)[0]


def parse_config(raw: bytes, file: Path) -> tuple[DockerConfig, dict[str, Any]]:
    """A `config.json`: what lamina reads of it, and all of it. Raises BuildFailure `registry-bad-config`."""
    try:
        whole: Any = msgspec.json.decode(raw) if raw.strip() else {}
        known = {key: value for key, value in whole.items() if value is not None}
        return msgspec.convert(known, DockerConfig), whole
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, AttributeError):
        # The decoder's words could quote the file, which holds secrets.
        raise _bad_config(file, "it is not JSON of the expected shape") from None


def _decoded(entry: _Auth | None, registry: str, file: Path | None) -> Credentials | None:
    if entry is None:
        return None
    username, password = entry.username, entry.password
    if entry.auth:
        try:
            plain = base64.b64decode(entry.auth, validate=True).decode()
            username, colon, password = plain.partition(":")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            colon = ""
        if not colon:
            raise _bad_config(file, f"`auth` of {registry} is not base64 of name:password") from None
        password = password.rstrip("\0")
    if entry.identitytoken or entry.registrytoken or username:
        return Credentials(username, password, entry.identitytoken, entry.registrytoken)
    return None


def _ask_helper(name: str, server: str, file: Path | None) -> Credentials | None:
    found = credential_helper.get(name, server, file)
    if found is None or found == ("", ""):
        return None
    username, secret = found
    return Credentials(identity_token=secret) if username == "<token>" else Credentials(username, secret)


def _host(key: str) -> str:
    """`host[:port]` of a key of `auths`, which may be a URL."""
    return key.partition("://")[2].partition("/")[0] if "://" in key else key.partition("/")[0]


def _bad_config(file: Path | None, cause: str) -> BuildFailure:
    hint = "mend the file, or remove it and run `lamina login` again"
    return BuildFailure("registry-bad-config", f"cannot read credentials from {file}", cause=cause, hint=hint)
