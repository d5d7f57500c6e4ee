"""The demo's base image where Docker Hub cannot be reached: Python and pip from the machine's own Debian or Ubuntu.

`python_rootfs` makes a root file system tar with mmdebstrap and keeps it, so that only the first call takes time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

CACHE = Path(__file__).resolve().parent.parent / ".dev"
HUB = "https://registry-1.docker.io/v2/"
PACKAGES = "python3,python3-pip,ca-certificates,usr-is-merged"
# What `python:3.12-slim` leaves out as well.
UNWANTED = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")
# `python` is a command there, and pip may install into the only Python that the image has.
FINISH = 'ln -sf python3 "$1/usr/bin/python" && rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED'
# With a fixed time, Debian's tools write the same bytes whenever they run (2024-01-01).
EPOCH = "1704067200"


def docker_hub_answers(seconds: float = 4.0) -> bool:
    """True when Docker Hub's registry answers at all within `seconds`; asking for a log-in (401) is an answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(HUB, method="HEAD"), timeout=seconds):
            return True
    except urllib.error.HTTPError as error:
        return error.code == 401
    except OSError:
        return False


def python_rootfs(cache: Path = CACHE) -> Path:
    """The tar of a small Debian or Ubuntu with `python` and `pip`; made once (about half a minute), then kept.

    Needs mmdebstrap and root, or sudo. Raises CalledProcessError with mmdebstrap's output in `stderr`.
    """
    return debian_rootfs("python", PACKAGES, cache)


def debian_rootfs(name: str, packages: str, cache: Path = CACHE, *, before: str = "") -> Path:
    """The same with these packages, separated by commas. `name` is for the file's; `before` a shell command that runs
    ahead of the packages' own, `$1` being the new root."""
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "bookworm")
    command = _command(suite, packages)
    if before:
        command.insert(command.index("--quiet"), f"--essential-hook={before}")
    recipe = hashlib.sha256("\0".join(command).encode()).hexdigest()[:12]
    target = cache / f"{name}-{suite}-{recipe}.tar"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{name}-base.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several tests may want it at once
        if not target.exists():
            partial = target.with_suffix(".partial")
            with partial.open("wb") as file:
                subprocess.run(command, stdout=file, stderr=subprocess.PIPE, text=True, check=True)
            partial.rename(target)
    return target


def _command(suite: str, packages: str) -> list[str]:
    """The call of mmdebstrap, with the machine's own mirrors and the tar on its standard output."""
    command = [] if os.geteuid() == 0 else ["sudo"]
    command += ["env", f"SOURCE_DATE_EPOCH={EPOCH}", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR=/var/tmp"]
    command += ["mmdebstrap", "--quiet", "--format=tar", "--variant=minbase", f"--include={packages}"]
    command += ["--hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr"]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in UNWANTED]
    command += [f"--customize-hook={FINISH}", suite, "-"]
    return command + _sources(suite)


def _sources(suite: str) -> list[str]:
    """The `deb` lines for the suite as apt is set up here; empty lets mmdebstrap choose the distribution's mirror."""
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    targets = [line.split() for line in listed.stdout.splitlines()]
    return [
        f"deb {target[0]} {suite} {target[2]}"
        for target in targets
        if len(target) == 3 and target[1] == suite and target[2] in ("main", "universe")
    ]
