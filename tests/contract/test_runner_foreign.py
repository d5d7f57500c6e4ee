"""`ports.Runner`: steps for other architectures run where the kernel has an emulator for them, and nowhere else."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.support.runner_bench import RUNNERS, Bench, bench_of, give

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


def says_hello() -> bytes:
    """A program for arm64 that prints `hello` and exits with status 3."""
    text = b"hello\n"
    # mov x8, 64 (write); mov x0, 1; adr x1, text; mov x2, length; svc 0; mov x8, 93 (exit); mov x0, 3; svc 0; text
    words = [0xD2800808, 0xD2800020, 0x100000C1, 0xD2800002 | len(text) << 5, 0xD4000001]
    words += [0xD2800BA8, 0xD2800060, 0xD4000001]
    return replace(PROGRAMS["arm64"], code=(struct.pack("<8I", *words) + text).hex()).elf()


@pytest.mark.parametrize("uid", [0, 1000])
def test_a_foreign_step_runs_under_a_registered_emulator(bench: Bench, uid: int) -> None:
    layer = bench.layer("arm64")
    (layer / "hello").write_bytes(says_hello())
    (layer / "hello").chmod(0o755)
    give(layer, bench.owner)
    with registered("F"):
        done = bench.run("", argv=("/hello",), layers=(str(layer),), architecture="arm64", uid=uid, gid=uid)
    assert (done.code, done.out) == (3, "hello\n"), done


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
