"""`RUN --mount`: from a flag's text to a `StepMount` (Dockerfile reference, "RUN --mount")."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal, get_args

from lamina.diagnostics import BuildFailure, Span
from lamina.dockerfile.syntax import Flag
from lamina.plan.failures import close
from lamina.plan.scope import Scope, normal_path
from lamina.plan.steps import BindMount, CacheMount, Origin, SecretMount, SshMount, StepMount, TmpfsMount

Sharing = Literal["shared", "private", "locked"]

_ALIASES = {
    "dst": "target",
    "destination": "target",
    "src": "source",
    "ro": "readonly",
    "rw": "readwrite",
}
#: BuildKit takes these for every type, also where they say nothing.
_COMMON = {"target", "id", "readonly", "readwrite"}
_OWNED = {"mode", "uid", "gid"}
_KEYS = {
    "bind": _COMMON | {"source", "from"},
    "cache": _COMMON | _OWNED | {"source", "from", "sharing"},
    "tmpfs": _COMMON | {"source", "size"},
    "secret": _COMMON | _OWNED | {"source", "env", "required"},
    "ssh": _COMMON | _OWNED | {"required"},
}
_QUOTING = 'put a whole field into double quotes: "source=a,b"'
_EVERY = sorted({"type", *_ALIASES, *(key for keys in _KEYS.values() for key in keys)})
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?) ?([kmgtp]?)i?b?\Z", re.IGNORECASE | re.ASCII)
#: Go's `strconv.ParseBool`, in any case.
_TRUTH = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


def step_mounts(scope: Scope, flags: Sequence[Flag], origin: Callable[[str, Span], Origin]) -> tuple[StepMount, ...]:
    """The mounts of a RUN, in order. `origin` says what `from=` means. Raises BuildFailure `dockerfile-bad-mount`."""
    mounts: list[StepMount] = []
    for flag in flags:
        agents = sum(isinstance(mount, SshMount) for mount in mounts)
        mounts.append(_Fields(scope, flag).mount(origin, agents))
    return tuple(mounts)


def mounted_from(flag: Flag) -> str:
    """What `from=` of a `--mount` names, empty if it has none or cannot be read."""
    if "from" not in (flag.value or "").lower():
        return ""
    fields = _fields(flag.value or "") or []
    names = (field.partition("=")[2] for field in fields if field.partition("=")[0].strip().lower() == "from")
    return next(names, "")


class _Fields:
    """The fields of one `--mount`, expanded."""

    def __init__(self, scope: Scope, flag: Flag) -> None:
        self._scope = scope
        self._span = flag.span
        self._values: dict[str, str] = {}
        fields = _fields(flag.value or "")
        if fields is None:
            raise self._bad("cannot be read as comma-separated fields: its quotes do not close", _QUOTING)
        for field in fields:
            self._add(field)
        self.type = self._values.pop("type", "bind").lower()
        if self.type not in _KEYS:
            near = close(self.type, _KEYS)
            hint = f"did you mean type={near[0]}?" if near else f"the types are {', '.join(_KEYS)}"
            raise self._bad(f"has no type {self.type!r}", hint)
        for key in self._values:
            if key not in _KEYS[self.type]:
                takes = f"type={self.type} takes {', '.join(sorted(_KEYS[self.type]))}"
                raise self._bad(f"of type {self.type} has no {key!r}", takes)

    def mount(self, origin: Callable[[str, Span], Origin], agents: int) -> StepMount:
        values = self._values
        source = values.get("source", "")
        place = origin(values["from"], self._span) if values.get("from") else None
        match self.type:
            case "bind":
                return BindMount(self._target(), normal_path(source), place, read_only=not self._writable(False))
            case "cache":
                return CacheMount(
                    self._target(),
                    id=values.get("id") or _cleaned(values.get("target", "")),
                    sharing=self._sharing(),
                    read_only=not self._writable(True),
                    origin=place,
                    source=normal_path(source),
                    mode=self._octal(0o755),
                    uid=self._number("uid"),
                    gid=self._number("gid"),
                )
            case "tmpfs":
                return TmpfsMount(self._target(), self._size())
            case "secret":
                return self._secret(source)
            case _:
                return SshMount(
                    values.get("id") or "default",
                    self._target(f"/run/buildkit/ssh_agent.{agents}"),
                    required=self._flag("required"),
                    mode=self._octal(0o600),
                    uid=self._number("uid"),
                    gid=self._number("gid"),
                )

    def _secret(self, source: str) -> SecretMount:
        values = self._values
        if source and values.get("id"):
            raise self._bad("of type secret has both id and source, which say the same", "keep id=NAME")
        name = values.get("id") or source or values.get("target", "").rstrip("/").rpartition("/")[2]
        if not name:
            raise self._bad("of type secret needs an id or a target", "write id=NAME")
        mounted = "target" in values or "env" not in values
        return SecretMount(
            name,
            self._target(f"/run/secrets/{name.rpartition('/')[2]}") if mounted else None,
            env=values.get("env", ""),
            required=self._flag("required"),
            mode=self._octal(0o400),
            uid=self._number("uid"),
            gid=self._number("gid"),
        )

    def _add(self, field: str) -> None:
        name, equals, value = field.partition("=")
        key = _ALIASES.get(name.strip().lower(), name.strip().lower())
        if key not in _EVERY:
            near = close(key, _EVERY)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(_EVERY)}"
            raise self._bad(f"has no {name.strip()!r}", hint)
        if not equals:
            if key not in ("readonly", "readwrite", "required"):
                raise self._bad(f"needs a value for {key!r}", f"write {key}=…")
            value = "true"
        if key in ("readonly", "readwrite"):
            # The last of the two decides.
            self._values.pop("readonly", None)
            self._values.pop("readwrite", None)
        # `from` is not expanded: `copy_source` refuses a variable there.
        self._values[key] = value if key == "from" else self._scope.expand(value, self._span)

    def _target(self, default: str = "") -> str:
        # Without a target BuildKit takes the working directory.
        text = self._values.get("target") or default
        target = self._scope.absolute(text or ".")
        if target != "/":
            return target
        if not text:
            raise self._bad("needs a target", "write target=/path")
        raise self._bad("cannot have the root as its target", "mount a directory below it, such as target=/mnt")

    def _writable(self, default: bool) -> bool:
        if "readwrite" in self._values:
            return self._flag("readwrite")
        return not self._flag("readonly") if "readonly" in self._values else default

    def _flag(self, key: str) -> bool:
        text = self._values.get(key)
        if text is None:
            return False
        if text.lower() not in _TRUTH:
            raise self._bad(f"has {key} neither true nor false: {text!r}", f"write {key}=true or {key}=false")
        return _TRUTH[text.lower()]

    def _sharing(self) -> Sharing:
        text = self._values.get("sharing", "shared").lower()
        found: dict[str, Sharing] = {name: name for name in get_args(Sharing)}
        if text in found:
            return found[text]
        raise self._bad(f"has no sharing {text!r}", "it is one of shared, private, locked")

    def _octal(self, default: int) -> int:
        text = self._values.get("mode")
        if text is None:
            return default
        if not re.fullmatch(r"0*[0-7]{1,4}", text):
            raise self._bad(f"has a mode that is not octal: {text!r}", "write four octal digits, such as mode=0700")
        return int(text, 8)

    def _number(self, key: str) -> int:
        text = self._values.get(key, "0")
        if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) >= 1 << 32:
            raise self._bad(f"has a {key} that is not a number: {text!r}", "names are not known here")
        return int(text)

    def _size(self) -> int | None:
        text = self._values.get("size")
        if text is None:
            return None
        match = _SIZE.match(text)
        if match is None:
            raise self._bad(f"has a size that cannot be read: {text!r}", "write bytes, or a unit such as 64m")
        number, unit = match[1], _UNITS[match[2].lower()]
        return (int(float(number) * unit) if "." in number else int(number) * unit) or None

    def _bad(self, what: str, hint: str) -> BuildFailure:
        return BuildFailure("dockerfile-bad-mount", f"--mount {what}", span=self._span, hint=hint)


def _cleaned(path: str) -> str:
    """A path as Go's `path.Clean` has it: the name of a cache mount that names itself by its target."""
    clean = normal_path("/" + path)
    return clean if path.startswith("/") else clean[1:] or "."


def _fields(text: str) -> list[str] | None:
    """Comma-separated fields, whole ones in double quotes if need be; None if quotes do not close."""
    import csv  # here, because most Dockerfiles have no mounts

    try:
        return [field for row in csv.reader([text], strict=True) for field in row]
    except csv.Error:
        return None
