"""`ports.Observer` with FUSE: a file system per watch, served by a process of its own, that notes every look.

Why FUSE and how: docs/adr/0012. The mount is in lamina's own mount namespace, so nothing is left of it when lamina is
killed; the server ends when its end of a socket pair does.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lamina.diagnostics import BuildFailure
from lamina.keys.looks import Look, LookKind
from lamina.runtime import fuse_tree, kernel
from lamina.runtime.fuse_server import HEAD

_KINDS: tuple[tuple[int, LookKind], ...] = (
    (fuse_tree.ENTRY, "entry"),
    (fuse_tree.LIST, "list"),
    (fuse_tree.READ, "read"),
    (fuse_tree.LINK, "link"),
    (fuse_tree.XATTRS, "xattrs"),
)
# <linux/mount.h>
_MS_RDONLY = 1
_DEVICE = Path("/dev/fuse")
# Without `site`, and without what lies in the current directory; lamina comes last, so no module of it hides another.
_PROGRAM = """
import sys
sys.path.append(sys.argv[1])
from lamina.runtime.fuse_server import main
main(int(sys.argv[2]), int(sys.argv[3]), [int(word) for word in sys.argv[4:]])
"""


class FuseObserver:
    """`ports.Observer`. Wants the namespaces entered (`namespace.enter`), where we are root."""

    def __init__(self, device: Path = _DEVICE) -> None:
        self._device = device

    @contextmanager
    def watch(self, layers: Sequence[Path], scratch: Path) -> Iterator[FuseWatch]:
        """See `ports.Observer`. The watched layers only make sense below an upper directory, see `FuseWatch.looks`."""
        target = scratch / "observed"
        target.mkdir(mode=0o700)
        with ExitStack() as held:
            held.callback(target.rmdir)
            ours, theirs = socket.socketpair()
            held.callback(ours.close)
            with ExitStack() as passed:
                passed.callback(theirs.close)
                device = self._open(passed)
                roots = [_held(passed, layer) for layer in layers]
                _mount(device, target)
                held.callback(kernel.unmount, str(target), kernel.MNT_DETACH)
                server = _start(device, theirs.fileno(), roots)
                held.callback(server.wait)
                held.callback(server.kill)
            yield FuseWatch(tuple(target / str(index) for index in range(len(layers))), ours)

    def _open(self, passed: ExitStack) -> int:
        try:
            device = os.open(self._device, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            hint = "run `sudo modprobe fuse`, or give the surrounding container `--device /dev/fuse`"
            if isinstance(error, PermissionError):
                hint = f"`sudo chmod 666 {self._device}` lets every user mount in their own namespaces"
            raise _no_observer(f"{self._device}: {error.strerror}", hint) from error
        passed.callback(os.close, device)
        return device


class FuseWatch:
    """`ports.Watched`."""

    def __init__(self, layers: tuple[Path, ...], channel: socket.socket) -> None:
        self.layers = layers
        self._channel = channel

    def looks(self) -> tuple[frozenset[Look], ...]:
        """See `ports.Watched`.

        The `entry` of a layer's root is not among them: the step's own upper directory hides its attributes. What
        overlayfs asks for itself, its marks (`overlay.opaque`…), belongs to `entry`. A file without content is never
        read: its size says all. So does a listing: it is not asked for again.
        """
        try:
            self._channel.sendall(b"?")
            reason, size = HEAD.unpack(self._receive(HEAD.size))
            lost = self._receive(reason).decode(errors="replace")
            body = self._receive(size)
        except OSError as error:
            raise _lost("the process that observed the step has ended") from error
        if lost:
            raise _lost(lost)
        return _parse(body, len(self.layers))

    def _receive(self, size: int) -> bytes:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            count = self._channel.recv_into(view)
            if count == 0:
                raise ConnectionResetError
            view = view[count:]
        return bytes(data)


def _parse(body: bytes, count: int) -> tuple[frozenset[Look], ...]:
    looks: list[list[Look]] = [[] for _ in range(count)]
    for item in body.split(b"\0")[:-1]:
        kinds = item[0]
        layer, _, name = item[2:].partition(b"/")
        path = name.decode("utf-8", "surrogateescape")
        looks[int(layer)].extend([Look(path, kind) for bit, kind in _KINDS if kinds & bit])
    return tuple(map(frozenset, looks))


def _held(held: ExitStack, path: Path) -> int:
    descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    held.callback(os.close, descriptor)
    return descriptor


def _mount(device: int, target: Path) -> None:
    # Only we may look into it; overlayfs does it in our name. Permissions are the kernel's business, as always.
    options = f"fd={device},rootmode=40000,user_id={os.geteuid()},group_id={os.getegid()},default_permissions"
    try:
        kernel.mount("lamina", str(target), "fuse", kernel.MS_NOSUID | kernel.MS_NODEV | _MS_RDONLY, options)
    except OSError as error:
        raise _no_observer(
            f"mounting it was refused: {error.strerror}",
            "kernel messages (`dmesg`) may have the details; inside a container, `--privileged` lets it mount",
        ) from error


def _start(device: int, channel: int, roots: list[int]) -> subprocess.Popen[bytes]:
    numbers = map(str, (device, channel, *roots))
    source = str(Path(__file__).parents[2])
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, source, *numbers],
            pass_fds=(device, channel, *roots),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            # An interrupt at the terminal is for lamina, which then ends us.
            start_new_session=True,
        )
    except OSError as error:
        raise _no_observer(f"its process could not be started: {error.strerror}", None) from error


def _no_observer(cause: str, hint: str | None) -> BuildFailure:
    return BuildFailure("runtime-no-observer", "steps cannot be observed here", cause=cause, hint=hint)


def _lost(cause: str) -> BuildFailure:
    return BuildFailure("runtime-observer-lost", "what a step looked at is not known", cause=cause)
