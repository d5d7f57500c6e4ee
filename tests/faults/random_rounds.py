"""One round: an operation meets faults at random. It ends right or with one clear error, in time; nothing wrong is
stored; and the same again without faults does what it should."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import random_buckets, random_cases
from tests.faults.random_cases import Case
from tests.faults.random_faults import BUCKET_PATHS, PATHS, network_fault
from tests.faults.random_site import Site, cleared, tagged, unsound
from tests.support.command import Completed
from tests.support.waiting import PATIENCE, copied

from lamina.diagnostics import exit_code

CASES = {**random_cases.CASES, **random_buckets.CASES}
_ERROR = re.compile(r"^  \[([a-z0-9-]+)\]$", re.MULTILINE)


#: What an interpreter says that is interrupted before the command is there.
_STARTING = "in <module>\n"


@dataclass
class Round:
    """See the module's docstring. `kind` is one of `CASES`, by default the seed's; `wrong` says what was
    found, `told` what was done."""

    site: Site
    seed: int
    folder: Path
    kind: str = ""
    told: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    ended: str = ""

    def run(self) -> None:
        chance = random.Random(self.seed)
        self.folder.mkdir()
        self.kind = self.kind or chance.choice(list(CASES))
        with ExitStack() as held:
            held.callback(cleared, self.folder)
            held.callback(self.site.proxy.plan)
            held.callback(self.site.bucket_proxy.plan)
            case = CASES[self.kind](self.site, self.seed, self.folder)
            self.told.append(f"{self.kind}: lamina {' '.join(map(str, case.words))}")
            self._broken(case, chance, held)
            case.mend()
            self._again(case)

    def _broken(self, case: Case, chance: random.Random, held: ExitStack) -> None:
        """The operation with its faults."""
        spoiled = case.spoil is not None and (not case.online or chance.random() < 0.6)
        if spoiled and case.spoil is not None:
            self.told += case.spoil(chance)
        proxy, paths = (self.site.bucket_proxy, BUCKET_PATHS) if case.bucket else (self.site.proxy, PATHS)
        faults = [network_fault(chance, paths) for _ in range(chance.choice((1, 1, 2, 3)))] if case.online else []
        blow = chance.choice(
            ("kill", "interrupt", "limit", "disk", "", "", "", "") if case.online or spoiled else BLOWS
        )
        if blow == "limit" and case.runs:
            blow = "kill"  # steps would have the limit, too
        env: dict[str, str] = {}
        if blow == "limit":
            env["HASTY_FILE_BYTES"] = str(chance.choice((200_000, chance.randrange(40_000, 3_000_000))))
        if blow == "disk":
            self._move(case, chance.choice((200_000, chance.randrange(50_000, 4_000_000))), held)
        self.told += [*map(str, faults), *(f"{name}={value}" for name, value in env.items()), blow]
        proxy.plan(*faults)
        started = time.monotonic()
        process = subprocess.Popen(
            case.machine.line(*case.words),
            env=case.machine.environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        if blow in ("kill", "interrupt"):
            # An interpreter that is only starting says itself that it was interrupted.
            time.sleep(chance.uniform(0.15 if blow == "interrupt" else 0.02, 0.6))
            process.send_signal(signal.SIGKILL if blow == "kill" else signal.SIGINT)
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            self.wrong.append(f"not done after {PATIENCE:.0f} s")
        done = Completed(process.returncode, out, err)
        self.told.append(f"status {done.code} after {time.monotonic() - started:.1f} s: {done.err[-1500:]}")
        proxy.plan()
        if blow == "disk" and done.code == 0:
            # What was pulled without unpacking fits where its files do not: they are looked at with more room.
            subprocess.run(["mount", "-o", "remount,size=1g", self.folder / "disk"], check=True)
        self._judge(case, done, blow, spoiled)
        self._look_around(case, killed=blow in ("kill", "interrupt"), full=blow in ("limit", "disk"))

    def _judge(self, case: Case, done: Completed, blow: str, spoiled: bool) -> None:
        self.ended = "right" if done.code == 0 else f"status {done.code}"
        if done.code == 0:
            if case.strict or not spoiled:
                self.wrong += case.right(done)
            return
        if blow == "kill" and done.code == -signal.SIGKILL:
            return
        if blow == "interrupt" and (done.code == 130 or _STARTING in done.err or not done.err):
            if "Traceback" in done.err and _STARTING not in done.err:
                self.wrong.append("a traceback after an interrupt")
            return
        found = _ERROR.findall(done.err)
        if "Traceback" in done.err or "internal-bug" in done.err:
            self.wrong.append("a traceback")
        elif not found or "error: " not in done.err:
            self.wrong.append("no clear error")
        elif exit_code(found[-1]) != done.code:
            self.wrong.append(f"status {done.code} for {found[-1]}")
        if case.free and blow not in ("limit", "disk"):
            self.wrong.append("a cache failed a build")

    def _look_around(self, case: Case, *, killed: bool, full: bool) -> None:
        """What is there after it, whatever became of it."""
        checked = case.machine.run("cache", "verify")
        # A disk without a free byte holds a store that cannot be looked at.
        if checked.code and not (full and "[store-full]" in checked.err):
            self.wrong.append(f"the store: {checked.out}{checked.err}")
        if case.out is not None and self.ended != "right":
            beside = sorted(path.name for path in case.out.parent.glob(f"*{case.out.name}*"))
            if killed and not case.out.exists():
                beside = []  # drafts that a kill leaves
            elif killed and not list(case.right(Completed(0, b"", b""))):
                beside = []  # killed when all was done
            if beside:
                self.wrong.append(f"left behind: {beside}")
        if case.repository:
            self.wrong += unsound(self.site.server, case.repository)
            wanted = {self.site.manifest, None}
            if "app" in case.repository and tagged(self.site.server, case.repository) not in wanted:
                self.wrong.append("the tag names another image")

    def _again(self, case: Case) -> None:
        """Without faults, twice where the first may only mend."""
        done = case.machine.run(*case.words, env={"HASTY_SECONDS": str(PATIENCE)})
        if done.code != 0:
            self.wrong.append(f"again without faults: {done.code} {done.err[-1500:]}")
            return
        self.wrong += (f"again: {one}" for one in case.right(done))
        left = [path.name for path in (case.machine.root / "tmp").iterdir()]
        if left:
            self.wrong.append(f"left in the store: {left}")
        checked = case.machine.run("cache", "verify")
        if checked.out != "everything is what its digest says\n":
            self.wrong.append(f"the store in the end: {checked.out}{checked.err}")
        if case.repository:
            self.wrong += unsound(self.site.server, case.repository)

    def _move(self, case: Case, spare: int, held: ExitStack) -> None:
        """Put the machine's store, and what it writes, onto a file system with so many bytes left."""
        root = case.machine.root
        needed = int(subprocess.run(["du", "-sB1", root], capture_output=True, check=True).stdout.split()[0])
        place, aside = self.folder / "disk", self.folder / "aside"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={needed + spare + 65536}", "tmpfs", place], check=True)
        copied(root, place / "store")
        root.rename(aside)
        root.symlink_to(place / "store")

        def back() -> None:
            root.unlink()
            copied(place / "store", root)
            subprocess.run(["umount", "-l", place], check=True)

        # What is on the small disk is taken back before the operation is tried again.
        case.mend = _both(case.mend, back)
        held.callback(lambda: subprocess.run(["umount", "-l", place], capture_output=True, check=False))


BLOWS = ("kill", "kill", "interrupt", "limit", "limit", "disk")


def _both(first: Callable[[], object], then: Callable[[], object]) -> Callable[[], None]:
    def both() -> None:
        first()
        then()

    return both
