"""`./dev test-advice [NAME…]`: what `lamina advise` says of Dockerfiles with known faults, proved with the real tools.

Each case is advised on, and where there is a better order, both are built at head and at earlier commits. A NAME is a
part of a case's name or its ecosystem.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.advice.case import CASES, Case
from tests.advice.images import provide
from tests.advice.judge import advised, complaints
from tests.support.command import Command

_WIDTHS = (26, 10, 6, 7, 9, 6, 5)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev test-advice", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="parts of names, or ecosystems (default: all)")
    parser.add_argument("--commits-to-build", type=int, default=2, metavar="K", help="earlier commits (default: 2)")
    arguments = parser.parse_args()
    cases = [case for case in CASES.values() if _is_meant(case, arguments.names)]
    failed, count = 0, str(arguments.commits_to_build)
    with tempfile.TemporaryDirectory(prefix="advice-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        command = Command(Path(folder) / "store", patience=1800)
        provide(command, {case.image for case in cases})
        _row("case", "ecosystem", "moves", "saved", "verdict", "noise", "s")
        for case in cases:
            started = time.monotonic()
            try:
                found = advised(command, case, Path(folder), "--prove", "--commits-to-build", count)
            except AssertionError as error:
                found, wrong = {}, [str(error)]
            else:
                wrong = list(complaints(case, found))
            failed += bool(wrong)
            _row(case.name, case.ecosystem, *_told(found), f"{time.monotonic() - started:.0f}")
            for complaint in wrong:
                _say(f"  WRONG: {complaint}")
    _say(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _is_meant(case: Case, names: Sequence[str]) -> bool:
    return not names or any(name in case.name or name == case.ecosystem for name in names)


def _told(found: Any) -> tuple[str, str, str, str]:
    """Moves, what they save, the verdict, and how many paths are noise."""
    if not found.get("patch"):
        return "–", "–", "no better" if found else "–", "–"
    share = found["saved"] / found["before"]["seconds"]
    noise = {one["path"] for built in found["proof"]["commits"] for one in built["differing"] if one["noise"]}
    return str(len(found["moves"])), f"{share:.0%}", found["proof"]["verdict"], str(len(noise))


def _row(*words: str) -> None:
    _say("  ".join(f"{word:<{width}}" for word, width in zip(words, _WIDTHS, strict=True)).rstrip())


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
