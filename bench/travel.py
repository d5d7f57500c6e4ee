"""Images that travel: pushing and pulling 1 GiB in twenty layers, and writing an archive of 1 GiB in one.

All tools speak to one registry on loopback, whose files are wiped before each push. Beside lamina stand Docker's daemon
and skopeo (with images that Buildah built in its store); Buildah and Podman copy images with skopeo's own library.
"""

from __future__ import annotations

import os
import random
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.bigimage import HALF, LAYERS, write_big_context, write_layer_files
from bench.dockerd import Dockerd, unmount_below
from bench.legs import Leg, run_legs, script
from bench.measure import DaemonMemory, cleared, output_of
from bench.peers import BASE, IMAGE, Buildah, Docker, Lamina
from bench.table import Results
from tests.support.base_images import busybox_rootfs
from tests.support.registry_server import RegistryServer, running_registry

PUSH, PULL, ARCHIVE = "push-1GiB", "pull-1GiB", "archive-1GiB"
PULLED = f"{PULL} run"
CASES = (PUSH, PULL, ARCHIVE)
#: What is compared with lamina, in the order of the table's columns, by the tool of `--tools` that brings it along.
TRAVELLERS = {"lamina": ("lamina",), "buildkit": ("docker", "docker save|gzip"), "buildah": ("skopeo", "skopeo oci")}
DOCKER = "/usr/bin/docker"


def travelled(cases: Sequence[str], tools: Sequence[str], work: Path, rounds: int, results: Results) -> None:
    """Measure those of `CASES` that are asked for, below `work`. Raises CommandFailed."""
    for case, travel in ((PUSH, _Push), (PULL, _Pull), (ARCHIVE, _Archive)):
        if case in cases:
            place = work / case
            place.mkdir()
            try:
                with ExitStack() as stack:
                    travel(place, tools, stack).measure(rounds, results)
            finally:
                unmount_below(place)
                cleared(place)


class _Travel(ABC):
    """A registry and the tools, each with a store of its own. Docker's daemon and the registry stop with `stack`."""

    def __init__(self, work: Path, tools: Sequence[str], stack: ExitStack) -> None:
        self.work = work
        self.context = work / "context"
        self.server: RegistryServer = stack.enter_context(running_registry(work / "registry"))
        self.lamina = Lamina(work)
        self.names = tools
        self._stack = stack
        self.docker: Docker | None = None
        self.buildah: Buildah | None = None

    def start(self) -> None:
        """Have all tools, with the base image in their stores."""
        if "buildkit" in self.names:
            self.docker = Docker(self.work, self._stack.enter_context(Dockerd(self.work)), True)
        if "buildah" in self.names:
            self.buildah = Buildah(self.work)
        rootfs = busybox_rootfs(self.work)
        for tool in self.tools:
            tool.load_base(rootfs)

    @property
    def tools(self) -> list[Lamina | Docker | Buildah]:
        return [tool for tool in (self.lamina, self.docker, self.buildah) if tool is not None]

    @abstractmethod
    def measure(self, rounds: int, results: Results) -> None:
        """All rounds. Raises CommandFailed."""

    def leg(self, measure: str, tool: str, before: Callable[[int], Sequence[str]]) -> Leg:
        """A leg of lamina, of Docker's client, or of skopeo."""
        environment = self.docker.environment if tool.startswith("docker") and self.docker else self.lamina.environment
        memory = self.docker.memory if tool.startswith("docker") and self.docker else DaemonMemory(())
        return Leg(measure, tool, before, environment, lambda: memory)

    def build(self) -> None:
        """Build the context with every tool."""
        for tool in self.tools:
            tool.build(self.context)

    def wipe(self) -> None:
        """Make the registry an empty one; it keeps no descriptors in memory."""
        shutil.rmtree(self.server.data, ignore_errors=True)

    def forget_blobs(self) -> None:
        """Make lamina's store one in which no layer that was built was ever compressed; the base came as a blob."""
        from lamina.oci.config import decode_config
        from lamina.workshop.wire import workshop

        with workshop(self.lamina.root) as shop:
            image = next(one for one in shop.store.images.list() if any(IMAGE in name for name in one.names))
            for diff_id in decode_config(shop.store.blobs.read(image.id)).rootfs.diff_ids[1:]:
                for blob in shop.store.layer_blobs.all(diff_id).values():
                    shop.store.blobs.delete(blob.digest)

    def lamina_command(self, *arguments: str) -> list[str]:
        return [self.lamina.command, *arguments]

    def name(self, repository: str) -> str:
        return f"{self.server.host}/{repository}:latest"

    def kept(self, place: str = "buildah") -> str:
        """The image in Buildah's store, or in another of the same kind, as skopeo names it."""
        return f"containers-storage:[overlay@{self.work / place}+{self.work / place}-run]localhost/{IMAGE}:latest"


