"""The command. `main` is the console script's entry."""

from __future__ import annotations


def main() -> int:
    """Run `lamina` with the process's arguments; returns the exit status."""
    import sys

    from lamina.cli.main import run

    return run(sys.argv[1:])
