"""Steps in bubblewrap's sandbox (bwrap(1)): the default runner."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import msgspec

from lamina.diagnostics import BuildFailure
from lamina.ports.running import RunSpec
from lamina.runtime import devices, foreign, isolation, limits, process, rootfs, seccomp, userns
from lamina.runtime.namespace import Rung


class _Status(msgspec.Struct):
    """What bwrap writes to --json-status-fd, one object at a time; the exit code only if the command was started."""

    exit_code: int | None = msgspec.field(name="exit-code", default=None)


class BubblewrapRunner:
    """`ports.Runner` over bubblewrap."""

    def __init__(self, rung: Rung, program: str) -> None:
        self._rung = rung
        self._program = program
        self._running = process.Running()
        self._namespaces: dict[int, userns.UserNamespaces] = {}
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return f"bubblewrap, {self._rung.name}, overlay"

    def stop(self) -> None:
        self._running.stop()

    def run(self, spec: RunSpec, output: process.Output) -> int:
        rootfs.check_user(spec, self._rung)
        foreign.check(spec.architecture, spec.work.scratch)
        limits.check(spec.limits, self._rung)
        with (
            rootfs.prepared(spec, self._rung) as root,
            devices.own(spec.work.scratch, self._rung, spec.insecure) as nodes,
            ExitStack() as open_files,
        ):
            passed: list[int] = []
            own_proc = not _of_the_machine("/proc")
            prefix = self._as_user(spec, passed if own_proc else None)
            options = _arguments(spec, root, nodes)
            if not spec.insecure:
                passed.append(_closing(open_files, seccomp.open_filter()))
                options += ["--seccomp", str(passed[-1])]
            if spec.user.uid:
                # bwrap leaves this one open in the step, where it leads nowhere: the step is in there already.
                passed.append(self._of_user(spec.user.uid).owned)
                options += ["--userns", str(passed[-1])]
            status, told = os.pipe()
            _closing(open_files, status)
            passed.append(_closing(open_files, told))
            options += ["--json-status-fd", str(told)]
            # Through a file, because the environment may hold secrets and everybody can read a command line.
            passed.append(_closing(open_files, _arguments_file(options)))
            command = [
                *limits.command(spec.limits),
                *prefix,
                self._program,
                "--args",
                str(passed[-1]),
                "--",
                *spec.argv,
            ]
            # `setpriv` has set the groups of others; with one mapped id, nobody may set any.
            groups = None if prefix or self._rung.name == "rootless-single" else (spec.user.gid, spec.user.groups)
            errors = process.Tail(output)
            with (
                process.supervised(command, spec, tuple(passed), groups, own_proc) as child,
                self._running.watched(*child.pidfds()),
            ):
                code, notes = process.pump(child, errors, spec.stdin, status)
            if self._running.stopped:
                return process.STOPPED
            return _status(code, notes, errors.last_line())

    def _of_user(self, uid: int) -> userns.UserNamespaces:
        with self._lock:
            if uid not in self._namespaces:
                self._namespaces[uid] = userns.create(uid)
            return self._namespaces[uid]

    def _as_user(self, spec: RunSpec, passed: list[int] | None) -> list[str]:
        """The words that start bwrap as the step's user, in the outer namespace (see `userns`); none for root.

        With `passed` they need not see our /proc: the descriptor joins those that are passed. The step then inherits
        it, and can do nothing with it: only root may enter that namespace.
        """
        if spec.user.uid == 0:
            return []
        descriptor = self._of_user(spec.user.uid).outer
        if passed is None:
            # By way of our own /proc entry, so that the step does not inherit the descriptor.
            outer = f"/proc/{os.getpid()}/fd/{descriptor}"
        else:
            passed.append(descriptor)
            outer = f"/proc/self/fd/{descriptor}"
        groups = f"--groups={','.join(map(str, spec.user.groups))}" if spec.user.groups else "--clear-groups"
        enter = ["nsenter", f"--user={outer}", "--preserve-credentials"]
        return [*enter, "setpriv", f"--reuid={spec.user.uid}", f"--regid={spec.user.gid}", groups]


@cache
def _of_the_machine(proc: str) -> bool:
    """Whether this is the /proc of the machine itself, where process 2 is always there, as the kernel's own.

    For its notes, bwrap looks its child up in /proc, by the number in the namespace that `process.supervised` makes:
    always 2. On the machine it finds a stranger, which does no harm. In the /proc of a container there may be none, and
    it gives up; then it needs a /proc of its own namespace, which costs a mount.
    """
    try:
        return Path(proc, "2/comm").read_text() == "kthreadd\n"
    except OSError:
        return False


#: Made on import, which is one thread's: msgspec (0.22) crashes when two look at a type for the first time at once.
_STATUS = msgspec.json.Decoder(_Status)


def _status(code: int, notes: bytes, last_words: str | None) -> int:
    """The step's exit status from the supervisor's and from bwrap's notes."""
    # A bwrap that was killed may have left its last line unfinished.
    for note in notes.split(b"\n")[:-1]:
        status = _STATUS.decode(note)
        if status.exit_code is not None:
            return status.exit_code
    if code < 0:
        return 128 - code
    hint = "`lamina doctor` examines this machine"
    if last_words and "not permitted" in last_words:
        hint += (
            "; a container around lamina must allow mounts: `--cap-add SYS_ADMIN` (under AppArmor also "
            "`--security-opt apparmor=unconfined`), or `--privileged`"
        )
    raise BuildFailure("runtime-bubblewrap-failed", "bubblewrap could not set up the step", cause=last_words, hint=hint)


