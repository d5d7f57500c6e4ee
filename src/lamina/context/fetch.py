"""`ports.Fetcher`: files and repositories from the web, kept in one folder so that they are fetched once.

Every direct child of the folder is one download, whose modification time is the moment of its last use: that is what
garbage collection goes by.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lamina.context.downloading import Bounds
from lamina.diagnostics import BuildFailure
from lamina.plan.steps import GitSource, HttpSource
from lamina.ports.sources import Fetched


class Downloads:
    """Implements `ports.Fetcher` below `root`, which is made when it is needed. `agent` is the user agent; `environ`
    the caller's environment: proxies, certificates, the ssh agent, git's credential helpers."""

    def __init__(self, root: Path, agent: str, environ: Mapping[str, str], bounds: Bounds | None = None) -> None:
        self._root = root.absolute()
        self._agent = agent
        self._environ = environ
        self._bounds = bounds or Bounds()

    def http(self, source: HttpSource) -> Fetched:
        """See `ports.Fetcher`. Raises BuildFailure `fetch-…`, `store-full`, `store-io`."""
        from lamina.context.http import download
        from lamina.context.httpclient import Client

        with self._usable():
            return download(source, self._root, Client(self._agent, self._environ, self._bounds), self._bounds)

    def git(self, source: GitSource) -> Fetched:
        """See `ports.Fetcher`. Raises BuildFailure `fetch-…`, `store-full`, `store-io`."""
        from lamina.context.git import checkout
        from lamina.context.gitprogram import Git

        with self._usable():
            return checkout(source, self._root, Git(source.url, self._root, self._environ, self._bounds))

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            yield
        except OSError as error:
            cause = f"{error.strerror or error}: {self._root}"
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise BuildFailure(
                    "store-full",
                    "no space left for what is fetched",
                    cause=cause,
                    hint="make room with `lamina cache prune`, or choose a larger disk with --root",
                ) from error
            raise BuildFailure("store-io", "what is fetched cannot be kept", cause=cause) from error
