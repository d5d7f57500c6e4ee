"""The `lamina` command in forks of this process, which have imported it already: hundreds of builds in less time."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
import tempfile
import traceback
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tests.support.command import Command, Completed

import lamina
from lamina.cli.main import run
from lamina.cli.unchanged import replay


class Forked(Command):
    """As `Command`, but for `stdin` and `prefix`."""

    def run(self, *words: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Completed:
        assert not stdin and not self.prefix
        _import_all()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = os.fork()
            if child == 0:
                _become(list(map(str, words)), self.environment(env), out.fileno(), err.fileno())
            _, status = os.waitpid(child, 0)
            out.seek(0)
            err.seek(0)
            return Completed(os.waitstatus_to_exitcode(status), out.read(), err.read())


@cache
def _import_all() -> None:
    for module in pkgutil.walk_packages(lamina.__path__, "lamina."):
        if not module.name.startswith("lamina.testing"):
            importlib.import_module(module.name)


def _become(words: list[str], environment: dict[str, str], out: int, err: int) -> None:
    """Be the command from now on; does not return."""
    code = 70
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdin, sys.stdout, sys.stderr = (
            os.fdopen(number, mode, closefd=False) for number, mode in enumerate(("r", "w", "w"))
        )
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["lamina", *words]
        # As `lamina.cli.main` does it, whose name is that of a module too, once that is imported.
        answer = replay(words[0], words[1:], os.environ) if words[0] in ("build", "plan") else None
        code = run(words) if answer is None else answer
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)
