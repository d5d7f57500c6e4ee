"""The `git` program, set up so that a stranger's repository and the user's habits change nothing of what it does.

Of the user's settings it sees those that open doors (credentials, proxies, certificates, other addresses) and no
others: no filters, hooks, templates, line ends. Passwords of an address reach it by its environment alone, so that no
process list, configuration file or message shows them.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal

from lamina.context.downloading import Bounds, without_user
from lamina.diagnostics import BuildFailure
from lamina.plan.remote import shown

#: Variables of git's that are about reaching a server.
_KEPT = frozenset({"GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH"})
#: And settings, as a regular expression for `git config`.
_DOORS = r"^(credential|http|url)\."
_SETTINGS = (
    ("core.hooksPath", "/dev/null"),
    ("core.logAllRefUpdates", "false"),  # a log names the machine and the user
    ("gc.auto", "0"),
    ("init.defaultBranch", "main"),
    ("safe.directory", "*"),  # it is only ever run in the store
)
_LINES_TOLD = 3
_SCHEMES: dict[str, str] = {"web": "http:https:git:ssh", "disk": "file"}


class Git:
    """The program for one address, run in `root`. `address` is the address without its password."""

    def __init__(self, url: str, root: Path, environ: Mapping[str, str], bounds: Bounds) -> None:
        plain, self._user = without_user(url)
        if plain.startswith("ssh://") and ":" not in self._user:
            plain, self._user = url, ""  # a login's name is part of the address, and no secret
        self.address = plain
        self.shown = shown(plain)
        self._root = root
        self._environ = environ
        self._bounds = bounds

    def run(self, *words: str | Path, reach: Literal["web", "disk"] = "web") -> str:
        """Its output. Raises BuildFailure `fetch-no-git`, or `fetch-failed` with what it says."""
        done = self._call(words, reach)
        if done.returncode:
            raise BuildFailure(
                "fetch-failed",
                f"{self.shown} cannot be fetched",
                cause=self._said(done.stderr),
                hint="check the address and the network; a private one needs an ssh agent or a credential helper",
            )
        return done.stdout.decode("utf-8", "surrogateescape")

    def attempt(self, *words: str | Path, reach: Literal["web", "disk"] = "web") -> str | None:
        """Its output, None if it fails. Raises BuildFailure `fetch-no-git`."""
        done = self._call(words, reach)
        return None if done.returncode else done.stdout.decode("utf-8", "surrogateescape")

    def _call(self, words: tuple[str | Path, ...], reach: str) -> subprocess.CompletedProcess[bytes]:
        return self._start(words, {**self._environment, "GIT_ALLOW_PROTOCOL": _SCHEMES[reach]})

    def _start(self, words: tuple[str | Path, ...], environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                ["git", *map(str, words)],
                cwd=self._root,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                umask=0o022,
            )
        except FileNotFoundError:
            hint = "install git, or ADD an archive of the repository"
            raise BuildFailure("fetch-no-git", f"fetching {self.shown} needs git", hint=hint) from None

    @cached_property
    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in self._environ.items() if not name.startswith("GIT_") or name in _KEPT}
        connect, idle = max(1, int(self._bounds.connect_seconds)), max(1, int(self._bounds.idle_seconds))
        if own.get("SSL_CERT_FILE"):
            own.setdefault("GIT_SSL_CAINFO", own["SSL_CERT_FILE"])
        own.setdefault("GIT_SSH_COMMAND", own.get("GIT_SSH") or f"ssh -o BatchMode=yes -o ConnectTimeout={connect}")
        own |= {
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            # The store may lie inside somebody's repository.
            "GIT_CEILING_DIRECTORIES": str(self._root.parent),
            "GIT_HTTP_LOW_SPEED_LIMIT": "1",
            "GIT_HTTP_LOW_SPEED_TIME": str(idle),
            "LC_ALL": "C",
        }
        settings = [*self._doors(), *self._password(), *_SETTINGS]
        own["GIT_CONFIG_COUNT"] = str(len(settings))
        for number, (name, value) in enumerate(settings):
            own |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        return own

    def _doors(self) -> list[tuple[str, str]]:
        """The settings of the user and the machine that are about reaching servers."""
        configured = {
            name: value
            for name, value in self._environ.items()
            if not name.startswith("GIT_") or name.startswith("GIT_CONFIG")
        }
        configured["GIT_CEILING_DIRECTORIES"] = str(self._root.parent)
        output = self._start(("config", "-z", "--get-regexp", _DOORS), configured).stdout
        pairs = (item.partition("\n") for item in output.decode("utf-8", "surrogateescape").split("\0") if item)
        return [(name, value if separator else "true") for name, separator, value in pairs]

    def _password(self) -> list[tuple[str, str]]:
        """Have the address's password used wherever the address, or one on the same host, is written without it."""
        if not self._user:
            return []
        scheme, _, rest = self.address.partition("://")
        host = rest.partition("/")[0]
        return [(f"url.{scheme}://{self._user}@{host}/.insteadOf", f"{scheme}://{host}/")]

    def _said(self, stderr: bytes) -> str:
        lines = stderr.decode(errors="replace").strip().splitlines()[-_LINES_TOLD:]
        text = shown("; ".join(lines).replace(f"{self._user}@", "") if self._user else "; ".join(lines))
        return "".join(character if character.isprintable() else " " for character in text)
