"""A step's root file system, mounted: layers, the step's upper directory, and a mount point for everything."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.ports import Mount, RunSpec
from lamina.runtime import inside, kernel, netfiles, overlay, stubs
from lamina.runtime.namespace import Rung


class Root(Struct, frozen=True):
    """A mounted root. `mounts` have targets that exist and lead through no link; `system` says where /proc, /dev and
    /sys really are; `cwd` is the step's directory, resolved."""

    path: Path
    mounts: tuple[Mount, ...]
    system: dict[str, str]
    cwd: str


@contextmanager
def prepared(spec: RunSpec, rung: Rung) -> Iterator[Root]:
    """Mount the workspace of a step while the block runs; nothing but the step's own doing gets into its upper.

    Raises BuildFailure `runtime-overlay-failed`, `runtime-bad-path`, `runtime-mount-kind`,
    `runtime-no-directory`, `runtime-command-not-found`, and `store-full` for what the block or the preparation lacks
    room for.
    """
    try:
        with _mounted(spec, rung) as root:
            yield root
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise BuildFailure(
            "store-full",
            "no space left to run a step",
            cause=error.strerror,
            hint="make room with `lamina cache prune`, or choose a larger disk with --root",
        ) from error


@contextmanager
def _mounted(spec: RunSpec, rung: Rung) -> Iterator[Root]:
    work = spec.work
    target = _folder(work.scratch / "root")
    files = netfiles.write(work.scratch, spec.hostname)
    mounts = (*(Mount("bind", name, file) for name, file in files.items()), *spec.mounts)
    base = work.layers or (_folder(work.scratch / "nothing"),)
    flags = 0 if spec.insecure else kernel.MS_NODEV
    with overlay.mounted(target, base, work.upper, _folder(work.work / "first"), rung, flags):
        located = _locate(target, spec, mounts)
        missing = located.missing()
        if not missing:
            yield located.root(target)
            return
        stub = _folder(work.scratch / "stub")
        root = os.open(target, os.O_PATH | os.O_DIRECTORY)
        try:
            stubs.lay_out(stub, root, missing)
        finally:
            os.close(root)
    with overlay.mounted(target, (stub, *base), work.upper, _folder(work.work / "second"), rung, flags):
        yield located.root(target)


def check_user(spec: RunSpec, rung: Rung) -> None:
    """Raises BuildFailure `runtime-single-user` if this rung cannot run the step as its user."""
    if rung.name == "rootless-single" and (spec.user.uid or spec.user.gid):
        raise BuildFailure(
            "runtime-single-user",
            f"a step cannot run as user {spec.user.uid}:{spec.user.gid} here, because only one user id is mapped",
            hint="install `uidmap` and give this user a line in /etc/subuid and /etc/subgid: "
            '`sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "$USER"`',
        )


class _Located(Struct, frozen=True):
    mounts: tuple[tuple[Mount, stubs.Target], ...]
    system: dict[str, stubs.Target]
    cwd: str

    def missing(self) -> list[stubs.Target]:
        every = [*self.system.values(), *(target for _, target in self.mounts)]
        return [target for target in every if target.place.mode is None]

    def root(self, path: Path) -> Root:
        return Root(
            path,
            tuple(Mount(m.kind, t.place.path, m.source, m.read_only, m.size, m.mode) for m, t in self.mounts),
            {name: target.place.path for name, target in self.system.items()},
            self.cwd,
        )


def _locate(root_path: Path, spec: RunSpec, mounts: tuple[Mount, ...]) -> _Located:
    """Where in the root everything leads, checked: what is there already must be of the right kind."""
    root = os.open(root_path, os.O_PATH | os.O_DIRECTORY)
    try:
        system = {name: stubs.Target(inside.locate(root, name), True) for name in ("/proc", "/dev", "/sys")}
        located = tuple((mount, _mount_point(root, mount)) for mount in mounts)
        covered = [target.place.path for _, target in located]
        cwd = inside.locate(root, spec.cwd or "/")
        if not cwd.is_dir and not _below(cwd.path, covered):
            raise BuildFailure(
                "runtime-no-directory",
                f"the working directory {spec.cwd} is not a directory of the image",
                hint="make it with WORKDIR before this step",
            )
        search = spec.env.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        if not _may_be_mounted(spec.argv[0], search, located) and not inside.find_program(
            root, spec.argv[0], search, cwd.path
        ):
            raise BuildFailure(
                "runtime-command-not-found",
                f"{spec.argv[0]} is not an executable file of the image",
                hint=f"PATH is {search}" if "/" not in spec.argv[0] else None,
            )
    finally:
        os.close(root)
    return _Located(located, system, cwd.path)


def _mount_point(root: int, mount: Mount) -> stubs.Target:
    directory = mount.source is None or mount.source.is_dir()
    place = inside.locate(root, mount.target)
    if place.mode is not None and place.is_dir != directory:
        kinds = ("directory", "file") if directory else ("file", "directory")
        raise BuildFailure(
            "runtime-mount-kind", f"a {kinds[0]} cannot be mounted at {mount.target}, which is a {kinds[1]}"
        )
    if place.path == "/":
        raise BuildFailure("runtime-mount-kind", f"nothing can be mounted at {mount.target}, the root of the step")
    return stubs.Target(place, directory)


def _may_be_mounted(program: str, search: str, mounts: tuple[tuple[Mount, stubs.Target], ...]) -> bool:
    """Whether the step's program may be in one of its mounts, where it cannot be looked up yet."""
    names = {f"{folder}/{program}" for folder in search.split(":")} if "/" not in program else {program}
    return any(target.directory or mount.target in names for mount, target in mounts)


def _below(path: str, folders: list[str]) -> bool:
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def _folder(path: Path) -> Path:
    path.mkdir(mode=0o755, exist_ok=True)
    return path