def _skopeo(*arguments: str) -> list[str]:
    return ["skopeo", "copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false", *arguments]


class _Push(_Travel):
    """First with layers that were never compressed, then to a registry that has nothing, with layers that were. skopeo
    copies from the store in which Buildah built the image, where layers are files as they are in lamina's and Docker's;
    `skopeo oci` from a directory of compressed blobs."""

    def measure(self, rounds: int, results: Results) -> None:
        self.start()
        write_big_context(self.context)
        self.build()
        shutil.rmtree(self.context)
        legs = [self.leg(f"first {PUSH}", "lamina", self._first), self.leg(PUSH, "lamina", self._again)]
        if self.docker:
            legs += [self.leg(measure, "docker", self._docker) for measure in (f"first {PUSH}", PUSH)]
        if self.buildah:
            output_of(_skopeo(self.kept(), f"oci:{self.work}/oci:{IMAGE}"), self.buildah.environment)
            legs += [self.leg(measure, "skopeo", self._skopeo) for measure in (f"first {PUSH}", PUSH)]
            legs.append(self.leg(PUSH, "skopeo oci", self._from_directory))
        run_legs(f"push of 1 GiB in {LAYERS} layers", legs, rounds, results, self.work / "log")

    def _first(self, number: int) -> list[str]:
        self.forget_blobs()
        return self._again(number)

    def _again(self, number: int) -> list[str]:
        self.wipe()
        name = self.name(f"lamina-{number}")
        output_of(self.lamina_command("tag", IMAGE, name), self.lamina.environment)
        return self.lamina_command("push", "--progress", "plain", name)

    def _docker(self, number: int) -> list[str]:
        self.wipe()
        assert self.docker is not None
        name = self.name(f"docker-{number}")
        output_of([DOCKER, "tag", f"{IMAGE}-{self.docker.name}", name], self.docker.environment)
        return [DOCKER, "push", name]

    def _skopeo(self, number: int) -> list[str]:
        self.wipe()
        return _skopeo(self.kept(), f"docker://{self.name('skopeo')}")

    def _from_directory(self, number: int) -> list[str]:
        self.wipe()
        return _skopeo(f"oci:{self.work}/oci:{IMAGE}", f"docker://{self.name('skopeo')}")


