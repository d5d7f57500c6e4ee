"""What whole builds stand on: a store that holds the image `busybox`."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
from tests.support.base_images import busybox_rootfs
from tests.support.command import Command

# A shell that starts the tests in the background makes them ignore SIGINT, and so all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def busybox_tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system of busybox alone."""
    return busybox_rootfs(tmp_path_factory.mktemp("busybox"))


@pytest.fixture(scope="session")
def busybox_store(tmp_path_factory: pytest.TempPathFactory, busybox_tar: Path) -> Path:
    """A store with the image `busybox`, to be copied: a store may be moved."""
    root = tmp_path_factory.mktemp("busybox-store") / "store"
    Command(root).run("import", busybox_tar, "busybox", "--env", "PATH=/bin", "--cmd", '["sh"]').ok()
    return root


@pytest.fixture
def lamina(tmp_path: Path, busybox_store: Path) -> Command:
    """The command with a store of its own that holds `busybox`."""
    root = tmp_path / "store"
    subprocess.run(["cp", "-a", busybox_store, root], check=True)
    return Command(root)
