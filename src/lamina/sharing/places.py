"""`--cache-from` and `--cache-to`: reading what they say, and opening the places that they name."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from lamina import __version__
from lamina.diagnostics import BuildFailure
from lamina.oci.mediatypes import COMPRESSIONS, LEVELS
from lamina.workshop.parsing import reference, seconds_of, suggestion

if TYPE_CHECKING:
    from lamina.registry.cachestore import CacheStore
    from lamina.registry.session import Session

#: What names a place, by type: the needed attributes first.
_PLACES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "registry": (("ref",), ("insecure", "registry.insecure")),
    "local": ((), ("dest", "src")),
    "s3": (
        ("bucket",),
        (
            *("prefix", "region", "endpoint_url", "use_path_style"),
            *("access_key_id", "secret_access_key", "session_token"),
        ),
    ),
    "gs": (("bucket",), ("prefix", "endpoint_url")),
    "az": (("account", "container"), ("prefix", "endpoint_url")),
}
_FROM = ("verify", "timeout")
_TO = (
    *("mode", "compression", "compression-level", "ignore-error", "writer", "sign", "timeout"),
    *("max-size", "max-age"),
)
#: What BuildKit's caches take and what is so here anyway.
_IGNORED = ("image-manifest", "oci-mediatypes", "force-compression")
_MIN_SECRET = 16
_TIMEOUT = 10.0


class Place(Struct, frozen=True):
    """Where a cache is: its type, and the attributes that name it."""

    type: str
    attributes: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.attributes.get(name, "")


class Limits(Struct, frozen=True):
    """What is to be left of a cache: bytes, and the seconds for which what nobody uses stays."""

    max_size: int | None = None
    max_age: int | None = None

    def __bool__(self) -> bool:
        return self.max_size is not None or self.max_age is not None


class CacheFrom(Struct, frozen=True):
    """One `--cache-from`. Entries that are not signed with `secret` count as absent if there is one; `timeout` is for
    how many seconds the place may be silent."""

    place: Place
    secret: bytes | None = None
    timeout: float = _TIMEOUT


class CacheTo(Struct, frozen=True):
    """One `--cache-to`. `mode`: all steps, or those of the resulting image alone. `limits` hold after the build."""

    place: Place
    mode: Literal["min", "max"] = "max"
    compression: str = "gzip"
    level: int | None = None
    writer: str = f"lamina {__version__}"
    secret: bytes | None = None
    timeout: float = _TIMEOUT
    limits: Limits = Limits()


def parse_from(text: str) -> CacheFrom:
    """Read `type=T,…`, or a registry's repository alone. Raises BuildFailure `usage-cache`."""
    place, rest = _read(text, "--cache-from", _FROM)
    return CacheFrom(place, _secret(rest.get("verify"), text), _seconds(rest, text))


def parse_to(text: str) -> CacheTo:
    """As `parse_from`. Raises BuildFailure `usage-cache`."""
    place, rest = _read(text, "--cache-to", _TO)
    compression, level = rest.get("compression", "gzip"), rest.get("compression-level")
    if rest.get("mode", "max") not in ("min", "max"):
        hint = "max: all steps; min: those of the image alone"
        raise _bad(f"--cache-to {text}: there is no mode {rest['mode']!r}", hint)
    if compression not in COMPRESSIONS:
        raise _bad(f"--cache-to {text}: compression {compression!r} is not known", f"one of {', '.join(COMPRESSIONS)}")
    if level is not None and not (level.isascii() and level.isdigit()):
        raise _bad(f"--cache-to {text}: compression-level is not a number", None)
    if level is not None and int(level) > LEVELS[compression]:
        raise _bad(f"--cache-to {text}: compression-level of {compression} ends at {LEVELS[compression]}", None)
    return CacheTo(
        place,
        "min" if rest.get("mode") == "min" else "max",
        compression,
        int(level) if level is not None else None,
        rest.get("writer") or f"lamina {__version__}",
        _secret(rest.get("sign"), text),
        _seconds(rest, text),
        _limits(rest, text),
    )


def parse_place(text: str) -> tuple[Place, float]:
    """The place alone, and its timeout, whichever of the two options the words are for. Raises BuildFailure
    `usage-cache`."""
    place, rest = _read(text, "the cache", tuple(dict.fromkeys((*_FROM, *_TO))))
    return place, _seconds(rest, text)


def starts_threads(place: Place) -> bool:
    """Whether what opens this place starts threads that stay: namespaces are entered before there are any."""
    return place.type not in ("registry", "local")


