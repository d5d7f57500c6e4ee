"""Choosing a runner by name, each in a process of its own because choosing enters namespaces."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from lamina.diagnostics import BuildFailure
from lamina.runtime.select import choose
try:
    print(choose(sys.argv[1] if len(sys.argv) > 1 else None).name)
except BuildFailure as failure:
    print(failure.diagnostic.reference, failure.diagnostic.hint)
"""


def choose(*names: str, path: str | None = None, bundled: bool = True) -> str:
    folders = [part for part in sys.path if part]
    # The PyPI package may be installed beside the tests.
    program = PROGRAM if bundled else f"import importlib.util\nimportlib.util.find_spec = lambda name: None\n{PROGRAM}"
    done = subprocess.run(
        [sys.executable, "-c", program, *names],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders), **({"PATH": path} if path else {})},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("name", [(), ("auto",), ("bwrap",), ("bubblewrap",)])
def test_bubblewrap_is_the_default(name: tuple[str, ...]) -> None:
    assert choose(*name) == "bubblewrap, root, overlay"


def test_an_oci_runtime_by_name_and_by_path() -> None:
    assert choose("runc") == "runc, root, overlay"
    assert choose("/usr/sbin/runc") == "runc, root, overlay"


def test_what_is_not_there_is_named() -> None:
    assert choose("no-such-runtime").startswith("runtime-not-found")


def test_without_bubblewrap_auto_takes_an_oci_runtime(tmp_path: Path) -> None:
    assert choose("auto", path=str(tmp_path), bundled=False) == "runc, root, overlay"
    refused = choose("bwrap", path=str(tmp_path), bundled=False)
    assert refused.startswith("runtime-no-bubblewrap")
    assert "apt-get install bubblewrap" in refused
