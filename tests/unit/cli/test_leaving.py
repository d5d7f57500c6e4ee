"""How the command's process begins and ends: nothing is lost by the shorter way."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

#: Something that goes on when the command has ended.
LATE = """import threading, time
threading.Thread(target=lambda: (time.sleep(0.1), print('late', end=''))).start()
leave(2)"""


def ended(code: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """A process that runs `code`, in which `leave` is at hand."""
    line = [sys.executable, "-c", f"from lamina.cli import _import_msgspec, leave\n{code}"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(line, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, env=environment)


@pytest.mark.parametrize(
    ("code", "status", "out", "err"),
    [
        ("print('said', end=''); leave(3)", 3, "said", ""),
        ("import sys; print('told', end='', file=sys.stderr); leave(0)", 0, "", "told"),
        ("import atexit; atexit.register(print, 'last', end=''); leave(1)", 1, "last", ""),
        (LATE, 2, "late", ""),
        ("import sys; sys.stderr.close(); leave(141)", 141, "", ""),
        ("import sys; sys.stdout = None; leave(4)", 4, "", ""),
    ],
)
def test_what_was_said_is_heard_and_the_status_is_kept(code: str, status: int, out: str, err: str) -> None:
    done = ended(code)
    assert (done.returncode, done.stdout, done.stderr) == (status, out, err)


def test_a_reader_that_went_away_is_told_of_as_ever() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = ended("print('to nobody'); leave(0)", write)
    finally:
        os.close(write)
    assert done.returncode != 0
    assert "BrokenPipeError" in done.stderr and "Traceback" not in done.stderr


def test_typing_extensions_can_be_imported_afterwards() -> None:
    code = (
        "import sys; _import_msgspec(); assert 'inspect' not in sys.modules\n"
        "assert 'typing_extensions' not in sys.modules; import typing_extensions\n"
        "import msgspec; from typing import Annotated\n"
        "class Point(msgspec.Struct): x: Annotated[int, msgspec.Meta(gt=0)]\n"
        "print(msgspec.json.decode('{\"x\": 1}', type=Point).x, end=''); leave(0)"
    )
    assert (ended(code).returncode, ended(code).stdout) == (0, "1")
