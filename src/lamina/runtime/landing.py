"""Where in a step's root everything leads: mounts, the working directory, the program."""

from __future__ import annotations

import stat

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.ports.running import RunSpec
from lamina.runtime import inside, stubs
from lamina.runtime.inside import Cover, Place
from lamina.runtime.sources import Source

_FOLDER = stat.S_IFDIR | 0o755


class Landing(Struct, frozen=True):
    """Where a mount (or the working directory, without a source) comes to be. `within` is the mount that it lies in,
    None for the root. `ready` if it exists, or the runtime makes it: in /dev."""

    source: Source | None
    place: Place
    within: Landing | None
    ready: bool

    def target(self) -> stubs.Target:
        """The same place as seen from the top of what it lies in; of the whole stack, if that is a tree."""
        directory = self.source is None or self.source.is_dir
        if self.within is None or self.within.source is None:
            return stubs.Target(self.place, directory)
        outer = self.within.place.path
        path, existing = self.place.path[len(outer) :], self.place.existing - outer.count("/")
        tree = self.within.source.tree
        if tree is not None and tree.place.path != "/":
            path, existing = tree.place.path + path, existing + tree.place.existing
        return stubs.Target(Place(path, self.place.mode, existing), directory)


class Landings(Struct, frozen=True):
    """Everything located, mounts in order. `system` says where /proc, /dev and /sys really are."""

    mounts: tuple[Landing, ...]
    system: dict[str, Place]
    cwd: Landing

    def missing(self) -> list[stubs.Target]:
        """The mount points that the root lacks."""
        system = [stubs.Target(place, True) for place in self.system.values() if place.mode is None]
        return system + [landing.target() for landing in self.unready() if landing.within is None]

    def unready(self) -> list[Landing]:
        """What has to be made, in the root or in another mount."""
        return [landing for landing in (*self.mounts, self.cwd) if not landing.ready]


def locate(root: int, spec: RunSpec, sources: tuple[Source, ...]) -> Landings:
    """Where everything leads if the sources are mounted in this order; `root` is a descriptor of the root as it is.

    Raises BuildFailure `runtime-mount-kind`, `runtime-bad-path`, `runtime-no-directory`, `runtime-command-not-found`.
    """
    system = {name: inside.locate(root, name) for name in ("/proc", "/dev", "/sys")}
    covered = _Covered(root, system)
    mounts = tuple(map(covered.land, sources))
    cwd = covered.working_directory(spec.cwd or "/")
    search = spec.env.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    if not inside.find_program(root, spec.argv[0], search, cwd.place.path, covered.covers):
        raise BuildFailure(
            "runtime-command-not-found",
            f"{spec.argv[0]} is not an executable file of the image",
            hint=f"PATH is {search}" if "/" not in spec.argv[0] else None,
        )
    return Landings(mounts, system, cwd)


class _Covered:
    """A root with the mounts that have landed so far."""

    def __init__(self, root: int, system: dict[str, Place]) -> None:
        self._root = root
        self._proc = system["/proc"].path
        self.covers = {place.path: Cover(_FOLDER) for place in system.values()}
        self._landed: dict[str, Landing] = {}

    def land(self, source: Source) -> Landing:
        target = source.mount.target
        place = inside.locate(self._root, target, covers=self.covers)
        if place.path == "/":
            raise BuildFailure("runtime-mount-kind", f"nothing can be mounted at {target}, the root of the step")
        if place.path == self._proc or place.path.startswith(self._proc + "/"):
            raise BuildFailure("runtime-mount-kind", f"nothing can be mounted at {target}, below the step's /proc")
        if place.mode is not None and place.is_dir != source.is_dir:
            kinds = ("directory", "file") if source.is_dir else ("file", "directory")
            raise BuildFailure(
                "runtime-mount-kind", f"a {kinds[0]} cannot be mounted at {target}, which is a {kinds[1]}"
            )
        landing = self._landing(source, place)
        if not landing.ready and not _can_grow(landing.within):
            raise BuildFailure(
                "runtime-mount-kind",
                f"{target} is missing in what is mounted above it, which is read-only",
                hint="make it in the source of that mount, or mount the other one elsewhere",
            )
        for hidden in [path for path in self.covers if path.startswith(place.path + "/")]:
            del self.covers[hidden]
        way = place.path.split("/")
        for depth in range(place.existing + 1, len(way) - 1):
            self.covers.setdefault("/".join(way[: depth + 1]), Cover(_FOLDER, stub=True))
        self.covers[place.path] = Cover(source.mode, source.descriptor)
        self._landed[place.path] = landing
        return landing

    def working_directory(self, path: str) -> Landing:
        place = inside.locate(self._root, path, covers=self.covers)
        landing = self._landing(None, place)
        makeable = landing.ready or (landing.within is not None and _is_writable(landing.within))
        if (place.mode is not None and not place.is_dir) or not makeable:
            raise BuildFailure(
                "runtime-no-directory",
                f"the working directory {path} is not a directory of the image",
                hint="make it with WORKDIR before this step",
            )
        return landing

    def _landing(self, source: Source | None, place: Place) -> Landing:
        around = inside.covering(place.path.rpartition("/")[0], self.covers)
        while around is not None and self.covers[around].stub:
            around = inside.covering(around.rpartition("/")[0], self.covers)
        within = None if around is None else self._landed.get(around)
        of_the_system = around is not None and within is None
        return Landing(source, place, within, place.mode is not None or of_the_system)


def _is_writable(landing: Landing) -> bool:
    source = landing.source
    return source is not None and (source.mount.kind == "tmpfs" or not source.mount.read_only)


def _can_grow(within: Landing | None) -> bool:
    """Whether a mount point can be made: in the root or a tree as a stub, else for good."""
    if within is None or (within.source is not None and within.source.tree is not None):
        return True
    return _is_writable(within)
