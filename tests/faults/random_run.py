"""`./dev test-faults [ROUNDS] [--seed SEED]`: pushes, pulls, caches, exports and imports that meet faults at random.

Seeds are taken from 0 on. A round in which something was wrong is printed with its faults, and can be repeated alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.faults.random_rounds import Round
from tests.faults.random_site import made, wrong_files
from tests.support.base_images import busybox_rootfs

#: Rounds with one registry.
_TOGETHER = 20


def rounds(seeds: Sequence[int], folder: Path, busybox: Path) -> tuple[Counter[str], list[str]]:
    """Run these seeds one after the other; what was done, counted, and the stories of those that found something."""
    tally, stories = Counter[str](), []
    with made(folder, busybox) as site:
        for seed in seeds:
            one = Round(site, seed, folder / f"round-{seed}")
            try:
                one.run()
            except Exception:  # a round that cannot even be judged is a wrong one
                one.wrong.append(traceback.format_exc())
            tally[f"{one.kind} {'right' if one.ended == 'right' else 'failed'}"] += 1
            tally["rounds"] += 1
            if one.wrong:
                tally["wrong"] += 1
                stories.append("\n  ".join([f"seed {seed}", *one.told, *(f"WRONG: {text}" for text in one.wrong)]))
        for name in wrong_files(site.server):
            tally["wrong"] += 1
            stories.append(f"the registry's disk has other bytes for {name}")
    return tally, stories


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev test-faults", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rounds", nargs="?", type=int, help="how many (default: 500)")
    parser.add_argument("--seed", type=int, help="this seed alone, or with ROUNDS from this one on")
    arguments = parser.parse_args()
    count = arguments.rounds or (500 if arguments.seed is None else 1)
    seeds = range(arguments.seed or 0, (arguments.seed or 0) + count)
    workers = min(os.cpu_count() or 1, len(seeds))
    started, total = time.monotonic(), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
        busybox = busybox_rootfs(Path(folder))
        with ProcessPoolExecutor(workers) as pool:
            running = [
                pool.submit(rounds, seeds[first : first + _TOGETHER], Path(folder) / str(first), busybox)
                for first in range(0, len(seeds), _TOGETHER)
            ]
            for future in as_completed(running):
                tally, stories = future.result()
                total.update(tally)
                for story in stories:
                    say(f"{story}\n")
    for name in sorted(total):
        if " " in name:
            say(f"{total[name]:5} {name}")
    say(f"{total['rounds']} rounds in {time.monotonic() - started:.0f}s. Wrong: {total['wrong']}")
    return 1 if total["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
