"""The command. The console script calls `leave(main())`."""

from __future__ import annotations

import atexit
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> int:
    """Run `lamina` with the process's arguments; returns the exit status."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        _open_what_is_closed()
    if sys.argv[1:2] in (["build"], ["plan"]):
        import os

        from lamina.cli.unchanged import replay

        status = replay(sys.argv[1], sys.argv[2:], os.environ)
        if status is not None:
            return status

    import gc

    # The collector looks for cycles so often by default that a command of a tenth of a second spends much of it there.
    gc.set_threshold(50_000, 20, 20)
    _import_msgspec()
    from lamina.cli.main import run

    return run(sys.argv[1:])


def _open_what_is_closed() -> None:
    """Open the null device where a caller has closed standard input, output or errors (`>&-`): else the next file that
    is opened, of the store perhaps, takes that number, and what is said goes into it."""
    import os

    while (descriptor := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, errors="replace"))  # noqa: PTH123, SIM115 — open till the end


def leave(status: int) -> NoReturn:
    """End the process of a command that is through, without the clearing up of the interpreter: that takes a seventh
    of the time of a build in which all is cached."""
    import os

    threading = sys.modules.get("threading")
    if threading is not None and threading.active_count() > 1:
        sys.exit(status)  # which waits for them
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):
        sys.exit(status)  # the interpreter has its own way with what cannot be written
    os._exit(status)


def _import_msgspec() -> None:
    """Import msgspec without typing_extensions, which it takes where that happens to be installed. That imports
    `inspect`, a tenth of the time of a build in which all is cached, and Python 3.11 has the same in `typing`."""
    if "typing_extensions" in sys.modules:
        return
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]  # whose import then fails
    try:
        __import__("msgspec")
    finally:
        del sys.modules["typing_extensions"]
