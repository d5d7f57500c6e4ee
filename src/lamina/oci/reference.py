"""Image names as Docker writes them: `ubuntu` is `docker.io/library/ubuntu:latest`.

Rule: the grammar of distribution/reference; a first component is a registry if it has a dot, a colon or upper case, or
is `localhost`.
"""

from __future__ import annotations

import re

from msgspec import Struct

from lamina.digest import Digest, parse_digest

_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?\Z")


class Reference(Struct, frozen=True):
    """A parsed name. `tag` is `latest` if neither tag nor digest was written; with a digest, `tag` may be empty."""

    registry: str
    repository: str
    tag: str = ""
    digest: Digest | None = None

    def __str__(self) -> str:
        """The full form, such as `docker.io/library/ubuntu:latest`."""
        return f"{self.registry}/{self.repository}" + self._suffix()

    def familiar(self) -> str:
        """The short form that Docker's users write: `ubuntu:latest`, `user/app:1`, `registry.example/app:1`."""
        name = f"{self.registry}/{self.repository}"
        if self.registry == "docker.io":
            short = self.repository.removeprefix("library/") if self.repository.count("/") == 1 else self.repository
            # `docker.io/a.b/c` has no short form: `a.b/c` would be another registry's.
            name = name if _is_registry(*short.partition("/")[:2]) else short
        return name + self._suffix()

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse_reference(text: str) -> Reference:
    """Read an image name. Raises ValueError that says which part is wrong."""
    name, at, digest_text = text.partition("@")
    try:
        digest = parse_digest(digest_text) if at else None
    except ValueError as error:
        raise ValueError(f"invalid image name {text!r}: {error}") from None
    head, slash, last = name.rpartition("/")
    last, colon, tag = last.partition(":")
    if colon and not _TAG.match(tag):
        raise ValueError(f"invalid image name {text!r}: {tag!r} is not a tag")
    path = head + slash + last
    first, slash, rest = path.partition("/")
    if _is_registry(first, slash):
        registry, repository = first, rest
    else:
        registry, repository = "docker.io", path
    if registry in ("index.docker.io", "registry-1.docker.io"):
        registry = "docker.io"
    if registry == "docker.io" and "/" not in repository:
        repository = "library/" + repository
    if not _DOMAIN.match(registry):
        raise ValueError(f"invalid image name {text!r}: {registry!r} is not a registry")
    if any(not _COMPONENT.match(part) for part in repository.split("/")) or len(repository) > 255:
        lower = " (names are lower case)" if repository != repository.lower() else ""
        raise ValueError(f"invalid image name {text!r}: {repository!r} is not a repository{lower}")
    return Reference(registry, repository, tag or ("" if digest else "latest"), digest)


def _is_registry(first: str, slash: str) -> bool:
    """Whether a name's first component, with the slash behind it if there is one, names a registry."""
    return bool(slash) and ("." in first or ":" in first or first == "localhost" or first != first.lower())
