"""`./dev test-truth [EDITS] [--seed SEED]`: forecasts compared with builds, and images with images without a cache.

Seeds are taken from 0 on until so many edits are made. A seed whose chain of edits comes upon something untrue is
printed with its edits, and can be repeated alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple, get_args

from tests.support.base_images import busybox_rootfs
from tests.truth.chain import Chain, make_store
from tests.truth.expect import Wrong

_LENGTH = 6


class Report(NamedTuple):
    """What became of a seed: what was done and found, counted; and told, if something was found."""

    seed: int
    tally: Counter[str]
    story: str


def one(seed: int, store: Path, *, length: int = _LENGTH, patient: bool = True) -> Report:
    """Run a seed's chain in a directory of its own."""
    # The process that a build leaves behind to sync the store may still write while it is deleted.
    with tempfile.TemporaryDirectory(prefix=f"{seed}-", dir=store.parent, ignore_cleanup_errors=True) as folder:
        chain = Chain(Path(folder), store, seed, patient=patient)
        chain.run(length)
    told = "\n  ".join([f"seed {seed} ({chain.shape.__name__}):", *chain.told]) if chain.wrong else ""
    return Report(seed, chain.tally, told)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev test-truth", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("edits", nargs="?", type=int, default=300, help="at least so many edits (default: 300)")
    parser.add_argument("--seed", type=int, help="this seed alone")
    arguments = parser.parse_args()
    started, total = time.monotonic(), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="truth-", ignore_cleanup_errors=True) as folder:
        store = Path(folder) / "store"
        make_store(store, busybox_rootfs(Path(folder)))
        seeds = range(-(-arguments.edits // _LENGTH)) if arguments.seed is None else [arguments.seed]
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            for report in pool.map(one, seeds, [store] * len(seeds)):
                total.update(report.tally)
                if report.story:
                    say(f"{report.story}\n  again: ./dev test-truth --seed {report.seed}\n")
    checked = ", ".join(f"{total[name]} {name}" for name in ("edits", "predictions", "causes", "images"))
    wrong = ", ".join(f"{total[kind]} {kind}" for kind in get_args(Wrong))
    say(f"{checked} in {time.monotonic() - started:.0f}s. Wrong: {wrong}")
    return 1 if any(total[kind] for kind in get_args(Wrong)) else 0


if __name__ == "__main__":
    sys.exit(main())
