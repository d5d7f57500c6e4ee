"""The tools that are compared, each behind the same few methods, with a store of its own below one directory."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from pathlib import Path

from bench.dockerd import Dockerd
from bench.measure import DaemonMemory, Sample, output_of, timed, written_out

BASE = "bench-base"
IMAGE = "bench-image"

#: Parts of the names of measures.
NOOP, PLAN, ORDINARY = "noop-", "plan-", " ordinary"
BARE = "python -c pass"


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
    def load_base(self, rootfs: Path, name: str = BASE) -> None:
        """Make the root file system tar known as the image `name`."""

    @abstractmethod
    def build_command(self, context: Path) -> list[str]:
        """The command that builds `context`/Dockerfile as the image `IMAGE`."""

    @abstractmethod
    def identity(self) -> str:
        """What tells the image `IMAGE` from other images."""

    def beside(self, workload: str, context: Path) -> dict[str, list[str]]:
        """Further commands that are measured in each round of a workload, by the name of their measure."""
        return {}

    def build(self, context: Path) -> Sample:
        """Build, measured. Raises CommandFailed."""
        return self.run(self.build_command(context))

    def run(self, command: list[str]) -> Sample:
        """Run a command, measured. Raises CommandFailed.

        What earlier builds have left for the disk is written first: a tool that syncs would pay for the others' data.
        """
        written_out(self.work)
        self.memory.reset()
        sample = timed(command, self.environment, self.work / f"{self.name}.log")
        return Sample(sample.seconds, sample.peak_mib + self.memory.peak_mib())


class Lamina(Tool):
    """The command of the environment that runs the benchmark."""

    name = "lamina"

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        self.command = str(Path(sys.executable).parent / "lamina")
        self.root = work / "lamina"
        self.environment["LAMINA_ROOT"] = str(self.root)
        # Compiled modules as an installed package has them, but outside the checkout, which they may not be written to.
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.environment["PYTHONPYCACHEPREFIX"] = str(work / "compiled")

    def version(self) -> str:
        return output_of([self.command, "--version"], self.environment)

    def load_base(self, rootfs: Path, name: str = BASE) -> None:
        output_of([self.command, "import", str(rootfs), name], self.environment)

    def build_command(self, context: Path) -> list[str]:
        return [self.command, "build", "--progress", "plain", "--network", "host", "-t", IMAGE, str(context)]

    def beside(self, workload: str, context: Path) -> dict[str, list[str]]:
        """For a no-op: the way of a build that has no memo, which is that of any command line with `--iidfile`, a plan,
        and in the smallest case the bare start of the interpreter that runs lamina."""
        if not workload.startswith(NOOP):
            return {}
        image_id = ["--iidfile", str(self.work / "iid")]
        commands = {
            f"{workload}{ORDINARY}": [*self.build_command(context)[:-1], *image_id, str(context)],
            workload.replace(NOOP, PLAN, 1): [self.command, "plan", "--network", "host", str(context)],
        }
        return commands | ({BARE: [sys.executable, "-c", "pass"]} if workload == f"{NOOP}100" else {})

    def run(self, command: list[str]) -> Sample:
        logs = self.root / "logs"
        before = len(os.listdir(logs))
        sample = super().run(command)
        # A build that walks through its steps writes a log; the memo's answer writes nothing.
        return Sample(sample.seconds, sample.peak_mib, "build" in command and len(os.listdir(logs)) == before)

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

    def load_base(self, rootfs: Path, name: str = BASE) -> None:
        output_of(["/usr/bin/docker", "import", str(rootfs), name], self.environment)

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

    def load_base(self, rootfs: Path, name: str = BASE) -> None:
        seed = self.work / f"buildah-{name}"
        seed.mkdir()
        (seed / "rootfs.tar").hardlink_to(rootfs)
        (seed / "Dockerfile").write_text("FROM scratch\nADD rootfs.tar /\n")
        output_of(self._buildah("build", "-t", name, str(seed)), self.environment)

    def build_command(self, context: Path) -> list[str]:
        how = ["--layers", "--isolation", "oci", "--runtime", "runc", "--network", "host", "--pull-never"]
        return self._buildah("build", *how, "-t", IMAGE, str(context))

    def identity(self) -> str:
        return output_of(
            self._buildah("inspect", "--type", "image", "--format", "{{.FromImageID}}", IMAGE), self.environment
        )
