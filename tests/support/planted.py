"""Generated repositories whose best order is known: planted, spoilt, and to be found again.

`python -m tests.support.planted [SEEDS]` (or `./dev test-advice-planted`) tries many; the suite tries some.
"""

from __future__ import annotations

import random
import sys
from itertools import pairwise
from typing import NamedTuple

from tests.support.advising import LOCKS, planned
from tests.support.histories import Tree, history_of

from lamina.advise.advice import Case, advise
from lamina.advise.cost import CostBook
from lamina.advise.sheet import sheet

#: Installs with the files that they read, and steps that read nothing.
_INSTALLS = (
    ("pipenv install --deploy", ("Pipfile", "Pipfile.lock")),
    ("npm ci", ("package.json", "package-lock.json")),
    ("pip install -r requirements.txt", ("requirements.txt",)),
    ("go mod download", ("go.mod", "go.sum")),
    ("composer install --no-scripts --no-autoloader", ("composer.json", "composer.lock")),
)
_FREE = ("apt-get install -y git", "pip install pipenv", "apk add make", "useradd me", "npm install -g pnpm")
_FOLDERS = ("assets", "config", "templates")


def spoilt(seed: int) -> tuple[str, str, list[Tree]]:
    """A Dockerfile in the best order that there is, the same one spoilt, and a history with change rates of its own."""
    dice = random.Random(seed)
    free = dice.sample(_FREE, dice.randint(1, 3))
    installs = dice.sample(_INSTALLS, dice.randint(1, 3))
    if _INSTALLS[0] in installs and _INSTALLS[2] in installs:
        installs.remove(_INSTALLS[2])  # both install Python packages, so that their order is not free
    folders = dice.sample(_FOLDERS, dice.randint(0, 2))
    rates = {path: dice.choice((0.0, 0.02, 0.1)) for _, files in installs for path in files}
    rates |= {f"{folder}/a": dice.choice((0.05, 0.2)) for folder in folders} | {"src/main": 0.9, "README": 0.1}
    tree = {**dict.fromkeys(rates, "0"), **LOCKS}
    past: list[Tree] = [tree]
    for number in range(1, 40):
        changed = [path for path in rates if dice.random() < rates[path]]
        # Manifests keep what they say, and change in a way that counts all the same.
        tree = {
            **tree,
            **{path: (LOCKS.get(path, "") + "\n" * number if path in LOCKS else str(number)) for path in changed},
        }
        past.append(tree)

    def often(files: tuple[str, ...]) -> int:
        return sum(any(one.get(path) != two.get(path) for path in files) for one, two in pairwise(past))

    best = [f"RUN {one}" for one in free]
    for command, files in sorted(installs, key=lambda one: often(one[1])):
        best += [f"COPY {' '.join(files)} ./", f"RUN {command}"]
    copies = [f"COPY {folder} /data/{folder}/" for folder in sorted(folders, key=lambda one: often((f"{one}/a",)))]
    best += [*copies, "COPY . .", "RUN make"]
    work = [f"RUN {one}" for one in free] + [f"RUN {command}" for command, _ in installs]
    spoilt = list(work)
    for copy in dice.sample(copies, len(copies)):
        spoilt.insert(dice.randint(0, len(spoilt)), copy)
    first = min(spoilt.index(f"RUN {command}") for command, _ in installs)
    spoilt.insert(dice.randint(0, first), "COPY . .")
    texts = ["\n".join(["FROM base", "WORKDIR /app", *lines, ""]) for lines in (best, [*spoilt, "RUN make"])]
    return texts[0], texts[1], past


class Losses(NamedTuple):
    """Seconds that a history loses in the spoilt order, in the one that was found, and in the planted one."""

    spoilt: float
    found: float
    planted: float

    @property
    def is_found(self) -> bool:
        return self.found <= self.planted * 1.001

    @property
    def is_worse(self) -> bool:
        return self.found > self.spoilt


def losses(seed: int) -> Losses:
    best, bad, past = spoilt(seed)
    found = []
    for text in (bad, best):
        case = Case(sheet(text.encode(), "D"), planned, CostBook({}, {}), history_of(past), None, past[-1].get)
        found.append(advise(case))
    return Losses(found[0].before.replay.seconds, found[0].after.replay.seconds, found[1].before.replay.seconds)


def main() -> int:
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
    found = worse = 0
    for seed in seeds:
        one = losses(seed)
        found, worse = found + one.is_found, worse + one.is_worse
        if one.is_worse or not one.is_found:
            sys.stdout.write(f"seed {seed}: {one.spoilt:.0f}s, found {one.found:.0f}s, planted {one.planted:.0f}s\n")
    sys.stdout.write(f"the planted order found in {found} of {len(seeds)} seeds, a worse one in {worse}\n")
    return 0 if found >= 0.95 * len(seeds) and not worse else 1


if __name__ == "__main__":
    sys.exit(main())
