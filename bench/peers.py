"""The tools that are compared, each behind the same few methods, with a store of its own below one directory."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from pathlib import Path

from bench.dockerd import Dockerd
from bench.measure import DaemonMemory, Sample, output_of, timed

BASE = "bench-base"
IMAGE = "bench-image"


class Tool(ABC):
    """A builder of images from the command line."""

    name: str

    def __init__(self, work: Path) -> None:
        self.work = work
        self.environment = dict(os.environ)
        self.memory = DaemonMemory(())

    @abstractmethod
    def version(self) -> str:
        """One line."""

    @abstractmethod
    def load_base(self, rootfs: Path) -> None:
        """Make the root file system tar known as the image `BASE`."""

    @abstractmethod
    def build_command(self, context: Path) -> list[str]:
        """The command that builds `context`/Dockerfile as the image `IMAGE`."""

    @abstractmethod
    def identity(self) -> str:
        """What tells the image `IMAGE` from other images."""

    def build(self, context: Path) -> Sample:
        """Build, measured. Raises CommandFailed.

        What earlier builds have left for the disk is written first: a tool that syncs would pay for the others' data.
        """
        os.sync()
        self.memory.reset()
        sample = timed(self.build_command(context), self.environment, self.work / f"{self.name}.log")
        return Sample(sample.seconds, sample.peak_mib + self.memory.peak_mib())


class Lamina(Tool):
    """The command of the environment that runs the benchmark."""

    name = "lamina"

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        self.command = str(Path(sys.executable).parent / "lamina")
        self.environment["LAMINA_ROOT"] = str(work / "lamina")

    def version(self) -> str:
        return output_of([self.command, "--version"], self.environment)

    def load_base(self, rootfs: Path) -> None:
        output_of([self.command, "import", str(rootfs), BASE], self.environment)

    def build_command(self, context: Path) -> list[str]:
        return [self.command, "build", "--progress", "plain", "--network", "host", "-t", IMAGE, str(context)]

    def identity(self) -> str:
        return output_of([self.command, "inspect", IMAGE], self.environment)


class Docker(Tool):
    """Docker's client with one of the daemon's two builders: BuildKit or the classic one."""

    def __init__(self, work: Path, daemon: Dockerd, buildkit: bool) -> None:
        super().__init__(work)
        self.name = "buildkit" if buildkit else "classic"
        self.memory = DaemonMemory(daemon.pids())
        config = work / "docker-config"
        self.environment |= {
            "DOCKER_HOST": daemon.address,
            "DOCKER_CONFIG": str(config),
            "DOCKER_BUILDKIT": str(int(buildkit)),
        }

    def version(self) -> str:
        return output_of(["/usr/bin/docker", "--version"], self.environment)

    def load_base(self, rootfs: Path) -> None:
        output_of(["/usr/bin/docker", "import", str(rootfs), BASE], self.environment)

    def build_command(self, context: Path) -> list[str]:
        return ["/usr/bin/docker", "build", "--network", "host", "-t", f"{IMAGE}-{self.name}", str(context)]

    def identity(self) -> str:
        form = ["--format", "{{.Id}}"]
        return output_of(["/usr/bin/docker", "image", "inspect", *form, f"{IMAGE}-{self.name}"], self.environment)


class Buildah(Tool):
    """Buildah with its layer cache on, overlay storage, and runc as in its default isolation."""

    name = "buildah"

    def _buildah(self, *arguments: str) -> list[str]:
        stores = ["--root", str(self.work / "buildah"), "--runroot", str(self.work / "buildah-run")]
        return ["buildah", *stores, "--storage-driver", "overlay", *arguments]

    def version(self) -> str:
        return output_of(["buildah", "--version"], self.environment)

    def load_base(self, rootfs: Path) -> None:
        seed = self.work / "buildah-seed"
        seed.mkdir()
        (seed / "rootfs.tar").hardlink_to(rootfs)
        (seed / "Dockerfile").write_text("FROM scratch\nADD rootfs.tar /\n")
        output_of(self._buildah("build", "-t", BASE, str(seed)), self.environment)

    def build_command(self, context: Path) -> list[str]:
        how = ["--layers", "--isolation", "oci", "--runtime", "runc", "--network", "host", "--pull-never"]
        return self._buildah("build", *how, "-t", IMAGE, str(context))

    def identity(self) -> str:
        return output_of(
            self._buildah("inspect", "--type", "image", "--format", "{{.FromImageID}}", IMAGE), self.environment
        )
