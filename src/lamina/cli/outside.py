"""What a build is given from outside by flags: secrets, agents, hosts, limits (reference of `docker buildx build`)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from lamina.diagnostics import BuildFailure
from lamina.ports.running import Limit

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_HOST = re.compile(r"[A-Za-z0-9._-]+")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b)?\Z", re.IGNORECASE)


def secrets(values: Sequence[str], environment: Mapping[str, str]) -> dict[str, Callable[[], bytes]]:
    """`id=ID[,src=FILE|,env=VARIABLE]` → how to read each. With the id alone, the variable of that name or else the
    file. Raises BuildFailure `usage-secret`: for what cannot be read at once, so that no step runs in vain."""
    return dict(_secret(value, environment) for value in values)


def _secret(text: str, environment: Mapping[str, str]) -> tuple[str, Callable[[], bytes]]:
    fields = _fields(text, "--secret", {"id", "src", "source", "env", "type"})
    name = fields.get("id", "")
    if not name:
        raise _bad("--secret needs an id", "write --secret id=NAME,src=FILE or --secret id=NAME,env=VARIABLE")
    path, variable = fields.get("src", fields.get("source", "")), fields.get("env", "")
    if fields.get("type", "file") not in ("file", "env"):
        raise _bad(f"--secret id={name}: there is no type {fields['type']!r}", "it is file or env")
    if fields.get("type") == "env" and not variable:
        path, variable = "", path or name
    if not path and not variable:
        path, variable = ("", name) if name in environment else (name, "")
    if variable:
        if variable not in environment:
            raise _bad(f"--secret id={name}: the variable {variable} is not set", None)
        value = environment[variable].encode("utf-8", "surrogateescape")
        return name, lambda: value
    file = Path(path)
    if not file.exists() or file.is_dir():
        raise _bad(f"--secret id={name}: there is no file {path!r}", "pass src=FILE or env=VARIABLE")
    # Read once: it may be a pipe, as in `src=<(command)`.
    return name, cache(lambda: _read(name, file))


def _read(name: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BuildFailure("usage-secret", f"the secret {name} cannot be read", cause=error.strerror) from None


@contextmanager
def agents(values: Sequence[str], environment: Mapping[str, str]) -> Iterator[dict[str, Path]]:
    """`default`, `ID`, `ID=SOCKET` or `ID=KEY[,KEY…]` → the socket of an agent each; for keys an agent of our own
    runs while the block does. Raises BuildFailure `usage-ssh`."""
    from contextlib import ExitStack

    found: dict[str, Path] = {}
    with ExitStack() as held:
        for value in values:
            name, _, where = value.partition("=")
            paths = [Path(path) for path in where.split(",") if path]
            if not paths:
                if not environment.get("SSH_AUTH_SOCK"):
                    raise BuildFailure(
                        "usage-ssh",
                        f"--ssh {name}: SSH_AUTH_SOCK names no agent",
                        hint="start one: eval $(ssh-agent) && ssh-add, or pass a key: --ssh default=~/.ssh/id_ed25519",
                    )
                paths = [Path(environment["SSH_AUTH_SOCK"])]
            missing = [path for path in paths if not path.exists()]
            if missing:
                raise BuildFailure("usage-ssh", f"--ssh {name}: there is no {str(missing[0])!r}")
            found[name] = paths[0] if paths[0].is_socket() else held.enter_context(_own_agent(paths))
        yield found


@contextmanager
def _own_agent(keys: Sequence[Path]) -> Iterator[Path]:
    import subprocess
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="lamina-agent-") as folder:
        socket = Path(folder) / "agent"
        try:
            agent = subprocess.Popen(
                ["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        except FileNotFoundError:
            raise BuildFailure(
                "usage-ssh", "--ssh with a key needs ssh-agent", hint="install openssh-client, or pass a socket"
            ) from None
        try:
            _add_keys(agent, socket, keys)
            yield socket
        finally:
            agent.terminate()
            agent.wait()


def _add_keys(agent: object, socket: Path, keys: Sequence[Path]) -> None:
    import subprocess
    import time

    for _ in range(200):
        if socket.exists():
            break
        time.sleep(0.01)
    environment = {**os.environ, "SSH_AUTH_SOCK": str(socket), "SSH_ASKPASS_REQUIRE": "never"}
    done = subprocess.run(
        ["ssh-add", "-q", *map(str, keys)], env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode:
        raise BuildFailure(
            "usage-ssh",
            "the key cannot be given to an agent",
            cause=done.stderr.decode(errors="replace").strip(),
            hint="a key with a passphrase must be in an agent of yours: ssh-add, then --ssh default",
        )


def hosts(values: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """`NAME:ADDRESS` or `NAME=ADDRESS`; `host-gateway` is this machine, whose network steps share.

    Raises BuildFailure `usage-bad-arguments`.
    """
    return tuple(_host(value) for value in values)


def _host(text: str) -> tuple[str, str]:
    import ipaddress

    name, _, address = text.partition("=") if "=" in text else text.partition(":")
    address = "127.0.0.1" if address == "host-gateway" else address.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(address)
        # It becomes a line of /etc/hosts.
        if not _HOST.fullmatch(name):
            raise ValueError
    except ValueError:
        raise BuildFailure(
            "usage-bad-arguments", f"--add-host {text!r}: write NAME:ADDRESS, such as db:10.0.0.7"
        ) from None
    return name, address


def limits(values: Sequence[str]) -> tuple[Limit, ...]:
    """`NAME=SOFT[:HARD]`. Raises BuildFailure `usage-bad-arguments`."""
    if not values:
        return ()
    from lamina.runtime.limits import NAMES

    found = []
    for value in values:
        match = re.fullmatch(r"([a-z]+)=(-1|\d+)(?::(-1|\d+))?", value)
        if match is None:
            raise BuildFailure("usage-bad-arguments", f"--ulimit {value!r}: write NAME=SOFT:HARD, such as nofile=1024")
        limit = Limit(match[1], int(match[2]), int(match[3] or match[2]))
        if limit.name not in NAMES:
            hint = f"there are {', '.join(NAMES)}"
            raise BuildFailure("usage-bad-arguments", f"--ulimit {value!r}: there is no such limit", hint=hint)
        if limit.hard >= 0 and not 0 <= limit.soft <= limit.hard:
            raise BuildFailure("usage-bad-arguments", f"--ulimit {value!r}: the soft limit is above the hard one")
        found.append(limit)
    return tuple(found)


def size(text: str | None, option: str) -> int | None:
    """Bytes, or a number with a unit (`64m`). Raises BuildFailure `usage-bad-arguments`."""
    if text is None:
        return None
    match = _SIZE.match(text)
    if match is None:
        raise BuildFailure("usage-bad-arguments", f"{option} {text!r}: write bytes, or a unit such as 64m")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def _fields(text: str, option: str, known: set[str]) -> dict[str, str]:
    import csv

    try:
        words = [word for row in csv.reader([text], strict=True) for word in row]
    except csv.Error:
        raise _bad(f"{option}: its quotes do not close", None) from None
    fields = {name.strip().lower(): value for name, _, value in (word.partition("=") for word in words)}
    unknown = sorted(set(fields) - known)
    if unknown:
        raise _bad(f"{option} has no {unknown[0]!r}", f"it takes {', '.join(sorted(known))}")
    return fields


def _bad(message: str, hint: str | None) -> BuildFailure:
    return BuildFailure("usage-secret", message, hint=hint)
