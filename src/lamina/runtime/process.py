"""One child process: its output streamed as it comes, its input fed, its end awaited; and a way to kill it."""

from __future__ import annotations

import os
import select
import selectors
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lamina.diagnostics import BuildFailure
from lamina.ports import RunSpec
from lamina.runtime import isolation

Output = Callable[[int, bytes], None]
_CHUNK = 64 * 1024


class Running:
    """The processes that `stop` kills: safe from any thread, and they stay killed if they are only just starting."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._descriptors: set[int] = set()
        self._stopped = False

    @contextmanager
    def watched(self, process: subprocess.Popen[bytes]) -> Iterator[int]:
        """A pidfd of the process, which `stop` reaches while the block runs."""
        descriptor = os.pidfd_open(process.pid)
        try:
            with self._lock:
                self._descriptors.add(descriptor)
                if self._stopped:
                    kill(descriptor)
            yield descriptor
        finally:
            with self._lock:
                self._descriptors.discard(descriptor)
            os.close(descriptor)

    @property
    def stopped(self) -> bool:
        return self._stopped

    def stop(self) -> None:
        """Kill all, now and from now on."""
        with self._lock:
            self._stopped = True
            for descriptor in self._descriptors:
                kill(descriptor)


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


def kill(descriptor: int) -> None:
    """SIGKILL the process of a pidfd, if it is still there."""
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except ProcessLookupError:
        pass


def pump(
    process: subprocess.Popen[bytes], pidfd: int, output: Output, stdin: bytes | None, extra: int | None = None
) -> tuple[int, bytes]:
    """Stream until the process has ended and its pipes are drained.

    Returns its exit status (negative after a signal, as `subprocess` has it) and what came out of `extra`, a further
    pipe. A pipe that somebody else still holds open is not waited for.
    """
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


def wait_until_gone(descriptor: int) -> None:
    """Block until the process of a pidfd has ended; the first of a pid namespace ends after all others in it."""
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    waiting.poll()


@contextmanager
def started(
    command: list[str], spec: RunSpec, passed: tuple[int, ...], groups: tuple[int, tuple[int, ...]] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A child with nothing of our environment and a session of its own, unless the step wants our terminal.

    `passed` descriptors stay open in it; `groups` are the gid and the supplementary groups to start it with. It is
    killed if the block is left early. Raises BuildFailure `runtime-spawn-failed`.
    """
    pipe = None if spec.interactive else subprocess.PIPE
    feed = None if spec.interactive else subprocess.DEVNULL if spec.stdin is None else subprocess.PIPE
    try:
        child = subprocess.Popen(
            command,
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
        raise BuildFailure("runtime-spawn-failed", f"{command[0]} could not be started", cause=str(error)) from error
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        for end in (child.stdin, child.stdout, child.stderr):
            if end is not None and not end.closed:
                end.close()
