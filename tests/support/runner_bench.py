"""What the runner cases stand on: a small root file system, an ordinary user, and a way to run steps as either."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from tests.support.runner_process import Orders, Outcome, Step
from tests.support.waiting import PATIENCE, removed

USER = "lamina-test"
PROGRAM = Path(__file__).with_name("runner_process.py")
# fmt: off
APPLETS = (
    "cat", "chgrp", "chmod", "chown", "chroot", "cp", "cut", "date", "dd", "echo", "env", "false", "find", "grep",
    "head", "hostname", "id", "ifconfig", "kill", "ln", "ls", "mkdir", "mknod", "mount", "mv", "nproc", "od",
    "printf", "ps", "pwd", "readlink", "rm", "rmdir", "sed", "seq", "sh", "sleep", "sort", "stat", "sync", "tail",
    "tee", "test", "touch", "tr", "true", "tty", "umount", "uname", "unshare", "wc", "xargs", "yes",
)
# fmt: on


def ordinary_user() -> pwd.struct_passwd:
    """The user for rootless cases, with sub-uids; made if it is missing."""
    with Path("/run/lamina-test.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            pwd.getpwnam(USER)
        except KeyError:
            subprocess.run(["useradd", "--system", "--no-create-home", USER], check=True)
        for option, file in (("--add-subuids", "/etc/subuid"), ("--add-subgids", "/etc/subgid")):
            if USER not in Path(file).read_text():
                subprocess.run(["usermod", option, "300000-365535", USER], check=True)
    return pwd.getpwnam(USER)


def busybox_root(folder: Path, owner: tuple[int, int]) -> Path:
    """A root file system of one static program, owned by `owner`."""
    (folder / "bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", folder / "bin/busybox")
    for applet in APPLETS:
        (folder / "bin" / applet).symlink_to("busybox")
    for name, mode in (("etc", 0o755), ("tmp", 0o1777), ("root", 0o700), ("var", 0o755), ("home", 0o755)):
        (folder / name).mkdir()
        (folder / name).chmod(mode)
    (folder / "etc/issue").write_text("busybox\n")
    give(folder, owner)
    return folder


def give(folder: Path, owner: tuple[int, int]) -> None:
    """Change the owner of everything."""
    os.chown(folder, *owner, follow_symlinks=False)
    for path in folder.rglob("*"):
        os.chown(path, *owner, follow_symlinks=False)


def environment() -> dict[str, str]:
    """Our own, with something that no step may see."""
    path = os.pathsep.join(part for part in sys.path if part)
    return {**os.environ, "PYTHONPATH": path, "LEAK": "leaked"}


class Bench:
    """Runs steps with one runner on one rung."""

    def __init__(self, folder: Path, runtime: str, rootless: bool, sub_ids: bool = True) -> None:
        self.folder = folder
        self.runtime = runtime
        self.rootless = rootless
        user = (ordinary_user() if sub_ids else pwd.getpwnam("nobody")) if rootless else None
        self.user = user.pw_name if user else None
        self.owner = (user.pw_uid, user.pw_gid) if user else (0, 0)
        os.chown(folder, *self.owner)
        self.base = busybox_root(folder / "base", self.owner)
        self.steps = 0

    @property
    def xattr(self) -> str:
        return "user" if self.rootless else "trusted"

    @property
    def upper(self) -> Path:
        """The layer that the last step made."""
        return self.folder / f"step{self.steps}" / "upper"

    def layer(self, name: str) -> Path:
        """An empty layer directory."""
        path = self.folder / name
        path.mkdir()
        os.chown(path, *self.owner)
        return path

    def step(self, script: str, **options: Any) -> Step:
        """A shell step in a fresh workspace."""
        self.steps += 1
        return Step(
            **{
                "folder": str(self.folder / f"step{self.steps}"),
                "layers": (str(self.base),),
                "argv": ("/bin/sh", "-c", script),
                "env": {"PATH": "/bin"},
                **options,
            }
        )

    def command(self, *steps: Step) -> list[str]:
        """The command line that carries the steps out."""
        orders = self.folder / f"orders{self.steps}.json"
        orders.write_bytes(msgspec.json.encode(Orders(self.runtime, steps)))
        return [sys.executable, str(PROGRAM), str(orders), *([self.user] if self.user else [])]

    def run(self, script: str, **options: Any) -> Outcome:
        """Carry out one step."""
        return self.perform(self.step(script, **options))[0]

    def perform(self, *steps: Step) -> list[Outcome]:
        """Carry out steps with one and the same runner."""
        command = self.command(*steps)
        done = subprocess.run(command, env=environment(), capture_output=True, timeout=PATIENCE, umask=0o077)
        assert done.returncode == 0, done.stderr.decode()
        return msgspec.json.decode(done.stdout, type=list[Outcome])


#: Every runner on every rung that it works on: name → (runtime, rootless).
RUNNERS = {
    "bubblewrap-root": ("bwrap", False),
    "bubblewrap-rootless": ("bwrap", True),
    "runc-root": ("runc", False),
    "runc-rootless": ("runc", True),
}


@contextmanager
def bench_of(runtime: str, rootless: bool, sub_ids: bool = True) -> Iterator[Bench]:
    """A bench in a folder that is removed; not below pytest's, which is closed to the user of rootless cases."""
    folder = Path(tempfile.mkdtemp(prefix="lamina-runner-"))
    folder.chmod(0o755)
    try:
        yield Bench(folder, runtime, rootless, sub_ids)
    finally:
        removed(folder)
