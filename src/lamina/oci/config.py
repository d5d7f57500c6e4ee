"""Image configurations (image-spec, config.md, with the fields that Docker adds).

`ImageConfig` is a value. What was read keeps its raw bytes beside it, because a digest comes from raw bytes and never
from a second serialisation.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

from lamina.digest import DiffID, Digest, digest_of, parse_digest
from lamina.oci.platform import Platform


class Healthcheck(Struct, frozen=True, omit_defaults=True, rename="pascal"):
    """Docker's HEALTHCHECK: durations in nanoseconds, 0 meaning inherited or default."""

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class RuntimeConfig(Struct, frozen=True, omit_defaults=True, rename="pascal"):
    """The `config` object: what a container of the image starts with.

    `env` is in order, one `NAME=value` a name. `entrypoint` and `cmd` are None when unset, `()` when cleared.
    """

    user: str = ""
    exposed_ports: dict[str, dict[str, Any]] = field(default_factory=dict)
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    volumes: dict[str, dict[str, Any]] = field(default_factory=dict)
    working_dir: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    stop_signal: str = ""
    healthcheck: Healthcheck | None = None
    shell: tuple[str, ...] | None = None
    on_build: tuple[str, ...] | None = None
    args_escaped: bool = False


class History(Struct, frozen=True, omit_defaults=True):
    """One entry of an image's history; `empty_layer` marks an instruction that made no layer."""

    created: str | None = None
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class RootFS(Struct, frozen=True):
    """The diff IDs of the layers, lowest first."""

    type: str
    diff_ids: tuple[DiffID, ...]


class ImageConfig(Struct, frozen=True, omit_defaults=True):
    """A whole image configuration. `created` is RFC 3339."""

    architecture: str
    os: str
    rootfs: RootFS
    variant: str = ""
    created: str | None = None
    author: str = ""
    config: RuntimeConfig | None = None
    history: tuple[History, ...] = ()

    @property
    def platform(self) -> Platform:
        return Platform(self.os, self.architecture, self.variant)

    @property
    def runtime(self) -> RuntimeConfig:
        """The `config` object, empty where the image has none."""
        return self.config or RuntimeConfig()


# On import, which is one thread's: msgspec (0.22) crashes when two threads look at a type for the first time at once.
for _described in (ImageConfig,):
    msgspec.json.Decoder(_described)


def decode_config(raw: bytes) -> ImageConfig:
    """Read a configuration. Raises ValueError with the place of the fault; null stands for absent, as in Go's JSON."""
    try:
        loose = msgspec.json.decode(raw)
        _fill_maps(loose)
        config = msgspec.convert(_without_nulls(loose), ImageConfig)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not an image configuration: {error}") from error
    for diff_id in config.rootfs.diff_ids:
        parse_digest(diff_id)
    return config


def encode_config(config: ImageConfig) -> bytes:
    """The bytes to store: one fixed order of members, no spaces. Their digest is the image ID."""
    return msgspec.json.encode(config)


def image_id(raw: bytes) -> Digest:
    """An image's ID: the digest of its configuration's bytes (Docker's meaning of the word)."""
    return digest_of(raw)


def _fill_maps(loose: Any) -> None:
    """In a map, null is a key's empty value: the key stays (Go's `map[string]struct{}` and `map[string]string`)."""
    runtime = loose.get("config") if isinstance(loose, dict) else None
    if not isinstance(runtime, dict):
        return
    empty: tuple[tuple[str, object], ...] = (("ExposedPorts", {}), ("Volumes", {}), ("Labels", ""))
    for member, value in empty:
        if isinstance(runtime.get(member), dict):
            runtime[member] = {key: value if item is None else item for key, item in runtime[member].items()}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
