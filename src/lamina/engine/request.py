"""What a build is asked for, and what it gives back."""

from __future__ import annotations

from msgspec import Struct

from lamina.diagnostics import Diagnostic
from lamina.digest import ChainID, Digest
from lamina.keys.outcome import StageResult
from lamina.oci.config import ImageConfig
from lamina.oci.reference import Reference
from lamina.plan.steps import ImageRef, PlanOptions
from lamina.ports import BaseImage, Mount


class BuildRequest(Struct, frozen=True):
    """A build. `dockerfile` is the file's bytes and `file` the name that messages use; `project` tells apart the
    histories of different Dockerfiles in one store. `run_mounts` and `run_env` are given to RUN steps and enter no key
    (certificates, proxies). `jobs` is how many stages may run at once."""

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


class BuildResult(Struct, frozen=True):
    """A finished build: the image, its stack of layers, the stages that it needed, in order, and the images from
    elsewhere that it stood on."""

    build: str
    image_id: Digest
    config: ImageConfig
    chain: ChainID | None
    stages: tuple[StageResult, ...]
    seconds: float
    warnings: tuple[Diagnostic, ...] = ()
    images: dict[ImageRef, BaseImage] = {}
