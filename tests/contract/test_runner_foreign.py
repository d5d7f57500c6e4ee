"""`ports.Runner`: steps for other architectures run where the kernel has an emulator for them, and nowhere else."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.runner_bench import APPLETS, RUNNERS, Bench, bench_of, give

from lamina.runtime.foreign import PROGRAMS

#: Debian's names of the emulators that are called otherwise than the architecture.
EMULATORS = {
    "386": "i386",
    "amd64": "x86_64",
    "arm64": "aarch64",
    "loong64": "loongarch64",
    "mips64le": "mips64el",
}
#: Of an ELF file for arm64 (elf(5)): magic, 64 bits, little end first, executable, EM_AARCH64; and what of it counts.
MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"


def emulator(architecture: str) -> str | None:
    return shutil.which(f"qemu-{EMULATORS.get(architecture, architecture)}-static")


@pytest.mark.parametrize("architecture", [name for name in PROGRAMS if name != "loong64"])
def test_the_programs_that_probe_do_nothing_successfully(tmp_path: Path, architecture: str) -> None:
    program = tmp_path / "exit"
    program.write_bytes(PROGRAMS[architecture].elf())
    program.chmod(0o755)
    qemu = emulator(architecture)
    assert qemu is not None
    done = subprocess.run([qemu, program], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


@contextmanager
def registered(flags: str) -> Iterator[None]:
    """An emulator for arm64 in the kernel's list while the block runs; nobody else changes the list meanwhile."""
    place = Path("/proc/sys/fs/binfmt_misc")
    name = f"lamina-test-{os.getpid()}"
    with Path("/run/lamina-binfmt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mounted = (place / "register").exists()
        if not mounted:
            subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", place], check=True)
        try:
            if flags != "none":
                (place / "register").write_text(f":{name}:M::{MAGIC}:{MASK}:{emulator('arm64')}:{flags}")
            yield
        finally:
            if flags != "none":
                (place / name).write_text("-1")
            if not mounted:
                subprocess.run(["umount", place], check=True)


@pytest.fixture(params=RUNNERS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with bench_of(*RUNNERS[request.param]) as bench:
        yield bench


@pytest.fixture(scope="session")
def arm64_busybox() -> Iterator[Path]:
    """Debian's busybox for arm64, fetched and unpacked without installing anything."""
    with tempfile.TemporaryDirectory(prefix="lamina-arm64-") as name:
        folder = Path(name)
        for part in ("lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True)
        options = ("-o", "APT::Architectures::=arm64", "-o", f"Dir::State::lists={folder}/lists")
        options += ("-o", f"Dir::Cache={folder}/cache", "-o", "APT::Sandbox::User=root")
        subprocess.run(["apt-get", *options, "-qq", "update"], check=True, capture_output=True)
        subprocess.run(
            ["apt-get", *options, "-qq", "download", "busybox-static:arm64"],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        package = next(folder.glob("*.deb"))
        subprocess.run(["dpkg-deb", "--extract", package, folder / "unpacked"], check=True)
        yield next((folder / "unpacked").glob("**/bin/busybox"))


def foreign_root(bench: Bench, busybox: Path) -> str:
    folder = bench.layer("arm64")
    (folder / "bin").mkdir()
    shutil.copy(busybox, folder / "bin/busybox")
    for applet in APPLETS:
        (folder / "bin" / applet).symlink_to("busybox")
    give(folder, bench.owner)
    return str(folder)


def test_a_foreign_step_runs_under_a_registered_emulator(bench: Bench, arm64_busybox: Path) -> None:
    layers = (foreign_root(bench, arm64_busybox),)
    with registered("F"):
        done, other = bench.perform(
            bench.step("uname -m; echo x >/made; exit 3", layers=layers, architecture="arm64"),
            bench.step("id -u", layers=layers, architecture="arm64", uid=1000, gid=1000),
        )
    assert (done.code, done.out) == (3, "aarch64\n"), done
    assert (bench.folder / "step1/upper/made").read_text() == "x\n"
    assert other.out == "1000\n"


@pytest.mark.parametrize("flags", ["none", ""])
def test_a_foreign_step_without_an_emulator_in_reach_is_refused(bench: Bench, flags: str) -> None:
    with registered(flags):
        done = bench.run("true", architecture="arm64")
    assert done.failure == "runtime-foreign-platform"
    assert "arm64" in (done.message or "")
    expected = "flag F" if flags == "" else "qemu-user-static"
    assert expected in (done.hint or "")


def test_an_architecture_that_is_unknown_is_refused(bench: Bench) -> None:
    assert bench.run("true", architecture="pdp11").failure == "runtime-foreign-platform"


def test_the_machines_own_architecture_needs_nothing(bench: Bench) -> None:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    done = bench.run("true", architecture=machine)
    assert done.code == 0
    assert not (bench.folder / "step1/scratch/foreign").exists()


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the older architecture is x86_64's")
def test_a_processor_runs_its_own_older_architecture(bench: Bench) -> None:
    assert bench.run("true", architecture="386").code == 0
