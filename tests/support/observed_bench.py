"""What the observer cases stand on: a bench as for runners, and a copied layer to look at."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from tests.support import observed_process
from tests.support.observed_process import Orders, Seen
from tests.support.runner_bench import RUNNERS, Bench, bench_of, environment, give
from tests.support.runner_process import MountOrder, Step
from tests.support.waiting import PATIENCE

PROGRAM = Path(observed_process.__file__)
#: The machine's Python, for what a shell cannot do.
PYTHON = str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")
LONG = "n" * 255
_MACHINE = tuple(
    MountOrder("bind", path, path) for path in ("/usr", "/lib", "/lib64", sys.base_prefix) if Path(path).exists()
)


def copied_layer(folder: Path, owner: tuple[int, int]) -> Path:
    """A layer as COPY makes it, below `/app`."""
    app = folder / "app"
    (app / "dir/deep").mkdir(parents=True)
    (app / "pkg").mkdir()
    for name in ("a", "b", "dir/x", "dir/y", "dir/deep/z", "pkg/other.py", LONG):
        (app / name).write_text(f"{name}\n")
    (app / "pkg/__init__.py").write_text("")
    (app / "pkg/mod.py").write_text("VALUE = 7\n")
    (app / "empty").touch()
    (app / "tool").write_text("#!/bin/sh\necho tool\n")
    (app / "tool").chmod(0o755)
    (app / "link").symlink_to("dir/x")
    (app / "big").write_bytes(bytes(range(256)) * 4096)
    (app / "tagged").touch()
    os.setxattr(app / "tagged", "user.note", b"kept")
    Path(os.fsdecode(os.fsencode(app) + b"/odd\xff")).write_text("odd\n")
    with (app / "hole").open("wb") as hole:
        hole.seek(1 << 20)
        hole.write(b"end")
    give(folder, owner)
    return folder


class ObserverBench:
    """Runs steps with one runner on one rung, the copied layer observed."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.device = bench.folder / "fuse"
        # Everywhere but on this machine, perhaps, the device is open to all.
        os.mknod(self.device, 0o666 | stat.S_IFCHR, os.makedev(10, 229))
        self.device.chmod(0o666)
        self.copied = copied_layer(bench.layer("copied"), bench.owner)
        (bench.base / "way").symlink_to("/app/dir")

    def shell(self, script: str, **options: object) -> Step:
        return self.bench.step(script, layers=(str(self.copied), str(self.bench.base)), **options)

    def python(self, script: str, **options: object) -> Step:
        prelude = "import sys; sys.dont_write_bytecode = True\n"
        argv = (PYTHON, "-S", "-E", "-c", prelude + script)
        return self.shell("", argv=argv, mounts=_MACHINE, **options)

    def command(self, steps: Sequence[Step], killed: bool = False, device: Path | None = None) -> list[str]:
        orders = self.bench.folder / f"orders{self.bench.steps}.json"
        given = Orders(self.bench.runtime, str(device or self.device), tuple(steps), killed)
        orders.write_bytes(msgspec.json.encode(given))
        return [sys.executable, str(PROGRAM), str(orders), *([self.bench.user] if self.bench.user else [])]

    def observe(self, *steps: Step, killed: bool = False, device: Path | None = None) -> list[Seen]:
        command = self.command(steps, killed, device)
        done = subprocess.run(command, env=environment(), capture_output=True, timeout=PATIENCE, umask=0o077)
        assert done.returncode == 0, done.stderr.decode()
        return msgspec.json.decode(done.stdout, type=list[Seen])


@contextmanager
def observer_bench(name: str) -> Iterator[ObserverBench]:
    with bench_of(*RUNNERS[name]) as bench:
        yield ObserverBench(bench)