class _Pull(_Travel):
    """Into empty stores: the pull alone, and with `true` run in a container of the image, for which all must have
    unpacked it. Lamina's pull and `skopeo oci` fetch the blobs alone. Each round has stores of its own, which stay
    until the end: a file system that has just lost thousands of files is slow at making new ones."""

    def measure(self, rounds: int, results: Results) -> None:
        write_big_context(self.context)
        self.lamina.load_base(busybox_rootfs(self.work))
        self.lamina.build(self.context)
        shutil.rmtree(self.context)
        output_of(self.lamina_command("tag", IMAGE, self.name("image")), self.lamina.environment)
        output_of(self.lamina_command("push", self.name("image")), self.lamina.environment)
        legs = [self.leg(PULL, "lamina", self._lamina), self.leg(PULLED, "lamina", self._lamina_run)]
        if "buildkit" in self.names:
            for measure, way in ((PULL, self._docker), (PULLED, self._docker_run)):
                legs.append(Leg(measure, "docker", way, dict(os.environ), lambda: self._memory))
        if "buildah" in self.names:
            legs += [self.leg(PULL, "skopeo", self._skopeo), self.leg(PULLED, "skopeo", self._skopeo_run)]
            legs.append(self.leg(PULL, "skopeo oci", self._to_directory))
        with ExitStack() as self._daemon:
            run_legs(f"pull of 1 GiB in {LAYERS} layers", legs, rounds, results, self.work / "log")

    def _lamina(self, number: int) -> list[str]:
        return self._pull_to(f"lamina-{number}")

    def _lamina_run(self, number: int) -> list[str]:
        return script(self._pull_to(f"lamina-run-{number}"), self.lamina_command("run", self.name("image"), "true"))

    def _pull_to(self, place: str) -> list[str]:
        self.lamina.environment["LAMINA_ROOT"] = str(self.work / place)
        return self.lamina_command("pull", "--progress", "plain", self.name("image"))

    def _docker(self, number: int) -> list[str]:
        return self._docker_in(f"docker-{number}")

    def _docker_run(self, number: int) -> list[str]:
        pull = self._docker_in(f"docker-run-{number}")
        return script(pull, [*pull[:3], "run", "--rm", "--network", "none", self.name("image"), "true"])

    def _docker_in(self, name: str) -> list[str]:
        self._daemon.close()
        place = self.work / name
        place.mkdir()
        daemon = self._daemon.enter_context(Dockerd(place))
        self._memory = DaemonMemory(daemon.pids())
        return [DOCKER, "--host", daemon.address, "pull", self.name("image")]

    def _skopeo(self, number: int) -> list[str]:
        return _skopeo(f"docker://{self.name('image')}", self.kept(f"fetched-{number}"))

    def _skopeo_run(self, number: int) -> list[str]:
        """The container is Buildah's, with the settings of the other cases."""
        store, image = f"run-{number}", f"localhost/{IMAGE}:latest"
        buildah = ["buildah", "--root", f"{self.work / store}", "--runroot", f"{self.work / store}-run"]
        buildah += ["--storage-driver", "overlay"]
        how = ["--isolation", "oci", "--runtime", "runc", "--network", "host"]
        return script(
            _skopeo(f"docker://{self.name('image')}", self.kept(store)),
            [*buildah, "from", "--pull-never", "--name", "bench-container", image],
            [*buildah, "run", *how, "bench-container", "true"],
        )

    def _to_directory(self, number: int) -> list[str]:
        return _skopeo(f"docker://{self.name('image')}", f"oci:{self.work}/oci-{number}:{IMAGE}")


class _Archive(_Travel):
    """An image whose one layer of 1 GiB has just been built anew. Docker 20.10 writes no OCI archive: beside it stand
    its push, which compresses by the code that BuildKit's archives have their gzip from, and `docker save` through
    gzip. Then the same archive again, whose layers lamina has as blobs."""

    def measure(self, rounds: int, results: Results) -> None:
        self.start()
        self.context.mkdir()
        write_layer_files(self.context / "layer", random.Random(1), HALF * LAYERS)
        (self.context / "Dockerfile").write_text(f"FROM {BASE}\nCOPY layer /layer\n")
        self._built = -1
        first, again = f"first {ARCHIVE}", ARCHIVE
        legs = [self.leg(measure, "lamina", self._lamina) for measure in (first, again)]
        if self.docker:
            legs += [self.leg(first, "docker", self._docker), self.leg(first, "docker save|gzip", self._saved)]
        if self.buildah:
            legs += [self.leg(measure, "skopeo", self._skopeo) for measure in (first, again)]
        run_legs("archive of a changed layer of 1 GiB", legs, rounds, results, self.work / "log")

    def _changed(self, number: int) -> None:
        if number != self._built:
            (self.context / "layer" / "random-00").write_bytes(random.Random(number + 10).randbytes(1 << 20))
            self.build()
            self._built = number
        self.wipe()
        for old in self.work.glob("*.archive"):
            old.unlink()

    def _lamina(self, number: int) -> list[str]:
        self._changed(number)
        return self.lamina_command("save", "--format", "oci", "-o", str(self.work / "lamina.archive"), IMAGE)

    def _docker(self, number: int) -> list[str]:
        self._changed(number)
        assert self.docker is not None
        name = self.name(f"docker-{number}")
        output_of([DOCKER, "tag", f"{IMAGE}-{self.docker.name}", name], self.docker.environment)
        return [DOCKER, "push", name]

    def _saved(self, number: int) -> list[str]:
        self._changed(number)
        assert self.docker is not None
        save = f"{DOCKER} save {IMAGE}-{self.docker.name} | gzip -6 > {self.work}/docker.archive"
        return ["/bin/bash", "-o", "pipefail", "-ec", save]

    def _skopeo(self, number: int) -> list[str]:
        self._changed(number)
        return _skopeo(self.kept(), f"oci-archive:{self.work}/skopeo.archive:{IMAGE}")
