"""What doctor finds on this machine, and the lines that mend what a machine lacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lamina.runtime.doctor import examine
from lamina.runtime.namespace import mend


def test_this_machine_is_examined() -> None:
    findings = {finding.name: finding for finding in examine()}
    assert list(findings) == [
        *("kernel", "user namespaces", "sub-uids", "overlay", "bubblewrap", "OCI runtimes", "seccomp", "FUSE"),
        "cgroups",
    ]
    for name in ("kernel", "user namespaces", "overlay", "bubblewrap", "OCI runtimes", "seccomp"):
        assert findings[name].ok, findings[name]
    assert findings["overlay"].detail == "root, trusted.overlay attributes"
    assert "bubblewrap" in findings["bubblewrap"].detail
    assert "runc" in findings["OCI runtimes"].detail


def test_what_is_missing_comes_with_a_line_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamina.runtime.programs.find", lambda name: None)
    monkeypatch.setattr("lamina.runtime.programs._bundled_bubblewrap", lambda: None)
    findings = {finding.name: finding for finding in examine()}
    for name in ("bubblewrap", "OCI runtimes"):
        assert not findings[name].ok
        assert "apt-get install" in (findings[name].mend or "")


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"),
        ("user/max_user_namespaces", "0", "user.max_user_namespaces="),
        ("user/max_user_namespaces", "100", "run lamina as root"),
    ],
)
def test_kernel_settings_that_forbid_namespaces_are_named(tmp_path: Path, setting: str, value: str, words: str) -> None:
    (tmp_path / setting).parent.mkdir(parents=True)
    (tmp_path / setting).write_text(value + "\n")
    assert words in mend(tmp_path)


def test_a_thread_that_came_first_is_refused() -> None:
    program = (
        "import threading\nfrom lamina.diagnostics import BuildFailure\nfrom lamina.runtime.namespace import enter\n"
        "stop = threading.Event()\nthreading.Thread(target=stop.wait).start()\n"
        "try:\n    enter()\nexcept BuildFailure as failure:\n    print(failure.diagnostic.reference)\nstop.set()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True
    )
    assert done.stdout == "internal-late-namespace\n", done.stderr
