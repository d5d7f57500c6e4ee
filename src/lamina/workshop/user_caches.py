"""What the user's `config.toml` says of shared caches (docs/configuration.md, "The user's file")."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.workshop.user_file import CACHE_KEYS, read_file, user_files


class UserCaches(Struct, frozen=True):
    """What `config.toml` says of shared caches: words as for the two options, and the beginnings of repository names
    that a project may name."""

    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    trusted_caches: tuple[str, ...] = ()


def user_caches(environment: Mapping[str, str]) -> UserCaches:
    """What the user's file says of shared caches, else what the machine's says, key by key. Raises BuildFailure
    `usage-configuration`."""
    found: dict[str, tuple[str, ...]] = {}
    for file in user_files(environment):
        found.update(_caches_of(file, read_file(file)))
    return UserCaches(**found)


def _caches_of(file: Path, table: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """What one `config.toml` says of them. Raises BuildFailure `usage-configuration`."""
    found: dict[str, tuple[str, ...]] = {}
    for key in CACHE_KEYS:
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            raise BuildFailure(
                "usage-configuration",
                f"{key} in {str(file)!r} cannot be {str(value)[:60]!r}",
                hint='write a list such as ["registry.example/team/cache"]',
            )
        if key in table:
            found[key.replace("-", "_")] = tuple(value)
    return found