def open_place(place: Place, timeout: float, session: Session) -> CacheStore:
    """Raises BuildFailure `usage-cache` where it cannot be opened here."""
    if place.type == "registry":
        return _open_registry(place, timeout, session)
    if place.type == "local":
        from lamina.registry.cachefolder import FolderCache

        return FolderCache(Path(place["folder"]).absolute())
    from lamina.registry.cachebucket import open_bucket

    return open_bucket(place.type, place.attributes, timeout)


def _open_registry(place: Place, timeout: float, session: Session) -> CacheStore:
    from lamina.registry.cacheregistry import RegistryCache
    from lamina.registry.session import Session

    name = reference(place["ref"])
    with suppress(BuildFailure):
        # Here, because programs that keep credentials may not answer to a process in its own namespaces.
        session.credentials.lookup(name.registry)
    settings = session.settings
    if place["insecure"] == "true":
        settings = replace(settings, insecure=(*settings.insecure, name.registry))
    # A blob's upload is only answered when the registry has put it away.
    longer = 3 * timeout
    patient = replace(settings, attempts=3, retry_seconds=longer, connect_seconds=timeout, read_seconds=longer)
    quick = replace(patient, attempts=2, retry_seconds=timeout, read_seconds=timeout)
    sessions = (Session(each, session.credentials, sightings=session.sightings) for each in (quick, patient))
    return RegistryCache(name, *sessions)


def _read(text: str, flag: str, own: tuple[str, ...]) -> tuple[Place, dict[str, str]]:
    """What names the place, and the rest of the attributes."""
    whole = text if "=" in text.partition(",")[0] else f"type=registry,ref={text}"
    values = dict(part.partition("=")[::2] for part in whole.split(","))
    kind = values.pop("type", "")
    if kind not in _PLACES:
        hint = f"one of {', '.join(_PLACES)}"
        if kind in ("inline", "gha"):
            hint += f"; {kind!r} is BuildKit's own: see docs/shared-cache.md"
        raise _bad(f"{flag} {text}: there is no cache type {kind!r}", hint)
    needed, optional = _PLACES[kind]
    for name in values:
        if name not in (*needed, *optional, *own, *_IGNORED):
            known = suggestion(name, (*needed, *optional, *own)) or f"it takes {', '.join((*needed, *optional, *own))}"
            raise _bad(f"{flag} {text}: {name!r} is not known", known)
    for name in needed:
        if not values.get(name):
            raise _bad(f"{flag} {text}: {name} is missing", f"write {name}=…")
    where = {name: values[name] for name in (*needed, *optional) if values.get(name)}
    return Place(kind, _normal(kind, where, text, flag)), values


def _normal(kind: str, where: dict[str, str], text: str, flag: str) -> dict[str, str]:
    """The same place in the same words, whether it is read or written."""
    if kind == "local":
        folder = where.get("dest") or where.get("src")
        if not folder:
            name = "src" if flag == "--cache-from" else "dest"
            raise _bad(f"{flag} {text}: {name} is missing", f"write {name}=DIRECTORY")
        return {"folder": folder}
    if kind == "registry":
        found = reference(where["ref"])
        if found.digest is not None:
            raise _bad(f"{flag} {text}: a cache has no digest", "name the repository alone")
        insecure = where.get("insecure") or where.get("registry.insecure") or "false"
        return {"ref": f"{found.registry}/{found.repository}", "insecure": insecure}
    return where


def _secret(path: str | None, text: str) -> bytes | None:
    if path is None:
        return None
    try:
        secret = Path(path).read_bytes()
    except OSError as error:
        raise BuildFailure("usage-cache", f"{text}: the key file {path} cannot be read", cause=error.strerror) from None
    if len(secret) < _MIN_SECRET:
        hint = f"make one with `head -c 32 /dev/urandom > {path}`"
        raise _bad(f"{text}: the key file {path} has less than {_MIN_SECRET} bytes", hint)
    return secret


def _seconds(values: Mapping[str, str], text: str) -> float:
    given = values.get("timeout")
    if given is None:
        return _TIMEOUT
    if not (given.isascii() and given.isdigit() and int(given) > 0):
        raise _bad(f"{text}: timeout is not a number of seconds", "such as timeout=10")
    return float(given)


def _limits(values: Mapping[str, str], text: str) -> Limits:
    from lamina.store.limit import parse_size

    try:
        return Limits(
            parse_size(values["max-size"]) if "max-size" in values else None,
            seconds_of(values["max-age"]) if "max-age" in values else None,
        )
    except BuildFailure as failure:
        plain = failure.diagnostic
        raise _bad(f"--cache-to {text}: {plain.message}", plain.hint) from None


def _bad(message: str, hint: str | None) -> BuildFailure:
    return BuildFailure("usage-cache", message, hint=hint)
