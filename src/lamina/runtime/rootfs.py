"""A step's root file system, mounted: layers, the step's upper directory, and a mount point for everything."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.ports.running import Mount, RunSpec
from lamina.runtime import kernel, landing, netfiles, overlay, stubs
from lamina.runtime.landing import Landings
from lamina.runtime.namespace import Rung
from lamina.runtime.sources import Sources


class Bind(Struct, frozen=True):
    """A bind mount that is to be made: `target` exists in the root (or in /dev, where the runtime makes it) and leads
    through no link."""

    source: Path
    target: str
    read_only: bool


class Root(Struct, frozen=True):
    """A mounted root. `mounts` are to be made in order; `system` says where /proc, /dev and /sys really are; `cwd` is
    the step's directory, resolved."""

    path: Path
    mounts: tuple[Bind, ...]
    system: dict[str, str]
    cwd: str


@contextmanager
def prepared(spec: RunSpec, rung: Rung) -> Iterator[Root]:
    """Mount the workspace of a step while the block runs; nothing but the step's own doing gets into its upper.

    Raises BuildFailure `runtime-…` as `landing.locate` and `sources.Sources.open` do, `runtime-overlay-failed`,
    `step-mount-source-missing`, and `store-full` for what the block or the preparation lacks room for.
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
    files = netfiles.write(work.scratch, spec.hostname, spec.hosts)
    mounts = [Mount("bind", name, file) for name, file in files.items()]
    # What is mounted in another mount comes after it.
    mounts += sorted(spec.mounts, key=lambda mount: len(os.path.normpath(mount.target).split("/")))
    base = work.layers or (_folder(work.scratch / "nothing"),)
    flags = 0 if spec.insecure else kernel.MS_NODEV
    with ExitStack() as held:
        sources = Sources(work.scratch, rung, held)
        opened = sources.open(mounts)
        with overlay.mounted(target, base, work.upper, _folder(work.work / "first"), rung, flags):
            root = os.open(target, os.O_PATH | os.O_DIRECTORY)
            try:
                located = landing.locate(root, spec, opened)
                missing = located.missing()
                if missing:
                    stub = _folder(work.scratch / "stub")
                    stubs.lay_out(stub, root, missing)
            finally:
                os.close(root)
            system = {name: place.path for name, place in located.system.items()}
            ready = Root(target, _binds(located, sources), system, located.cwd.place.path)
            if not missing:
                yield ready
                return
        with overlay.mounted(target, (stub, *base), work.upper, _folder(work.work / "second"), rung, flags):
            yield ready


def _binds(located: Landings, sources: Sources) -> tuple[Bind, ...]:
    """The mounts to make; makes the mount points that others of them lack."""
    unready = located.unready()
    binds = []
    for each in located.mounts:
        assert each.source is not None
        mount, path = each.source.mount, each.source.path
        inners = [inner for inner in unready if inner.within is each]
        if inners:
            path = sources.with_mount_points(each.source, [inner.target() for inner in inners])
        if mount.kind == "tmpfs" and mount.mode is None and each.place.mode is not None:
            # As under Docker, what was there lends its mode.
            path.chmod(each.place.mode & 0o7777)
        writable = mount.kind == "tmpfs" or (mount.kind != "data" and not mount.read_only)
        binds.append(Bind(path, each.place.path, not writable))
    return tuple(binds)


def check_user(spec: RunSpec, rung: Rung) -> None:
    """Raises BuildFailure `runtime-single-user` if this rung cannot run the step as its user."""
    if rung.name == "rootless-single" and (spec.user.uid or spec.user.gid):
        raise BuildFailure(
            "runtime-single-user",
            f"a step cannot run as user {spec.user.uid}:{spec.user.gid} here, because only one user id is mapped",
            hint="install `uidmap` and give this user a line in /etc/subuid and /etc/subgid: "
            '`sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "$USER"`',
        )


def _folder(path: Path) -> Path:
    path.mkdir(mode=0o755, exist_ok=True)
    return path
