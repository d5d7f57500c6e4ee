"""What whole builds stand on: a store that holds the image `busybox`."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from tests.support.base_images import busybox_rootfs
from tests.support.command import Command
from tests.support.runner_bench import USER, environment, ordinary_user
from tests.support.shared_machines import Fleet
from tests.support.waiting import copied, removed, rest

_AS_USER = Path(__file__).parent / "support" / "as_user.py"

# A shell that starts the tests in the background makes them ignore SIGINT, and so all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Thousands of commands would each compile lamina anew where no bytecode may be left beside the sources.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
    _bytecode = tempfile.mkdtemp(prefix="lamina-bytecode-", dir="/tmp")
    Path(_bytecode).chmod(0o755)
    os.environ["PYTHONPYCACHEPREFIX"] = _bytecode  # for the workers, too
    atexit.register(shutil.rmtree, _bytecode, ignore_errors=True)

# The same examples each time: what an unlucky number would find is no business of whoever changes something else.
# `./dev test --hypothesis-profile random` looks for it. No deadline: a machine may have too much to do.
for _profile, _same in (("same", True), ("random", False)):
    hypothesis.settings.register_profile(_profile, derandomize=_same, database=None, deadline=None, print_blob=True)
hypothesis.settings.load_profile("same")


@pytest.fixture(scope="session")
def busybox_tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system of busybox alone."""
    return busybox_rootfs(tmp_path_factory.mktemp("busybox"))


@pytest.fixture(scope="session")
def busybox_store(tmp_path_factory: pytest.TempPathFactory, busybox_tar: Path) -> Path:
    """A store with the image `busybox`, to be copied: a store may be moved."""
    root = tmp_path_factory.mktemp("busybox-store") / "store"
    Command(root).run("import", busybox_tar, "busybox", "--env", "PATH=/bin", "--cmd", '["sh"]').ok()
    return rest(root)


@pytest.fixture
def fleet(tmp_path: Path, busybox_store: Path) -> Fleet:
    """Machines that share a cache."""
    return Fleet(tmp_path, busybox_store)


@pytest.fixture
def lamina(tmp_path: Path, busybox_store: Path) -> Command:
    """The command with a store of its own that holds `busybox`."""
    return Command(copied(busybox_store, tmp_path / "store"))


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of the ordinary user: pytest's own are closed to others."""
    user = ordinary_user()
    folder = Path(tempfile.mkdtemp(prefix="lamina-user-", dir="/tmp"))
    os.chown(folder, user.pw_uid, user.pw_gid)
    try:
        yield folder
    finally:
        removed(folder)  # the process that syncs a store after a build may still write there


@pytest.fixture
def rootless(place: Path, busybox_tar: Path) -> Command:
    """The command as that user, with a store of theirs that holds `busybox`."""
    env = {"HOME": str(place), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": environment()["PYTHONPATH"]}
    lamina = Command(place / "store", (sys.executable, str(_AS_USER), USER), env)
    with busybox_tar.open("rb") as tar:
        lamina.run("import", "-", "busybox", "--env", "PATH=/bin", "--cmd", '["sh"]', stdin=tar.read()).ok()
    return lamina
