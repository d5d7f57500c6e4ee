"""One child process: its output streamed as it comes, its input fed, its end awaited; and a way to kill it."""

from __future__ import annotations

import os
import select
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.ports.running import RunSpec
from lamina.runtime import isolation

#: The status of a step that was stopped.
STOPPED = 128 + signal.SIGKILL

Output = Callable[[int, bytes], None]
_CHUNK = 64 * 1024


class Running:
    """The processes that `stop` kills: safe from any thread, and they stay killed if they are only just starting."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._descriptors: set[int] = set()
        self._stopped = False

    @contextmanager
    def watched(self, *descriptors: int) -> Iterator[None]:
        """Let `stop` reach the processes of these pidfds while the block runs."""
        try:
            with self._lock:
                self._descriptors.update(descriptors)
                if self._stopped:
                    _kill_all(descriptors)
            yield
        finally:
            with self._lock:
                self._descriptors.difference_update(descriptors)

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called: what a process said or returned since means nothing."""
        return self._stopped

    def stop(self) -> None:
        """Kill all, now and from now on."""
        with self._lock:
            self._stopped = True
            _kill_all(self._descriptors)


class Tail:
    """Passes output on and remembers the end of standard error, where a runtime says why it failed."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._end = b""

    def __call__(self, stream: int, data: bytes) -> None:
        if stream == 2:
            self._end = (self._end + data)[-1024:]
        self._output(stream, data)

    def last_line(self) -> str | None:
        """The last line of standard error, None if it was silent."""
        return self._end.decode(errors="replace").strip().rpartition("\n")[2] or None


def _kill_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except ProcessLookupError:
            continue


def pump(child: Supervised, output: Output, stdin: bytes | None, extra: int | None = None) -> tuple[int, bytes]:
    """Stream until the process has ended and its pipes are drained.

    Returns its exit status (negative after a signal, as `subprocess` has it) and what came out of `extra`, a further
    pipe. A pipe that somebody else still holds open is not waited for.
    """
    process, pidfd = child.popen, child.pidfd
    noted: list[bytes] = []
    takers: dict[int, Callable[[bytes], None]] = {}
    for number, pipe in ((1, process.stdout), (2, process.stderr)):
        if pipe is not None:
            takers[pipe.fileno()] = lambda data, number=number: output(number, data)  # type: ignore[misc]
    if extra is not None:
        takers[extra] = noted.append
    with selectors.DefaultSelector() as ready:
        ready.register(pidfd, selectors.EVENT_READ)
        for descriptor in takers:
            os.set_blocking(descriptor, False)
            ready.register(descriptor, selectors.EVENT_READ)
        rest = memoryview(stdin or b"")
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            ready.register(process.stdin, selectors.EVENT_WRITE)
        ended = False
        while not ended:
            for key, _ in ready.select():
                if key.fd == pidfd:
                    ended = True
                elif key.fd in takers:
                    if not _take(key.fd, takers[key.fd]):
                        ready.unregister(key.fd)
                else:
                    rest = _feed(key.fd, rest)
                    if not rest and process.stdin is not None:
                        ready.unregister(key.fd)
                        process.stdin.close()
        for descriptor in [key.fd for key in ready.get_map().values() if key.fd in takers]:
            while _take(descriptor, takers[descriptor]):
                pass
    return process.wait(), b"".join(noted)


def _take(descriptor: int, taker: Callable[[bytes], None]) -> bool:
    """Hand over what is there; False at the end, or when there is nothing now."""
    try:
        data = os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return False
    if data:
        taker(data)
    return bool(data)


def _feed(descriptor: int, rest: memoryview) -> memoryview:
    """Write what the pipe takes; a reader that has gone away gets no more."""
    try:
        return rest[os.write(descriptor, rest[:_CHUNK]) :]
    except BlockingIOError:
        return rest
    except BrokenPipeError:
        return rest[:0]


class Supervised(Struct, frozen=True):
    """A process that ends with us. `pidfd` is the supervisor's; `first` that of the first process of its pid
    namespace, which ends after all others in it, or None if that is gone already."""

    popen: subprocess.Popen[bytes]
    pidfd: int
    first: int | None

    def pidfds(self) -> tuple[int, ...]:
        """What to kill to end it at once."""
        return (self.pidfd,) if self.first is None else (self.first, self.pidfd)


@contextmanager
def supervised(
    command: list[str],
    spec: RunSpec,
    passed: tuple[int, ...] = (),
    groups: tuple[int, tuple[int, ...]] | None = None,
    own_proc: bool = False,
) -> Iterator[Supervised]:
    """Start a command in a pid namespace of its own, with nothing of our environment.

    `passed` descriptors stay open in it; `groups` are the gid and the supplementary groups to start it with; with
    `own_proc` it sees a /proc of its namespace. It has a session of its own too, unless the step wants our terminal.
    When the block ends, so has everything in the namespace. Raises BuildFailure `runtime-spawn-failed`.

    The kernel kills `unshare` when we die, however that happens, and with it the namespace. bwrap's own
    --die-with-parent is not enough: it comes late, and a bwrap that is killed earlier leaves its child waiting for
    ever. And as first in the namespace, bwrap is deaf to a terminal's interrupts, which belong to the step.
    """
    pipe = None if spec.interactive else subprocess.PIPE
    feed = None if spec.interactive else subprocess.DEVNULL if spec.stdin is None else subprocess.PIPE
    supervisor = ["setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child=KILL"]
    if own_proc:
        supervisor.append("--mount-proc")
    with ExitStack() as held:
        try:
            popen = subprocess.Popen(
                [*supervisor, "--", *command],
                stdin=feed,
                stdout=pipe,
                stderr=pipe,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
                cwd="/",
                pass_fds=passed,
                start_new_session=not spec.interactive,
                umask=isolation.UMASK,
                group=groups[0] if groups else None,
                extra_groups=groups[1] if groups else None,
            )
        except OSError as error:
            raise BuildFailure(
                "runtime-spawn-failed", f"{command[0]} could not be started", cause=str(error)
            ) from error
        held.callback(_close_pipes, popen)
        held.callback(popen.wait)
        if spec.interactive:
            held.enter_context(_without_interrupts())
        pidfd = os.pidfd_open(popen.pid)
        held.callback(os.close, pidfd)
        first = _first_of_namespace(popen.pid)
        if first is not None:
            held.callback(os.close, first)
            held.callback(_end, first)
        held.callback(_kill_all, [pidfd])
        yield Supervised(popen, pidfd, first)


def _first_of_namespace(unshare: int) -> int | None:
    """A pidfd of the child of `unshare`. A kernel without CONFIG_PROC_CHILDREN does not tell."""
    listing = Path(f"/proc/{unshare}/task/{unshare}/children")
    deadline = time.monotonic() + 10
    while listing.exists() and time.monotonic() < deadline:
        children = listing.read_text().split()
        if children:
            try:
                return os.pidfd_open(int(children[0]))
            except ProcessLookupError:
                return None
        if Path(f"/proc/{unshare}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return None
        time.sleep(0.0005)
    return None


def _end(first: int) -> None:
    """Kill a whole pid namespace by its first process, and wait until it is gone."""
    _kill_all([first])
    waiting = select.poll()
    waiting.register(first, select.POLLIN)
    waiting.poll()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """The terminal's interrupts reach us as well as the step that they are meant for."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _close_pipes(popen: subprocess.Popen[bytes]) -> None:
    for end in (popen.stdin, popen.stdout, popen.stderr):
        if end is not None and not end.closed:
            end.close()
