"""The system call filter: what is committed is what the tool makes, and it is what the profile says."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from lamina.diagnostics import BuildFailure
from lamina.runtime import seccomp

REPOSITORY = Path(__file__).parents[3]
FILTERS = REPOSITORY / "src/lamina/runtime/syscalls"


def test_the_committed_filters_are_what_the_tool_makes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(REPOSITORY / "tools/compile_seccomp.py"), str(tmp_path)], check=True)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(made) == {"x86_64.bpf", "aarch64.bpf"}
    assert made == {name: (FILTERS / name).read_bytes() for name in made}


def test_filters_are_whole_instructions_that_the_kernel_takes() -> None:
    for path in FILTERS.glob("*.bpf"):
        size = path.stat().st_size
        assert size % 8 == 0
        assert 0 < size // 8 <= 4096


def test_the_runtime_configuration_holds_the_same_rules() -> None:
    section = seccomp.oci_section()
    rules = section["syscalls"]
    assert section["defaultAction"] == "SCMP_ACT_ERRNO"
    assert {"read", "chroot", "fchmodat2"} <= set(rules[0]["names"])
    assert not {"mount", "keyctl", "bpf", "unshare", "clone"} & set(rules[0]["names"])
    clone = next(rule for rule in rules if rule["names"] == ["clone"])
    assert clone["args"] == [{"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]
    assert {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38} in rules


def test_a_machine_without_a_filter_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert not seccomp.has_filter()
    with pytest.raises(BuildFailure) as failure:
        seccomp.open_filter()
    assert failure.value.diagnostic.reference == "runtime-no-seccomp-filter"
