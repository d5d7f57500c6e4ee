"""What the mounts of a step show, each as a path that can be bind-mounted: made below the workspace's scratch."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.ports.running import Mount
from lamina.runtime import inside, kernel, overlay, stubs
from lamina.runtime.namespace import Rung

if TYPE_CHECKING:
    import socket


class Source(Struct, frozen=True):
    """What one mount shows. `mode` is its st_mode; `descriptor` (O_PATH) looks into a directory; `tree` is set for a
    mount of that kind."""

    mount: Mount
    path: Path
    mode: int
    descriptor: int | None = None
    tree: Tree | None = None

    @property
    def is_dir(self) -> bool:
        return stat.S_ISDIR(self.mode)


class Tree(Struct, frozen=True):
    """A mounted stack: where it is mounted, a descriptor of that, and the place in it that the step sees."""

    root: Path
    descriptor: int
    place: inside.Place


class Sources:
    """Makes the sources of one step's mounts; they are there until `held` lets them go."""

    def __init__(self, scratch: Path, rung: Rung, held: ExitStack) -> None:
        self._scratch = scratch
        self._rung = rung
        self._held = held
        self._made = 0
        self._memory: Path | None = None
        self._sockets: list[tuple[socket.socket, Path]] = []

    def open(self, mounts: Iterable[Mount]) -> tuple[Source, ...]:
        """Raises BuildFailure `step-mount-source-missing`, `runtime-mount-source`, `runtime-overlay-failed`."""
        opened = tuple(map(self._open, mounts))
        if self._sockets:
            # Imported here: few steps need an agent.
            from lamina.runtime.forward import forwarding

            self._held.enter_context(forwarding(self._sockets))
        return opened

    def _open(self, mount: Mount) -> Source:
        match mount.kind:
            case "tree":
                return self._tree(mount)
            case "tmpfs":
                return self._directory(mount, self._tmpfs(mount))
            case "data":
                path = self._in_memory()
                path.write_bytes(mount.data)
                return self._given(mount, path, 0o400)
            case "socket":
                return self._socket(mount)
            case "bind":
                return self._bind(mount)

    def _bind(self, mount: Mount) -> Source:
        path = mount.source or Path()
        try:
            mode = path.stat().st_mode
        except OSError as error:
            raise BuildFailure(
                "runtime-mount-source", f"{path}, to be mounted at {mount.target}, cannot be used", cause=error.strerror
            ) from error
        return self._directory(mount, path) if stat.S_ISDIR(mode) else Source(mount, path, mode)

    def _directory(self, mount: Mount, path: Path) -> Source:
        descriptor = self._look_into(path)
        return Source(mount, path, os.fstat(descriptor).st_mode, descriptor)

    def _tmpfs(self, mount: Mount) -> Path:
        path = self._folder("tmpfs")
        options = f"mode={0o1777 if mount.mode is None else mount.mode:o},uid={mount.uid},gid={mount.gid}"
        if mount.size is not None:
            options += f",size={mount.size}"
        self._mount(path, "tmpfs", options)
        return path

    def _tree(self, mount: Mount) -> Source:
        root = self._stack(mount.layers, mount.read_only)
        descriptor = self._look_into(root)
        place = inside.locate(descriptor, mount.path)
        if place.mode is None:
            raise BuildFailure("step-mount-source-missing", f"{mount.path} is missing where it is to be mounted from")
        tree = Tree(root, descriptor, place)
        path = root / place.path.lstrip("/")
        return Source(mount, path, place.mode, self._look_into(path) if place.is_dir else None, tree)

    def with_mount_points(self, source: Source, targets: list[stubs.Target]) -> Path:
        """A path with the same content and these places in it: in a tree for the time being, else for good.

        Raises BuildFailure `runtime-mount-kind` if they cannot be made.
        """
        tree = source.tree
        if tree is not None:
            stub = self._folder("stub")
            stubs.lay_out(stub, tree.descriptor, targets)
            return self._stack((stub, *source.mount.layers), source.mount.read_only) / tree.place.path.lstrip("/")
        assert source.descriptor is not None
        for target in targets:
            try:
                _make(source.descriptor, target)
            except OSError as error:
                raise BuildFailure(
                    "runtime-mount-kind",
                    f"there is no place {target.place.path} in what is mounted at {source.mount.target}",
                    cause=error.strerror,
                ) from error
        return source.path

    def _stack(self, layers: tuple[Path, ...], read_only: bool) -> Path:
        root = self._folder("tree")
        if read_only:
            # Without an upper directory the kernel wants two lower ones.
            lowers = layers if len(layers) > 1 else (*layers, self._folder("nothing"), self._folder("nothing"))
            self._held.enter_context(overlay.mounted(root, lowers, None, None, self._rung))
        else:
            lowers = layers or (self._folder("nothing"),)
            upper, work = self._folder("upper"), self._folder("work")
            if layers:
                top = layers[0].stat()
                os.chown(upper, top.st_uid, top.st_gid)
                upper.chmod(stat.S_IMODE(top.st_mode))
            self._held.enter_context(overlay.mounted(root, lowers, upper, work, self._rung))
        return root

    def _socket(self, mount: Mount) -> Source:
        source = mount.source or Path()
        if not source.is_socket():
            raise BuildFailure("runtime-mount-source", f"{source}, to be mounted at {mount.target}, is no socket")
        path = self._in_memory()
        import socket  # here, because few steps are given one

        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._held.callback(listener.close)
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            # By way of a descriptor, because the address of a socket holds 107 bytes only.
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)
        listener.listen(64)
        self._sockets.append((listener, source))
        return self._given(mount, path, 0o600)

    def _given(self, mount: Mount, path: Path, mode: int) -> Source:
        """Mode last: chown(2) takes the set-id bits away."""
        try:
            os.chown(path, mount.uid, mount.gid)
        except OSError as error:
            raise BuildFailure(
                "runtime-mount-owner",
                f"what is mounted at {mount.target} cannot be given to {mount.uid}:{mount.gid} here",
                cause=error.strerror,
                hint="more user ids are mapped with `uidmap` and a line in /etc/subuid and /etc/subgid",
            ) from error
        path.chmod(mode if mount.mode is None else mount.mode)
        return Source(mount, path, path.stat().st_mode)

    def _in_memory(self) -> Path:
        """A free path in a file system that is in memory only and that nobody but us sees, unlike a tmpfs not even a
        swap device: in our own mount namespace (see `namespace`)."""
        if self._memory is None:
            self._memory = self._folder("memory")
            self._mount(self._memory, "ramfs", "mode=755")
        self._made += 1
        return self._memory / str(self._made)

    def _mount(self, path: Path, kind: str, options: str) -> None:
        kernel.mount("lamina", str(path), kind, kernel.MS_NOSUID | kernel.MS_NODEV, options)
        self._held.callback(kernel.unmount, str(path), kernel.MNT_DETACH)

    def _folder(self, name: str) -> Path:
        self._made += 1
        path = self._scratch / f"{name}{self._made}"
        path.mkdir(mode=0o755)
        return path

    def _look_into(self, path: Path) -> int:
        descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY)
        self._held.callback(os.close, descriptor)
        return descriptor


def _make(folder: int, target: stubs.Target) -> None:
    """Make a mount point inside a directory, which other steps may be changing: no link is followed."""
    *parents, name = target.place.path.strip("/").split("/")
    with ExitStack() as held:
        for part in (*parents, *((name,) if target.directory else ())):
            try:
                os.mkdir(part, dir_fd=folder)
                made = True
            except FileExistsError:
                made = False
            folder = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            held.callback(os.close, folder)
            if made:
                os.fchmod(folder, 0o755)
        if not target.directory:
            os.close(os.open(name, os.O_CREAT | os.O_NOFOLLOW | os.O_RDONLY | os.O_NONBLOCK, 0o644, dir_fd=folder))