def _arguments(spec: RunSpec, root: rootfs.Root, nodes: dict[str, Path]) -> list[str]:
    options = ["--bind", str(root.path), "/", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
    options += ["--hostname", spec.hostname, "--chdir", root.cwd, "--as-pid-1", "--die-with-parent", "--clearenv"]
    if not spec.interactive:
        options.append("--new-session")
    if spec.network == "none":
        options.append("--unshare-net")
    options += ["--cap-drop", "ALL"]
    # BuildKit's insecure steps keep everything even if they run as another user.
    if spec.user.uid == 0 or spec.insecure:
        for capability in ("ALL",) if spec.insecure else isolation.CAPABILITIES:
            options += ["--cap-add", capability]
    for name, value in spec.env.items():
        options += ["--setenv", name, value]
    options += _system_mounts(spec, root.system)
    for name, node in nodes.items():
        options += ["--dev-bind", str(node), f"{root.system['/dev']}/{name}"]
    for bind in root.mounts:
        options += ["--ro-bind" if bind.read_only else "--bind", str(bind.source), bind.target]
    return options


def _system_mounts(spec: RunSpec, system: dict[str, str]) -> list[str]:
    proc, dev, sys = system["/proc"], system["/dev"], system["/sys"]
    options = ["--proc", proc, "--dev", dev, "--mqueue", f"{dev}/mqueue"]
    options += ["--perms", "1777", "--size", str(isolation.shm_size(spec)), "--tmpfs", f"{dev}/shm"]
    options += ["--bind" if spec.insecure else "--ro-bind", "/sys", sys]
    if spec.insecure:
        return options
    place = {"proc": proc, "sys": sys}
    for path in isolation.READ_ONLY:
        if Path(path).exists():
            options += ["--ro-bind", path, _moved(path, place)]
    for path in isolation.MASKED_FILES:
        if Path(path).exists():
            options += ["--dev-bind", "/dev/null", _moved(path, place)]
    for path in isolation.MASKED_DIRECTORIES:
        if Path(path).exists():
            options += ["--tmpfs", _moved(path, place), "--remount-ro", _moved(path, place)]
    return options


def _moved(path: str, place: dict[str, str]) -> str:
    top, _, rest = path.lstrip("/").partition("/")
    return f"{place[top]}/{rest}"


def _arguments_file(words: list[str]) -> int:
    descriptor = os.memfd_create("arguments")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(b"".join(os.fsencode(word) + b"\0" for word in words))
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _closing(held: ExitStack, descriptor: int) -> int:
    held.callback(os.close, descriptor)
    return descriptor
