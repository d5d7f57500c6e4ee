"""Whether programs of another architecture run here: by the processor itself, or by an emulator that the kernel starts
for them (binfmt_misc, Documentation/admin-guide/binfmt-misc.rst of the kernel)."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.oci.platform import normal_architecture


class _Program(Struct, frozen=True):
    """A program that exits at once with status 0: its machine code, and what its ELF header says (elf(5))."""

    machine: int
    code: str
    bits: int = 64
    order: str = "<"
    flags: int = 0

    def elf(self) -> bytes:
        """The whole file: a header, one segment that holds everything, the code."""
        wide = self.bits == 64
        header, segment = (64, 56) if wide else (52, 32)
        base = 0x400000
        code = bytes.fromhex(self.code)
        size = header + segment + len(code)
        ident = b"\x7fELF" + bytes((2 if wide else 1, 1 if self.order == "<" else 2, 1)) + bytes(9)
        address = "Q" if wide else "I"
        rest = struct.pack(
            f"{self.order}HHI{address * 3}IHHHHHH",
            *(2, self.machine, 1, base + header + segment, header, 0, self.flags, header, segment, 1, 0, 0, 0),
        )
        if wide:
            load = struct.pack(f"{self.order}IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x10000)
        else:
            load = struct.pack(f"{self.order}IIIIIIII", 1, 0, base, base, size, size, 5, 0x10000)
        return ident + rest + load + code


#: `exit(0)` by the architectures' OCI names.
PROGRAMS = {
    "386": _Program(3, "b801000000 31db cd80", bits=32),
    "amd64": _Program(62, "b83c000000 31ff 0f05"),
    "arm": _Program(40, "0170a0e3 0000a0e3 000000ef", bits=32, flags=0x05000000),
    "arm64": _Program(183, "a80b80d2 000080d2 010000d4"),
    "loong64": _Program(258, "0b748102 04008002 00002b00", flags=0x43),
    "mips64le": _Program(8, "c2130224 25200000 0c000000", flags=0x80000000),
    "ppc64le": _Program(21, "01000038 00006038 02000044", flags=2),
    "riscv64": _Program(243, "9308d005 13050000 73000000", flags=4),
    "s390x": _Program(22, "a7290000 0a01", order=">"),
}

_known_to_run: set[str] = set()


def check(architecture: str, scratch: Path) -> None:
    """Raises BuildFailure `runtime-foreign-platform` if a program for this architecture (OCI name; empty: this
    machine's) would not run in a step. Finds out by running one, in a root of its own below the folder `scratch`."""
    if not architecture or architecture == normal_architecture(os.uname().machine) or architecture in _known_to_run:
        return
    program = PROGRAMS.get(architecture)
    if program is None:
        raise BuildFailure("runtime-foreign-platform", f"lamina knows no way to run programs for {architecture}")
    root = scratch / "foreign"
    root.mkdir(mode=0o755, exist_ok=True)
    (root / "exit").write_bytes(program.elf())
    (root / "exit").chmod(0o755)
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    try:
        subprocess.run([root / "exit"], stdin=subprocess.DEVNULL, capture_output=True, env=environment, check=True)
    except (OSError, subprocess.CalledProcessError) as failed:
        raise _refused(
            architecture,
            failed.strerror if isinstance(failed, OSError) else str(failed),
            "`sudo apt-get install qemu-user-static binfmt-support` registers emulators for other architectures",
        ) from failed
    done = subprocess.run(
        ["chroot", str(root), "/exit"], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment
    )
    if done.returncode != 0:
        raise _refused(
            architecture,
            done.stderr.strip() or None,
            "register the emulator with binfmt_misc's flag F, so that it is found from inside a step",
        )
    _known_to_run.add(architecture)


def _refused(architecture: str, cause: str | None, hint: str) -> BuildFailure:
    return BuildFailure(
        "runtime-foreign-platform", f"this machine does not run programs for {architecture}", cause=cause, hint=hint
    )
