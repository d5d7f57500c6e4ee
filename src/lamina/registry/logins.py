"""Logging in and out: credentials are tried first, then kept where Docker keeps them, and forgotten there.

`config.json` is replaced as a whole, mode 0600, with everything of it that is not ours as it was; a folder lock keeps
two logins at once from losing one of them.
"""

from __future__ import annotations

import base64
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

import msgspec

from lamina.diagnostics import BuildFailure
from lamina.registry import credential_helper
from lamina.registry.credentials import (
    Credentials,
    DockerConfig,
    FixedCredentials,
    helper_for,
    parse_config,
    server_names,
)
from lamina.registry.session import Session, answered, failure
from lamina.registry.settings import RegistrySettings, endpoint


def check(settings: RegistrySettings, registry: str, credentials: Credentials) -> None:
    """Ask the registry whether it takes these credentials (distribution-spec, "API version check": `GET /v2/`).

    Raises BuildFailure `registry-…`; `registry-unauthorized` if they are wrong.
    """
    place = endpoint(settings, registry)
    session = Session(settings, FixedCredentials(credentials))
    what = "a login"
    with answered(place, what):
        answer = session.send(place, "GET", "/", what=what, scopes=())
        if answer.status != 200:
            raise failure(place, what, answer)
        answer.discard()


def keep(file: Path, registry: str, credentials: Credentials) -> str:
    """Keep a user's name and password for a registry; returns where: the file, or the name of a helper program.

    Raises BuildFailure `registry-bad-config`, `registry-credential-helper`.
    """
    server = server_names(registry)[0]
    with _changing(file) as (config, whole):
        helper = helper_for(config, registry)
        if helper:
            credential_helper.store(helper, server, credentials.username, credentials.password, file)
            entry = {}
        else:
            plain = f"{credentials.username}:{credentials.password}".encode()
            entry = {"auth": base64.b64encode(plain).decode()}
        whole["auths"] = {**(whole.get("auths") or {}), server: entry}
    return f"docker-credential-{helper}" if helper else str(file)


def forget(file: Path, registry: str) -> bool:
    """Forget a registry's credentials; whether there were any. Raises BuildFailure as `keep`."""
    if not file.exists():
        return False
    names = server_names(registry)
    with _changing(file) as (config, whole):
        helper = helper_for(config, registry)
        erased = (
            [credential_helper.erase(helper, name, file) for name in names if name in (names[0], *config.auths)]
            if helper
            else []
        )
        auths = whole.get("auths") or {}
        kept = {key: entry for key, entry in auths.items() if key not in names}
        gone = len(kept) < len(auths)
        if gone:
            whole["auths"] = kept
    return gone or any(erased)


@contextmanager
def _changing(file: Path) -> Iterator[tuple[DockerConfig, dict[str, Any]]]:
    """The file's content for the length of a block; what the block made of its second form is written then."""
    try:
        # Where the file is a link, as dotfile managers make them, what it leads to is replaced.
        real = file.resolve()
        real.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(real.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            raw = real.read_bytes() if real.exists() else b""
            config, whole = parse_config(raw, file)
            before = msgspec.json.encode(whole)
            yield config, whole
            if msgspec.json.encode(whole) != before:
                _replace(real, msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n")
        finally:
            os.close(folder)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        cause = getattr(error, "strerror", None) or "its links go round in circles"
        hint = "credentials are kept in $DOCKER_CONFIG, or else in ~/.docker"
        raise BuildFailure("registry-bad-config", f"cannot change {file}", cause=cause, hint=hint) from None


def _replace(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.{token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            with suppress(OSError):  # of a file that another user owns, as far as that is allowed
                old = path.stat()
                os.fchown(descriptor, old.st_uid, old.st_gid)
            stream.write(data)
            stream.flush()
            os.fsync(descriptor)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
