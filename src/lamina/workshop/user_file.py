"""The machine's and the user's `config.toml`: where they are, and what they hold, before it is asked what it means.

It imports no more than it must: every build looks whether these files name a shared cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lamina.diagnostics import BuildFailure

SYSTEM = Path("/etc/lamina/config.toml")
#: The keys about shared caches; all others are tables of registries.
CACHE_KEYS = ("cache-from", "cache-to", "trusted-caches")
_MAX_BYTES = 1 << 20


def user_files(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Both files, which need not exist. What a later one says goes before what an earlier one says."""
    folder = config_home(environment)
    return (SYSTEM,) if folder is None else (SYSTEM, folder / "lamina" / "config.toml")


def config_home(environment: Mapping[str, str]) -> Path | None:
    """The user's folder of configurations."""
    written, home = environment.get("XDG_CONFIG_HOME"), environment.get("HOME")
    return Path(written) if written else (Path(home) / ".config" if home else None)


def read_file(file: Path) -> dict[str, Any]:
    """What one `config.toml` says; nothing if there is none. Raises BuildFailure `usage-configuration`."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(_MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise unusable(file, error.strerror) from None
    import tomllib  # most users have no such file

    try:
        if len(raw) > _MAX_BYTES:
            raise ValueError(f"it is larger than {_MAX_BYTES >> 20} MiB")
        whole = tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise unusable(file, str(error)) from None
    require_known(file, "the file", whole, ("registry", *CACHE_KEYS))
    return whole


def require_known(file: Path, where: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raises BuildFailure `usage-configuration` for a key that is not one of `known`."""
    from lamina.workshop.parsing import suggestion

    for key in table:
        if key not in known:
            message = (
                f"{where} in {str(file)!r} has no key {key[:60]!r}"
                if where != "the file"
                else (f"{str(file)!r} has no key {key[:60]!r}")
            )
            close = suggestion(key, known)
            hint = f"{close} " if close else ""
            raise BuildFailure("usage-configuration", message, hint=f"{hint}the keys are {', '.join(known)}")


def unusable(file: Path, cause: str | None) -> BuildFailure:
    return BuildFailure("usage-configuration", f"the configuration {str(file)!r} cannot be used", cause=cause)
