"""Compile the system call profile of `lamina.runtime` to seccomp filters: `python tools/compile_seccomp.py [FOLDER]`.

Writes one `<machine>.bpf` a machine next to the profile (or into FOLDER): struct sock_filter, little endian, as
`bwrap --seccomp` and seccomp(2) take it. libseccomp (PyPI package `pyseccomp`) only looks numbers up; the numbers of
calls that are newer than many a libseccomp stand in the profile, so every version makes the same files.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import msgspec

PROFILE = Path(__file__).parent.parent / "src/lamina/runtime/syscalls/profile.json"

# <linux/audit.h>, <linux/bpf_common.h>, <linux/seccomp.h>
AUDIT = {"x86_64": 0xC000003E, "x86": 0x40000003, "aarch64": 0xC00000B7, "arm": 0x40000028}
LOAD, RETURN, JUMP = 0x20, 0x06, 0x05
EQUAL, GREATER_OR_EQUAL, ANY_BIT = 0x15, 0x35, 0x45
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
NUMBER_OFFSET, ARCH_OFFSET, ARGUMENTS_OFFSET = 0, 4, 16

Instruction = tuple[int, int, int, int]


class Condition(msgspec.Struct, frozen=True):
    name: str
    argument: int
    why: str
    below: int = 0
    values: tuple[int, ...] = ()
    without_bits: int = 0


class Machine(msgspec.Struct, frozen=True):
    architectures: tuple[str, ...]
    allow: tuple[str, ...]


class Profile(msgspec.Struct, frozen=True):
    refuse: int
    unknown: int
    newest: int
    allow: tuple[str, ...]
    conditions: tuple[Condition, ...]
    errors: dict[str, int]
    machines: dict[str, Machine]
    numbers: dict[str, int]


def compile_machine(profile: Profile, machine: Machine) -> bytes:
    """The filter of one machine: its own architecture and the 32-bit one that it can run; any other is killed."""
    program: list[Instruction] = [(LOAD, 0, 0, ARCH_OFFSET)]
    for architecture in machine.architectures:
        block = _block(profile, " ".join((*profile.allow, *machine.allow)).split(), architecture)
        program += [(EQUAL, 1, 0, AUDIT[architecture]), (JUMP, 0, 0, len(block)), *block]
    program.append((RETURN, 0, 0, KILL))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


def _block(profile: Profile, allowed: list[str], architecture: str) -> list[Instruction]:
    """Decide by the call's number with a binary search; conditions on arguments follow behind the search."""
    refuse: Instruction = (RETURN, 0, 0, ERRNO | profile.refuse)
    leaves: dict[int, Instruction | Condition] = {}
    for name in allowed:
        leaves[_number(profile, architecture, name)] = (RETURN, 0, 0, ALLOW)
    for name, error in profile.errors.items():
        leaves[_number(profile, architecture, name)] = (RETURN, 0, 0, ERRNO | error)
    for condition in profile.conditions:
        leaves[_number(profile, architecture, condition.name)] = condition
    unknown: Instruction = (RETURN, 0, 0, ERRNO | profile.unknown)
    # 32-bit ARM has calls of its own far above all others, hence the two ends.
    edges = {0, profile.newest + 1, *leaves, *(number + 1 for number in leaves)}
    starts: list[tuple[int, Instruction | Condition]] = []
    for number in sorted(edge for edge in edges if edge >= 0):
        leaf = leaves.get(number, refuse if number <= profile.newest else unknown)
        if not starts or starts[-1][1] != leaf:
            starts.append((number, leaf))
    return [(LOAD, 0, 0, NUMBER_OFFSET), *_search(starts, refuse)]


def _search(starts: list[tuple[int, Instruction | Condition]], refuse: Instruction) -> list[Instruction]:
    if len(starts) == 1:
        leaf = starts[0][1]
        return _check(leaf, refuse) if isinstance(leaf, Condition) else [leaf]
    middle = len(starts) // 2
    low, high = _search(starts[:middle], refuse), _search(starts[middle:], refuse)
    if len(low) > 255:
        return [(GREATER_OR_EQUAL, 0, 1, starts[middle][0]), (JUMP, 0, 0, len(low)), *low, *high]
    return [(GREATER_OR_EQUAL, len(low), 0, starts[middle][0]), *low, *high]


def _check(condition: Condition, refuse: Instruction) -> list[Instruction]:
    """The kernel looks at 32 bits of each of these arguments, so the filter does too."""
    allow: Instruction = (RETURN, 0, 0, ALLOW)
    code: list[Instruction] = [(LOAD, 0, 0, ARGUMENTS_OFFSET + 8 * condition.argument)]
    if condition.without_bits:
        return [*code, (ANY_BIT, 1, 0, condition.without_bits), allow, refuse]
    if condition.below:
        code += [(GREATER_OR_EQUAL, 1, 0, condition.below), allow]
    for value in condition.values:
        code += [(EQUAL, 0, 1, value), allow]
    return [*code, refuse]


def _number(profile: Profile, architecture: str, name: str) -> int:
    """The call's number; negative, and so never met, on an architecture that lacks the call."""
    if name in profile.numbers:
        return profile.numbers[name]
    import pyseccomp  # type: ignore[import-untyped]

    architectures: dict[str, Any] = {
        "x86_64": pyseccomp.Arch.X86_64,
        "x86": pyseccomp.Arch.X86,
        "aarch64": pyseccomp.Arch.AARCH64,
        "arm": pyseccomp.Arch.ARM,
    }
    try:
        return int(pyseccomp.resolve_syscall(architectures[architecture], name))
    except (OSError, ValueError):
        return -1


def main(folder: Path) -> None:
    """Write the filters of all machines into `folder`."""
    profile = msgspec.json.decode(PROFILE.read_bytes(), type=Profile)
    for name, machine in profile.machines.items():
        (folder / f"{name}.bpf").write_bytes(compile_machine(profile, machine))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PROFILE.parent)
