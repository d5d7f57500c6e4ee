"""What doctor finds on this machine, and the lines that mend what a machine lacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lamina.runtime.doctor import Finding, examine, steps_can_run
from lamina.runtime.namespace import mend
from lamina.runtime.overlay import on_overlay


def test_this_machine_is_examined(tmp_path: Path) -> None:
    findings = {finding.name: finding for finding in examine(tmp_path / "store")}
    assert not list(tmp_path.iterdir())
    assert list(findings) == [
        *("kernel", "user namespaces", "sub-uids", "overlay", "bubblewrap", "OCI runtimes", "seccomp", "FUSE"),
        "cgroups",
    ]
    for name in ("kernel", "user namespaces", "overlay", "bubblewrap", "OCI runtimes", "seccomp"):
        assert findings[name].ok, findings[name]
    assert findings["overlay"].detail == "root, trusted.overlay attributes"
    assert "bubblewrap" in findings["bubblewrap"].detail
    assert "runc" in findings["OCI runtimes"].detail


def test_what_is_missing_comes_with_a_line_that_mends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamina.runtime.programs.find", lambda name: None)
    monkeypatch.setattr("lamina.runtime.programs._bundled_bubblewrap", lambda: None)
    findings = {finding.name: finding for finding in examine(tmp_path)}
    for name in ("bubblewrap", "OCI runtimes"):
        assert not findings[name].ok
        assert "apt-get install" in (findings[name].mend or "")


def test_fuse_is_mended_by_what_is_wrong_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path / "fuse"
    monkeypatch.setattr("lamina.runtime.doctor._DEVICE", device)
    assert {finding.name: finding.mend for finding in examine(tmp_path)}["FUSE"] == "sudo modprobe fuse"
    device.touch(mode=0o600)
    monkeypatch.setattr("os.access", lambda path, mode: path != device)
    assert {finding.name: finding.mend for finding in examine(tmp_path)}["FUSE"] == f"sudo chmod 666 {device}"


def test_a_store_on_an_overlay_is_named(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("lower", "upper", "work", "root")]
    for folder in folders:
        folder.mkdir()
    lower, upper, work, root = folders
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "o", "-o", options, root], check=True)
    try:
        found = {finding.name: finding for finding in examine(root / "store")}["overlay"]
        assert on_overlay(root)
        assert not on_overlay(tmp_path)
    finally:
        subprocess.run(["umount", root], check=True)
    # Some kernels and file systems allow one overlay upon another; this is about the words where they do not.
    assert found.ok or "volume" in (found.mend or "")


def test_steps_run_with_mounts_and_one_program_that_isolates() -> None:
    def can_run(*works: str) -> bool:
        names = ("overlay", "bubblewrap", "OCI runtimes", "FUSE")
        return steps_can_run([Finding(name, name in works, "") for name in names])

    assert can_run("overlay", "bubblewrap")
    assert can_run("overlay", "OCI runtimes")
    assert not can_run("overlay", "FUSE")
    assert not can_run("bubblewrap", "OCI runtimes")


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
