"""Programs that keep credentials (docker-credential-helpers' protocol): `docker-credential-NAME get|store|erase`, what
is asked on standard input, JSON or an error text on standard output. No secret is ever an argument.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import msgspec

from lamina.diagnostics import BuildFailure

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_SECONDS = 30.0
#: What a helper says where there is nothing (docker-credential-helpers, credentials/error.go).
_NOT_FOUND = b"credentials not found"


def get(name: str, server: str, file: Path | None) -> tuple[str, str] | None:
    """The user's name and secret for a server, None if the helper has none. `file` is where the helper is named.

    Raises BuildFailure `registry-credential-helper`, as the others here do.
    """
    output = _run(name, "get", server.encode(), file)
    if output is None:
        return None
    try:
        answer = msgspec.json.decode(output, type=dict[str, str])
        return answer["Username"], answer["Secret"]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError):
        raise _failure(name, "it did not answer with Username and Secret", file) from None


def store(name: str, server: str, username: str, secret: str, file: Path | None) -> None:
    """Have the helper keep credentials."""
    data = {"ServerURL": server, "Username": username, "Secret": secret}
    if _run(name, "store", msgspec.json.encode(data), file) is None:
        raise _failure(name, "it does not store", file)


def erase(name: str, server: str, file: Path | None) -> bool:
    """Have the helper forget a server's credentials; whether there were any."""
    return _run(name, "erase", server.encode(), file) is not None


def _run(name: str, verb: Literal["get", "store", "erase"], data: bytes, file: Path | None) -> bytes | None:
    """What the helper answers; None if it says that there are no such credentials."""
    import shutil
    import subprocess

    path = shutil.which(f"docker-credential-{name}") if _NAME.match(name) else None
    if path is None:
        raise _failure(name, "it is not installed", file)
    try:
        run = subprocess.run([path, verb], input=data, capture_output=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise _failure(name, f"no answer within {_SECONDS:.0f} seconds", file) from None
    except OSError as error:
        raise _failure(name, error.strerror or "it cannot be started", file) from error
    if run.returncode == 0:
        return run.stdout
    if _NOT_FOUND in run.stdout + run.stderr:
        return None
    # Its words stay out: a helper that fails may repeat what it was given.
    raise _failure(name, f"exit status {run.returncode}", file)


def _failure(name: str, cause: str, file: Path | None) -> BuildFailure:
    program = f"docker-credential-{name}"
    hint = f"mend or install {program}, or take it out of credHelpers and credsStore in {file}"
    return BuildFailure("registry-credential-helper", f"{program} does not work", cause=cause, hint=hint)
