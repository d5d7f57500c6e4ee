"""A full cache hit on an empty store, everything from a registry: lamina, BuildKit with its inline cache, Buildah.

Each tool fills the registry once in its own way (`--cache-to`, `BUILDKIT_INLINE_CACHE=1` and a push, `--cache-to`).
Then, in each round, a store that has nothing builds the same project: the build alone, the build with a push of the
result under a new name, and the build with one command run in the result. The base comes from the registry as well.
After the build alone lamina has the layers as blobs, the others unpacked.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.bigimage import write_layer_files
from bench.dockerd import Dockerd, unmount_below
from bench.legs import Leg, run_legs, script
from bench.lesson import LESSON_BASE, Lesson, lesson_rootfs
from bench.measure import DaemonMemory, cleared, output_of
from bench.peers import BASE, IMAGE, Lamina
from bench.table import Results
from tests.support.base_images import busybox_rootfs
from tests.support.registry_server import running_registry

LESSON, FIFTEEN = "shared-lesson", "shared-15"
CASES = (LESSON, FIFTEEN)
DOCKER = "/usr/bin/docker"
#: Steps of the made-up project, and the bytes of each one's layer.
STEPS, _STEP = 15, 20 << 20


def shared_hits(cases: Sequence[str], tools: Sequence[str], work: Path, rounds: int, results: Results) -> None:
    """Measure those of `CASES` that are asked for, below `work`. Raises CommandFailed."""
    for case in CASES:
        if case in cases:
            place = work / case
            place.mkdir()
            try:
                with ExitStack() as stack:
                    _Shared(case, tools, place, stack).measure(rounds, results)
            finally:
                unmount_below(place)
                cleared(place)


class _Shared:
    """One project and a registry; Docker's daemons and the registry stop with `stack`."""

    def __init__(self, case: str, tools: Sequence[str], work: Path, stack: ExitStack) -> None:
        self._case = case
        self._work = work
        self._context = work / "context"
        self._host = stack.enter_context(running_registry(work / "registry")).host
        self._lamina = Lamina(work)
        self._stack = stack
        self._daemon = stack.enter_context(ExitStack())
        self._docker = [DOCKER]
        self._memory = DaemonMemory(())
        #: tool → its commands, whose memory counts beside theirs, and what it says of a cached step
        self._ways: dict[str, tuple[_Commands, Callable[[], DaemonMemory], str]] = {
            "lamina": (self._with_lamina, lambda: DaemonMemory(()), "from the shared cache"),
            "buildkit": (self._with_docker, lambda: self._memory, "CACHED"),
            "buildah": (self._with_buildah, lambda: DaemonMemory(()), "Using cache"),
        }
        self._tools = [tool for tool in self._ways if tool in tools]

    def measure(self, rounds: int, results: Results) -> None:
        steps = self._project()
        for tool in self._tools:
            commands, _, _ = self._ways[tool]
            output_of(script(*commands("fill", "fill")), self._environment(tool))
        legs = [self._leg(kind, tool, steps) for kind in ("build", "push", "run") for tool in self._tools]
        run_legs(f"full hit on an empty store, {self._case}", legs, rounds, results, self._work / "log")

    def _leg(self, kind: str, tool: str, steps: int) -> Leg:
        commands, memory, proof = self._ways[tool]

        def before(number: int) -> list[str]:
            return script(*commands(kind, f"{kind}-{number}"))

        return Leg(f"{self._case} {kind}", tool, before, self._environment(tool), memory, proof, steps)

    def _environment(self, tool: str) -> dict[str, str]:
        return self._lamina.environment if tool == "lamina" else {**os.environ, "DOCKER_BUILDKIT": "1"}

    def _project(self) -> int:
        """Make the context and push its base; returns the number of steps."""
        lesson = self._case == LESSON
        base = f"{self._host}/{LESSON_BASE if lesson else BASE}"
        self._lamina.load_base(lesson_rootfs(self._work) if lesson else busybox_rootfs(self._work), base)
        output_of([self._lamina.command, "push", base], self._lamina.environment)
        if not lesson:
            return _write_fifteen(self._context, base)
        workload = Lesson(self._work, "good")
        workload.context = self._context
        workload.prepare()
        file = self._context / "Dockerfile"
        file.write_text(file.read_text().replace(f"FROM {LESSON_BASE}\n", f"FROM {base}\n"))
        return sum(line.startswith(("RUN", "COPY", "WORKDIR")) for line in file.read_text().splitlines())

    # --- the tools: what fills the registry with its cache, and what uses that in a store named `place` --------------
    def _with_lamina(self, kind: str, place: str) -> list[list[str]]:
        lamina, root = self._lamina.command, ["--root", str(self._work / f"lamina-{place}")]
        name = f"{self._host}/lamina-{place}" if kind == "push" else IMAGE
        build = [lamina, "build", *root, "--progress", "plain", "--network", "host", "-t", name]
        build += ["--cache-to" if kind == "fill" else "--cache-from", f"type=registry,ref={self._host}/lamina-cache"]
        build += ["--push"] if kind == "push" else []
        run = [[lamina, "run", *root, IMAGE, "true"]] if kind == "run" else []
        return [[*build, str(self._context)], *run]

    def _with_docker(self, kind: str, place: str) -> list[list[str]]:
        """With a daemon of its own, which the one before makes way for."""
        self._daemon.close()
        folder = self._work / f"docker-{place}"
        folder.mkdir()
        daemon = self._daemon.enter_context(Dockerd(folder))
        self._memory = DaemonMemory(daemon.pids())
        docker, cache = [DOCKER, "--host", daemon.address], f"{self._host}/docker-cache"
        build = [*docker, "build", "--progress", "plain", "--network", "host"]
        if kind == "fill":
            build += ["-t", cache, "--build-arg", "BUILDKIT_INLINE_CACHE=1", str(self._context)]
            return [build, [*docker, "push", cache]]
        name = f"{self._host}/docker-{place}"
        after = {
            "push": [[*docker, "push", name]],
            "run": [[*docker, "run", "--rm", "--network", "none", name, "true"]],
        }
        return [[*build, "-t", name, "--cache-from", cache, str(self._context)], *after.get(kind, [])]

    def _with_buildah(self, kind: str, place: str) -> list[list[str]]:
        buildah = [
            "buildah",
            "--root",
            f"{self._work}/buildah-{place}",
            "--runroot",
            f"{self._work}/buildah-{place}-run",
        ]
        buildah += ["--storage-driver", "overlay"]
        how, cache = ["--isolation", "oci", "--runtime", "runc", "--network", "host"], f"{self._host}/buildah-cache"
        build = [*buildah, "build", "--layers", *how, "--tls-verify=false", "--cache-from", cache, "-t", IMAGE]
        build += ["--cache-to", cache] if kind == "fill" else []
        name = "bench-container"
        after = {
            "push": [[*buildah, "push", "--tls-verify=false", IMAGE, f"docker://{self._host}/buildah-{place}"]],
            "run": [
                [*buildah, "from", "--pull-never", "--name", name, IMAGE],
                [*buildah, "run", *how, name, "true"],
            ],
        }
        return [[*build, str(self._context)], *after.get(kind, [])]


_Commands = Callable[[str, str], list[list[str]]]


def _write_fifteen(context: Path, base: str) -> int:
    """A project of fifteen steps with a layer of 20 MiB each: folders that are copied, and commands that pack them."""
    context.mkdir()
    source, lines = random.Random(3), [f"FROM {base}"]
    for number in range(STEPS):
        if number % 2 == 0:
            write_layer_files(context / f"part-{number}", source, _STEP // 2)
            lines.append(f"COPY part-{number} /part-{number}")
        else:
            lines.append(f"RUN tar -cf /packed-{number} part-{number - 1}")
    (context / "Dockerfile").write_text("\n".join(lines) + "\n")
    return STEPS
