"""`ports.Observer` for steps that look at many files, and io_uring."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.support.observed_bench import ObserverBench, observer_bench
from tests.support.observed_process import Seen
from tests.support.runner_bench import RUNNERS, give

FOLDERS, FILES = 8, 100
#: Reads all files of some folders, one folder after the other, then looks at others in another way.
READ = """
import os, sys
def read(*folders):
    for folder in folders:
        for name in os.listdir(f'/app/{folder}'):
            with open(f'/app/{folder}/{name}') as file: total.append(file.read())
total = []
read('d0', 'd1', 'd2', 'd3')
"""


@pytest.fixture(scope="module", params=RUNNERS)
def bench(request: pytest.FixtureRequest) -> Iterator[ObserverBench]:
    with observer_bench(request.param) as bench:
        for folder in range(FOLDERS):
            (bench.copied / f"app/d{folder}").mkdir()
            for name in range(FILES):
                (bench.copied / f"app/d{folder}/f{name:02}").write_text(f"{folder} {name}\n")
        give(bench.copied, bench.bench.owner)
        yield bench


@pytest.fixture
def bare(bench: ObserverBench) -> Iterator[ObserverBench]:
    """The same, but that no copied file has extended attributes."""
    os.removexattr(bench.copied / "app/tagged", "user.note")
    yield bench
    os.setxattr(bench.copied / "app/tagged", "user.note", b"kept")


def observed(bench: ObserverBench, script: str) -> Seen:
    (one,) = bench.observe(bench.python(READ + script))
    assert one.failure is None
    assert one.outcome is not None
    assert (one.outcome.err, one.outcome.code) == ("", 0)
    return one


def looks(kind: str, *folders: int, files: int = FILES) -> set[str]:
    return {f"{kind} app/d{folder}/f{name:02}" for folder in folders for name in range(files)}


@pytest.mark.parametrize(
    ("script", "more"),
    [
        ("", set()),
        ("os.stat('/app/d5/f07')", {"entry app/d5/f07"}),
        ("open('/app/d5/f07').read()", {"entry app/d5/f07", "read app/d5/f07"}),
        ("os.listdir('/app/d5')", {"list app/d5"}),
        ("os.listdir('/app/d5'); open('/app/d5/f07').read()", {"list app/d5", "read app/d5/f07", "entry app/d5/f07"}),
        ("os.listdir('/app/d5'); os.stat('/app/d5/f07')", {"list app/d5", "entry app/d5/f07"}),
        ("os.listdir('/app/d5'); assert not os.path.exists('/app/d5/no')", {"list app/d5", "entry app/d5/no"}),
        ("os.listdir('/app/d5'); os.access('/app/d5/f07', os.X_OK)", {"list app/d5", "entry app/d5/f07"}),
        (
            "os.listdir('/app/d5'); os.rename('/app/d5/f07', '/app/d5/no')",
            {"entry app/d5/f07", "entry app/d5/no", "read app/d5/f07"},
        ),
        ("os.listdir('/app/d5'); open('/app/d5/f07', 'a').write('x')", {"entry app/d5/f07", "read app/d5/f07"}),
        ("read('d4', 'd5', 'd6', 'd7')", looks("read", 4, 5, 6, 7) | looks("entry", 4, 5, 6, 7)),
    ],
)
def test_nothing_escapes_behind_many_looks(bench: ObserverBench, script: str, more: set[str]) -> None:
    got = set(observed(bench, script).looks)
    assert looks("entry", 0, 1, 2, 3) | looks("read", 0, 1, 2, 3) | more <= got
    known = looks("entry", 0, 1, 2, 3)
    extra = {look for look in got - known - more if look.split()[0] in ("entry", "read") and "/d" in look}
    extra -= looks("read", 0, 1, 2, 3) | {f"entry app/d{folder}" for folder in range(FOLDERS)}
    assert extra == set()


def test_an_attribute_is_seen_behind_many_looks(bench: ObserverBench) -> None:
    one = observed(bench, "read('d4', 'd5'); print(os.getxattr('/app/tagged', 'user.note'))")
    assert one.outcome is not None
    assert one.outcome.out == "b'kept'\n"
    assert "xattrs app/tagged" in one.looks


def test_what_lists_attributes_says_none_as_ever(bare: ObserverBench) -> None:
    one = observed(bare, "read('d4', 'd5'); print(os.listxattr('/app/tagged'))")
    assert one.outcome is not None
    assert one.outcome.out == "[]\n"


def test_io_uring_is_refused(bench: ObserverBench) -> None:
    """A step has no way to files but by system calls."""
    script = "import ctypes; print(ctypes.CDLL(None).syscall(425, 4, ctypes.create_string_buffer(120)))"
    (one,) = bench.observe(bench.python(script))
    assert one.outcome is not None
    assert (one.outcome.out, one.outcome.code) == ("-1\n", 0)
