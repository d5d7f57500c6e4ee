"""`python -m tests.fuzz.run [SECONDS] [--seed N] [FILE…]`: look for inputs that the parser, planner or matcher dies of.

With atheris (`pip install atheris`) libFuzzer leads, by what code an input reaches; without it inputs are mutated by
the seed alone. `--engine` chooses. FILEs are inputs to examine again. Findings are written to `.dev/fuzz/` and end in
exit status 1; the mutating engine goes on after a finding and keeps one input, the shortest, for each place of failure.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.util
import sys
import time
import traceback
from pathlib import Path
from random import Random

FOUND = Path(".dev/fuzz")


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev fuzz")
    parser.add_argument("seconds", nargs="?", type=float, default=60)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    default = "atheris" if importlib.util.find_spec("atheris") else "mutate"
    parser.add_argument("--engine", choices=("atheris", "mutate"), default=default)
    options = parser.parse_args()
    FOUND.mkdir(parents=True, exist_ok=True)
    if options.files:
        return again(options.files)
    if options.engine == "atheris":
        return guided(options.seconds, options.seed)
    return blind(options.seconds, options.seed)


def again(files: list[Path]) -> int:
    from tests.fuzz.target import examine

    for path in files:
        examine(path.read_bytes())
    return 0


def blind(seconds: float, seed: int) -> int:
    """Mutate and examine until the time is up."""
    from tests.fuzz.mutate import mutated, seeds
    from tests.fuzz.target import examine

    random, pool, found = Random(seed), seeds(), dict[str, bytes]()
    began, count = time.monotonic(), 0
    for data in pool:
        examine(data)
    while time.monotonic() - began < seconds:
        data = mutated(random, pool)
        count += 1
        try:
            examine(data)
        except Exception as error:
            place = where(error)
            if place not in found or len(data) < len(found[place]):
                found[place] = data
                print(f"{place}\n  {data[:300]!r}", flush=True)
        # What was made is at times the ground of what comes next.
        if random.random() < 0.01:
            pool[random.randrange(len(pool))] = data
            if len(pool) < 2000:
                pool.append(data)
    for place, data in found.items():
        (FOUND / hashlib.sha256(place.encode()).hexdigest()[:12]).write_bytes(data)
    spent = time.monotonic() - began
    print(f"seed {seed}: {count} inputs in {spent:.0f} s, {count / spent:.0f} a second, {len(found)} findings")
    return 1 if found else 0


def where(error: BaseException) -> str:
    """The kind of a failure: its type and the innermost place in the project."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/lamina/" in frame.filename]
    place = frames[-1] if frames else traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}: {str(error)[:160]}"


def guided(seconds: float, seed: int) -> int:
    """libFuzzer, led by coverage. It ends this process itself."""
    atheris = importlib.import_module("atheris")

    with atheris.instrument_imports(include=["lamina"]):
        from tests.fuzz.mutate import TOKENS, seeds
        from tests.fuzz.target import examine
    folder = FOUND / "corpus"
    folder.mkdir(exist_ok=True)
    for data in seeds():
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    words = FOUND / "words"
    words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in token) + '"\n' for token in TOKENS if token))
    flags = [f"-max_total_time={int(seconds)}", f"-seed={seed}", "-max_len=4096", "-timeout=5", f"-dict={words}"]
    print(f"seed {seed}", flush=True)
    atheris.Setup([sys.argv[0], *flags, f"-artifact_prefix={FOUND}/", "-print_final_stats=1", str(folder)], examine)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
