"""The command. `main` is the console script's entry."""

from __future__ import annotations


def main() -> int:
    """Run `lamina` with the process's arguments; returns the exit status."""
    import sys

    if sys.argv[1:2] == ["build"]:
        import os

        from lamina.cli.unchanged import replay

        status = replay(sys.argv[2:], os.environ)
        if status is not None:
            return status

    from lamina.cli.main import run

    return run(sys.argv[1:])
