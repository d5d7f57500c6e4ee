"""The system calls that a step may use: `syscalls/profile.json`, and the same compiled for the kernel.

`tools/compile_seccomp.py` makes the compiled files from the profile.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import msgspec

from lamina.diagnostics import BuildFailure

_FOLDER = Path(__file__).with_name("syscalls")
_ARCHITECTURES = {
    "x86_64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86"),
    "aarch64": ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
}


def has_filter() -> bool:
    """Whether there is a compiled filter for this machine."""
    return _filter().exists()


def _filter() -> Path:
    return _FOLDER / f"{platform.machine()}.bpf"


def open_filter() -> int:
    """A descriptor of this machine's compiled filter (struct sock_filter in a row); the caller closes it."""
    try:
        return os.open(_filter(), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise BuildFailure(
            "runtime-no-seccomp-filter",
            f"there is no system call filter for {platform.machine()}",
            hint="choose an OCI runtime with `--runtime runc`",
        ) from None


class _Condition(msgspec.Struct):
    name: str
    argument: int
    below: int = 0
    values: tuple[int, ...] = ()
    without_bits: int = 0


class _Machine(msgspec.Struct):
    allow: tuple[str, ...]


class _Profile(msgspec.Struct):
    refuse: int
    allow: tuple[str, ...]
    conditions: tuple[_Condition, ...]
    errors: dict[str, int]
    machines: dict[str, _Machine]


#: Made on import, which is one thread's: msgspec (0.22) crashes when two look at a type for the first time at once.
_PROFILE = msgspec.json.Decoder(_Profile)


def oci_section() -> dict[str, Any]:
    """The profile as `linux.seccomp` of an OCI configuration (runtime-spec, config-linux.md)."""
    profile = _PROFILE.decode((_FOLDER / "profile.json").read_bytes())
    machine = profile.machines.get(platform.machine())
    names = " ".join((*profile.allow, *(machine.allow if machine else ()))).split()
    rules: list[dict[str, Any]] = [{"names": names, "action": "SCMP_ACT_ALLOW"}]
    for condition in profile.conditions:
        rules += [_rule(condition, test) for test in _tests(condition)]
    for name, error in profile.errors.items():
        rules.append({"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": error})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": profile.refuse,
        "architectures": list(_ARCHITECTURES.get(platform.machine(), ())),
        "syscalls": rules,
    }


def _tests(condition: _Condition) -> list[dict[str, Any]]:
    """Each of these alone allows the call."""
    tests: list[dict[str, Any]] = [{"value": value, "op": "SCMP_CMP_EQ"} for value in condition.values]
    if condition.below:
        tests.append({"value": condition.below, "op": "SCMP_CMP_LT"})
    if condition.without_bits:
        tests.append({"value": condition.without_bits, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"})
    return tests


def _rule(condition: _Condition, test: dict[str, Any]) -> dict[str, Any]:
    return {"names": [condition.name], "action": "SCMP_ACT_ALLOW", "args": [{"index": condition.argument, **test}]}
