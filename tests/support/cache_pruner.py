"""A process that clears away in a shared cache again and again, with less patience than `lamina cache remote prune`.

    python -m tests.support.cache_pruner PLACE GRACE

Until a line comes on standard input; then it says how often it did and how many documents and blobs it removed.
"""

from __future__ import annotations

import os
import select
import sys

from lamina.sharing.places import Limits, open_place, parse_place
from lamina.sharing.prune import prune
from lamina.workshop.registries import make_session


def main(words: str, grace: str) -> None:
    place, timeout = parse_place(words)
    store = open_place(place, timeout, make_session(os.environ, "0"))
    rounds = documents = blobs = 0
    while not select.select([sys.stdin], [], [], 0.01)[0]:
        # By turns all that may go, the older half or so, and what nothing names.
        limits = (Limits(max_size=0), Limits(max_size=400_000), Limits())[rounds % 3]
        gone = prune(store, limits, grace=float(grace))
        rounds, documents, blobs = rounds + 1, documents + gone.documents, blobs + gone.blobs
    sys.stdout.write(f"{rounds} {documents} {blobs}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
