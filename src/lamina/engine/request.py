"""What a build is asked for, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from lamina.diagnostics import Diagnostic
from lamina.digest import ChainID, Digest
from lamina.keys.outcome import StageResult
from lamina.oci.config import ImageConfig
from lamina.oci.reference import Reference
from lamina.plan.steps import ImageRef, PlanOptions
from lamina.ports import BaseImage, Limit, Mount


class BuildRequest(Struct, frozen=True):
    """A build. `dockerfile` is the file's bytes and `file` the name that messages use; `project` tells apart the
    histories of different Dockerfiles in one store. `run_mounts` and `run_env` are given to RUN steps and enter no key
    (certificates, proxies). `jobs` is how many steps may run at once. `secrets` give their bytes when a step needs
    them, `ssh` holds the sockets of agents, both by id. `hosts` (name, address), `limits` and `shm_size` (bytes of
    /dev/shm) are for RUN."""

    build: str
    dockerfile: bytes
    file: str
    project: str
    options: PlanOptions
    tags: tuple[Reference, ...] = ()
    no_cache: bool = False
    no_cache_stages: frozenset[str] = frozenset()
    pull: bool = False
    network: str = "default"
    run_mounts: tuple[Mount, ...] = ()
    run_env: dict[str, str] = {}
    jobs: int = 1
    secrets: Mapping[str, Callable[[], bytes]] = {}
    ssh: Mapping[str, Path] = {}
    hosts: tuple[tuple[str, str], ...] = ()
    limits: tuple[Limit, ...] = ()
    shm_size: int | None = None


class BuildResult(Struct, frozen=True):
    """A finished build: the image, its stack of layers, the stages that it needed, in order, and the images from
    elsewhere that it stood on. `others` are the same build's results for further platforms; `manifest` is the digest of
    the manifest or index that an output was given."""

    build: str
    image_id: Digest
    config: ImageConfig
    chain: ChainID | None
    stages: tuple[StageResult, ...]
    seconds: float
    warnings: tuple[Diagnostic, ...] = ()
    images: dict[ImageRef, BaseImage] = {}
    others: tuple[BuildResult, ...] = ()
    manifest: Digest | None = None
