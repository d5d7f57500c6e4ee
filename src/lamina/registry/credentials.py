"""Credentials where Docker keeps them: `config.json`, and the helper programs that it names.

Rules: Docker's `config.json` reference (`auths`, `credHelpers`, `credsStore`) and docker-credential-helpers' protocol
(`docker-credential-NAME get`, the server's name on standard input, JSON or an error text on standard output).
"""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from lamina.diagnostics import BuildFailure

_HUB = "https://index.docker.io/v1/"
_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_HELPER_SECONDS = 30.0


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
    """Looks credentials up in a `config.json`, which is read once, at the first question."""

    def __init__(self, config_file: Path | None) -> None:
        self._file = config_file
        self._config: DockerConfig | None = None

    def lookup(self, registry: str) -> Credentials | None:
        """The credentials for `host[:port]`, None for anonymous access.

        Raises BuildFailure `registry-bad-config` (unreadable file) or `registry-credential-helper`.
        """
        if self._config is None:
            self._config = read_config(self._file)
        config = self._config
        names = server_names(registry)
        helper = next((config.cred_helpers[name] for name in names if name in config.cred_helpers), config.creds_store)
        if helper:
            found = _ask_helper(helper, names[0], self._file)
            if found is not None:
                return found
        by_name = {_host(key): entry for key, entry in reversed(config.auths.items())}
        entry = next((config.auths[name] for name in names if name in config.auths), None)
        return _decoded(entry or by_name.get(_host(names[0])), registry, self._file)


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
    try:
        loose: Any = msgspec.json.decode(raw) if raw.strip() else {}
        known = {key: value for key, value in loose.items() if value is not None}
        return msgspec.convert(known, DockerConfig)
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
    import shutil
    import subprocess

    program = f"docker-credential-{name}"
    path = shutil.which(program) if _HELPER_NAME.match(name) else None
    if path is None:
        raise _helper_failure(program, "it is not installed", file)
    try:
        run = subprocess.run([path, "get"], input=server.encode(), capture_output=True, timeout=_HELPER_SECONDS)
    except subprocess.TimeoutExpired:
        raise _helper_failure(program, f"no answer within {_HELPER_SECONDS:.0f} seconds", file) from None
    except OSError as error:
        raise _helper_failure(program, error.strerror or "it cannot be started", file) from error
    if run.returncode != 0:
        if b"credentials not found" in run.stdout + run.stderr:
            return None
        raise _helper_failure(program, f"exit status {run.returncode}", file)
    try:
        answer = msgspec.json.decode(run.stdout, type=dict[str, str])
        username, secret = answer["Username"], answer["Secret"]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError):
        raise _helper_failure(program, "it did not answer with Username and Secret", file) from None
    if username == "<token>":
        return Credentials(identity_token=secret)
    return Credentials(username, secret) if username or secret else None


def _host(key: str) -> str:
    """`host[:port]` of a key of `auths`, which may be a URL."""
    return key.partition("://")[2].partition("/")[0] if "://" in key else key.partition("/")[0]


def _bad_config(file: Path | None, cause: str) -> BuildFailure:
    hint = "mend the file, or remove it and run `lamina login` again"
    return BuildFailure("registry-bad-config", f"cannot read credentials from {file}", cause=cause, hint=hint)


def _helper_failure(program: str, cause: str, file: Path | None) -> BuildFailure:
    hint = f"mend or install {program}, or take it out of credHelpers and credsStore in {file}"
    return BuildFailure("registry-credential-helper", f"{program} gives no credentials", cause=cause, hint=hint)
