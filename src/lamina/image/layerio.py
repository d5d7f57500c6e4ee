"""`ports.LayerIO`: layer directories described, read and written without a mount."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lamina.diagnostics import BuildFailure
from lamina.image.rootfs import Rootfs
from lamina.image.xattrs import Namespace
from lamina.keys.filetree import Selection
from lamina.keys.looks import Look
from lamina.ports.layers import LayerDiff, Limits, Placement, User
from lamina.ports.sources import ContextReader
from lamina.ports.storing import Workspace

#: errno → the second half of a reference, and what to do about it.
_CAUSES = {
    errno.ENOTDIR: ("not-a-directory", "something else stands where a directory is needed: choose another path"),
    errno.EISDIR: ("over-directory", "remove the directory with RUN rm -r first, or choose another destination"),
    errno.ELOOP: ("link-loop", "the image's symbolic links lead round in circles there"),
    errno.ENAMETOOLONG: ("name-too-long", "the file system of the store cannot hold such a long name"),
    errno.EPERM: ("not-permitted", "run lamina as root, or in a user namespace that maps these ids"),
}
_CAUSES[errno.EACCES] = _CAUSES[errno.EPERM]
_ONE_ID = (
    "an owner whose id is not mapped cannot be given: without sub-uids an ordinary user has one id alone; "
    "`lamina doctor` has the line that gives more"
)


class Layers:
    """Implements `ports.LayerIO`. `namespace` is that of overlayfs' marks in the layer directories; `limits` hold for
    archives that ADD unpacks."""

    def __init__(self, namespace: Namespace = "trusted", limits: Limits | None = None) -> None:
        self._namespace: Namespace = namespace
        self._limits = limits or Limits()

    def diff(self, upper: Path, latest: int | None = None) -> LayerDiff:
        """See `diff.diff` and `latest.mark_latest`."""
        from lamina.image.diff import diff

        if latest is not None:
            from lamina.image.latest import mark_latest

            mark_latest(upper, latest, self._namespace)
        return diff(upper, self._namespace)

    def place(self, work: Workspace, placement: Placement, context: ContextReader | None) -> None:
        """Carry out a COPY or ADD into `work.upper`. Raises BuildFailure `step-copy-…`, `step-add-archive`,
        `image-too-large`, `store-full` and what `context` raises; ValueError if there is neither a context nor a stack
        to read."""
        from lamina.image.place import place
        from lamina.image.sources import ContextSource, Source, StackSource
        from lamina.image.upper import Upper

        if placement.source is not None:
            source: Source = StackSource(Rootfs(placement.source, self._namespace))
        elif context is not None:
            source = ContextSource(context)
        else:
            raise ValueError("nothing to copy from")
        with _explained("step-copy", placement.dest), Upper(work, self._namespace) as upper:
            place(upper, placement, source, self._limits)

    def answers(self, layer: Path, looks: Sequence[Look], contents: Mapping[str, str]) -> bytes:
        """See `answers.answers`."""
        from lamina.image.answers import answers

        return answers(layer, looks, contents, self._namespace)

    def make_directory(self, work: Workspace, path: str, owner: tuple[int, int]) -> None:
        """WORKDIR: make `path` and its missing parents, mode 0755. Raises BuildFailure `step-workdir-…`."""
        from lamina.image.upper import NewDirectory, Upper

        with _explained("step-workdir", path), Upper(work, self._namespace) as upper:
            found = upper.view.walk(path)
            if found.node is None or not found.node.is_dir:
                upper.open(found.path, NewDirectory(*owner))

    def resolve_user(self, layers: Sequence[Path], user: str) -> User:
        """See `users.resolve_user`."""
        from lamina.image.users import resolve_user

        return resolve_user(Rootfs(layers, self._namespace), user)

    def resolve_owner(self, layers: Sequence[Path], owner: str) -> tuple[int, int]:
        """See `users.resolve_owner`."""
        from lamina.image.users import resolve_owner

        return resolve_owner(Rootfs(layers, self._namespace), owner)

    def records(
        self, layers: Sequence[Path], patterns: Sequence[str], *, parents: bool = False, exclude: Sequence[str] = ()
    ) -> Sequence[Selection]:
        """What these COPY --from sources select in a stack; see `select.Selector`."""
        from lamina.image.select import Selector

        selector = Selector(Rootfs(layers, self._namespace))
        return [one for pattern in patterns for one in selector.select(pattern, parents=parents, exclude=exclude)]


@contextmanager
def _explained(step: str, path: str) -> Iterator[None]:
    """Turn an OSError into a failure that says what was done and where."""
    try:
        yield
    except OSError as error:
        where = f" at {error.filename}" if isinstance(error.filename, str) else ""
        cause = f"{error.strerror or error}{where}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "make room: `lamina cache prune`, or move the store with --root"
            raise BuildFailure("store-full", f"no room to write {path}", cause=cause, hint=hint) from error
        suffix, hint = _CAUSES.get(error.errno or 0, ("failed", "see the cause above"))
        if error.errno == errno.EINVAL and error.strerror == os.strerror(errno.EINVAL):
            # The kernel's answer to chown(2) with an id that this user namespace does not map. What lamina itself
            # refuses with EINVAL has words of its own.
            suffix, hint = "owner-not-mapped", _ONE_ID
        verb = "copy to" if step == "step-copy" else "make the directory"
        raise BuildFailure(f"{step}-{suffix}", f"cannot {verb} {path}", cause=cause, hint=hint) from error
