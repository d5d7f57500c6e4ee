"""What a build is asked for, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from lamina.diagnostics import BuildFailure, Diagnostic
from lamina.digest import ChainID, Digest
from lamina.keys.decide import Miss
from lamina.keys.outcome import StageResult
from lamina.oci.config import ImageConfig
from lamina.oci.reference import Reference
from lamina.plan.steps import ImageRef, PlanOptions, Step
from lamina.ports.images import BaseImage
from lamina.ports.running import Limit, Mount


class BuildRequest(Struct, frozen=True):
    """A build. `dockerfile` is the file's bytes and `file` the name that messages use; `project` tells apart the
    histories of different Dockerfiles in one store. `run_mounts` and `run_env` are given to RUN steps and enter no key
    (certificates, proxies). `jobs` is how many steps may run at once. `secrets` give their bytes when a step needs
    them, `ssh` holds the sockets of agents, both by id. `hosts` (name, address), `limits` and `shm_size` (bytes of
    /dev/shm) are for RUN. `step_epoch` is SOURCE_DATE_EPOCH as it is offered to RUN steps, in seconds. `fail_on_miss`:
    no step may run; `reuse`: an image that was built from the same inputs is taken as it is, whatever the cache has
    left of it. `observe`: note what RUN steps look at in copied layers, and keep the results of those that looked at
    nothing that changed. `lazy`: the image goes to a registry alone, so layers that only the shared cache has are left
    there. `times`: in the layers of a reproducible build no file is later than this, in seconds since 1970."""

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
    step_epoch: int | None = None
    fail_on_miss: bool = False
    reuse: bool = False
    observe: bool = False
    lazy: bool = False
    times: int | None = None


class NotCached(BuildFailure):
    """A step would have to run, and `fail_on_miss` forbids it. `causes` are those of the miss."""

    def __init__(self, step: Step, decision: Miss) -> None:
        super().__init__(
            "cache-miss",
            f"{step.text.partition(chr(10))[0]!r} is not in the cache",
            span=step.span,
            hint="`lamina plan` says all that would run",
        )
        self.causes = decision.causes


class SharedUse(Struct, frozen=True):
    """What a build had of its shared cache: `hits` of so many steps that make layers, bytes fetched, the seconds that
    the steps took where they were built; and what it gave: steps written, bytes sent."""

    hits: int
    steps: int
    fetched: int
    saved: float
    written: int
    sent: int


class BuildResult(Struct, frozen=True):
    """A finished build: the image, its stack of layers, the stages that it needed, in order, and the images from
    elsewhere that it stood on. `others` are the same build's results for further platforms; `manifest` is the digest of
    the manifest or index that an output was given. `key` is the image's final key, see `engine.identity`; `reused`: it
    was there, and nothing was looked at but the inputs. `shared`: what it had of a shared cache, if it had one."""

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
    key: Digest | None = None
    reused: bool = False
    shared: SharedUse | None = None
