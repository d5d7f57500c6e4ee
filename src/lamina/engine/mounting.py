"""`RUN --mount`: from what the step asks for to what the runner mounts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from lamina.diagnostics import BuildFailure
from lamina.engine.inputs import Read
from lamina.engine.job import Job
from lamina.engine.reading import Outside, Place
from lamina.engine.world import Tools
from lamina.keys.compute import SourceFacts
from lamina.plan.running import SCRIPTS
from lamina.plan.steps import (
    BindMount,
    CacheMount,
    RunOp,
    SecretMount,
    SshMount,
    Step,
    StepMount,
    TmpfsMount,
)
from lamina.ports.layers import Placement
from lamina.ports.running import Mount
from lamina.ports.storing import Workspace

#: What a mount reads: where from, what, and the facts of it.
Found = tuple[Place, Read, SourceFacts]

#: BuildKit's limit for a secret, in bytes.
_MAX_SECRET = 500 * 1024


class Mounting:
    """The mounts of one step; what they hold is let go with `held`. `environment` is what they add to the step's."""

    def __init__(self, step: Step, job: Job, tools: Tools, work: Workspace, outside: Outside, held: ExitStack) -> None:
        self._step = step
        self._job = job
        self._tools = tools
        self._work = work
        self._outside = outside
        self._held = held
        self.environment: dict[str, str] = {}
        self._caches: dict[str, Path] = {}

    def all(self, op: RunOp) -> tuple[Mount, ...]:
        """The mounts in order. Raises BuildFailure `step-secret-missing`, `step-ssh-missing`, `context-…`."""
        read = {id(read.by): (place, read, facts) for place, read, facts in self._outside.each(op)}
        self._lease([(mount, read.get(id(mount))) for mount in op.mounts if isinstance(mount, CacheMount)])
        mounts = [mount for wanted in op.mounts for mount in self._one(wanted, read.get(id(wanted)))]
        if op.script is not None:
            data = op.script.content.encode("utf-8", "surrogateescape")
            mounts.append(Mount("data", f"{SCRIPTS}/{op.script.name}", mode=0o755, data=data))
        return tuple(mounts)

    def _one(self, wanted: StepMount, read: Found | None) -> tuple[Mount, ...]:
        match wanted:
            case BindMount() if read is not None:
                return (self._bind(wanted, *read),)
            case CacheMount():
                folder = self._caches[self._cache_name(wanted, read)]
                return (Mount("bind", wanted.target, folder, read_only=wanted.read_only),)
            case TmpfsMount(target=target, size=size):
                return (Mount("tmpfs", target, read_only=False, size=size),)
            case SecretMount():
                return self._secret(wanted)
            case SshMount():
                return self._ssh(wanted)
        raise TypeError(f"cannot mount {wanted}")

    def _bind(self, wanted: BindMount, place: Place, read: Read, facts: SourceFacts) -> Mount:
        if isinstance(place, tuple):
            return Mount("tree", wanted.target, read_only=wanted.read_only, layers=place, path=wanted.source)
        # What the ignore rules leave of a context has to be laid out before it can be mounted.
        copy = self._held.enter_context(self._job.world.snapshots.begin(None))
        self._tools.layers.place(copy, Placement("/", True, facts.selections, None, "", False), place)
        selection = facts.selections[0]
        path = "/" if selection.is_dir else "/" + selection.base.rpartition("/")[2]
        return Mount("tree", wanted.target, read_only=wanted.read_only, layers=(copy.upper,), path=path)

    def _lease(self, wanted: Sequence[tuple[CacheMount, Found | None]]) -> None:
        """Take the cache folders, each once and all steps in one order, so that no two wait for each other."""
        by_name = {self._cache_name(mount, read): (mount, read) for mount, read in reversed(wanted)}
        for name, (mount, read) in sorted(by_name.items()):

            def make(folder: Path, mount: CacheMount = mount, read: Found | None = read) -> None:
                self._fill(folder, mount, read)

            lease = self._job.world.cache_mounts.lease(name, mount.sharing, make)
            self._caches[name] = self._held.enter_context(lease)

    def _cache_name(self, wanted: CacheMount, read: Found | None) -> str:
        space = self._job.request.options.build_args.get("BUILDKIT_CACHE_MOUNT_NS")
        name = f"{space}/{wanted.id}" if space else wanted.id
        return name if read is None else f"{name} from {read[2].files}"

    def _fill(self, folder: Path, wanted: CacheMount, read: Found | None) -> None:
        """Begin a cache folder."""
        if read is not None:
            place, _, facts = read
            draft = Workspace((), folder, self._work.work, self._work.scratch)
            source = place if isinstance(place, tuple) else None
            placement = Placement("/", True, facts.selections, None, "", False, source)
            self._tools.layers.place(draft, placement, None if isinstance(place, tuple) else place)
        os.chown(folder, wanted.uid, wanted.gid)
        folder.chmod(wanted.mode)

    def _secret(self, wanted: SecretMount) -> tuple[Mount, ...]:
        read = self._job.request.secrets.get(wanted.id)
        if read is None:
            if wanted.required:
                raise BuildFailure(
                    "step-secret-missing",
                    f"the secret {wanted.id!r} is required, and the build was given none of that name",
                    span=self._step.span,
                    hint=f"pass --secret id={wanted.id},src=FILE or --secret id={wanted.id},env=VARIABLE",
                )
            return ()
        data = read()
        if len(data) > _MAX_SECRET:
            raise BuildFailure(
                "step-secret-too-large",
                f"the secret {wanted.id!r} has {len(data)} bytes, more than {_MAX_SECRET}",
                span=self._step.span,
            )
        if wanted.env:
            self.environment[wanted.env] = data.decode("utf-8", "surrogateescape")
        if wanted.target is None:
            return ()
        return (Mount("data", wanted.target, mode=wanted.mode, uid=wanted.uid, gid=wanted.gid, data=data),)

    def _ssh(self, wanted: SshMount) -> tuple[Mount, ...]:
        socket = self._job.request.ssh.get(wanted.id)
        if socket is None:
            if wanted.required:
                raise BuildFailure(
                    "step-ssh-missing",
                    f"the agent {wanted.id!r} is required, and the build was given none of that name",
                    span=self._step.span,
                    hint=f"pass --ssh {wanted.id}, with SSH_AUTH_SOCK set or a path behind {wanted.id}=",
                )
            return ()
        self.environment.setdefault("SSH_AUTH_SOCK", wanted.target)
        return (Mount("socket", wanted.target, socket, mode=wanted.mode, uid=wanted.uid, gid=wanted.gid),)
