"""One round: an operation meets faults at random. It ends right or with one clear error, in time; nothing wrong is
stored; and the same again without faults does what it should."""

from __future__ import annotations

import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.random_faults import damage, damage_folder, network_fault, tamper
from tests.faults.random_site import Hasty, Site, build, cleared, digest, get, unsound
from tests.support.command import Completed

from lamina.diagnostics import exit_code

#: Seconds that an operation may take. A cache or a registry that hangs costs a few seconds, each time it is asked anew.
BOUND = 40.0
_ERROR = re.compile(r"^  \[([a-z0-9-]+)\]$", re.MULTILINE)


#: What an interpreter says that is interrupted before the command is there.
_STARTING = "in <module>\n"

#: A build whose digest is known; a name follows.
BUILD = ("build", "-q", "--reproducible", "-t")


@dataclass
class Case:
    """An operation on one machine. `right` lists what is wrong of a success; `out` is the file that it writes, if it
    does. A `free` operation may not fail because of the network. `inputs` may be damaged beforehand; `mend` undoes it.
    `repository` is where it writes in the registry."""

    machine: Hasty
    words: list[str | Path]
    right: Callable[[Completed], Iterator[str]]
    repository: str = ""
    out: Path | None = None
    online: bool = True
    free: bool = False
    runs: bool = False
    spoil: Callable[[random.Random], list[str]] | None = None
    mend: Callable[[], object] = lambda: None
    #: Whether a success with damaged inputs must be right, too: a changed tar of files is another tar of files.
    strict: bool = True


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
        faults = [network_fault(chance) for _ in range(chance.choice((1, 1, 2, 3)))] if case.online else []
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
        self.site.proxy.plan(*faults)
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
            out, err = process.communicate(timeout=BOUND)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            self.wrong.append(f"not done after {BOUND:.0f} s")
        done = Completed(process.returncode, out, err)
        self.told.append(f"status {done.code} after {time.monotonic() - started:.1f} s: {done.err[-1500:]}")
        self.site.proxy.plan()
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
            if "app" in case.repository and _tagged(self.site, case.repository) not in wanted:
                self.wrong.append("the tag names another image")

    def _again(self, case: Case) -> None:
        """Without faults, twice where the first may only mend."""
        done = case.machine.run(*case.words)
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
        subprocess.run(["cp", "-a", root, place / "store"], check=True)
        root.rename(aside)
        root.symlink_to(place / "store")

        def back() -> None:
            root.unlink()
            subprocess.run(["cp", "-a", place / "store", root], check=True)
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


def _tagged(site: Site, repository: str) -> str | None:
    import hashlib

    raw = get(site.server, f"{repository}/manifests/1")
    return None if raw is None else "sha256:" + hashlib.sha256(raw).hexdigest()


# --- the operations --------------------------------------------------------------------------------------------------
def _push(site: Site, seed: int, folder: Path) -> Case:
    machine, repository = site.machine(folder / "store", site.built), f"r{seed}/app"
    name = f"{site.proxy.host}/{repository}:1"
    machine.run("tag", "app", name).ok()

    def right(done: Completed) -> Iterator[str]:
        if done.out.strip() != site.manifest or _tagged(site, repository) != site.manifest:
            yield f"pushed {done.out.strip()}, the tag has {_tagged(site, repository)}"

    return Case(machine, ["push", "-q", name], right, repository)


def _pull(site: Site, seed: int, folder: Path) -> Case:
    machine = Hasty(folder / "store", env={"HOME": str(site.folder)})
    machine.run("images").ok()
    name = f"{site.proxy.host}/images/app:1"

    def right(done: Completed) -> Iterator[str]:
        if done.out.strip() != site.manifest:
            yield f"pulled {done.out.strip()}"
        yield from _same_files(site, machine, name, folder)

    return Case(machine, ["pull", "-q", name], right)


def _same_files(site: Site, machine: Hasty, name: str, folder: Path) -> Iterator[str]:
    tar = folder / "seen.tar"
    done = machine.run("export", name, "-o", tar)
    if done.code or digest(tar) != site.files:
        yield f"the image's files are others: {done.err}"
    tar.unlink(missing_ok=True)


def _built(site: Site, machine: Hasty, folder: Path) -> Callable[[Completed], Iterator[str]]:
    def right(done: Completed) -> Iterator[str]:
        image = machine.run("inspect", "app")
        if site.image not in image.out + done.out:
            yield f"built another image: {image.out}{image.err}"
        yield from _same_files(site, machine, "app", folder)

    return right


def _cache_to(site: Site, seed: int, folder: Path) -> Case:
    machine, repository = site.machine(folder / "store", site.plain), f"r{seed}/cache"
    words: list[str | Path] = [
        *BUILD,
        "app",
        "--cache-to",
        _cache(site, repository),
        site.context,
    ]
    return Case(machine, words, _built(site, machine, folder), repository, free=True, runs=True)


def _cache(site: Site, repository: str) -> str:
    return f"type=registry,ref={site.proxy.host}/{repository},timeout=1"


def _cache_from(site: Site, seed: int, folder: Path) -> Case:
    machine = site.machine(folder / "store", site.plain)
    words: list[str | Path] = [
        *BUILD,
        "app",
        "--cache-from",
        _cache(site, "images/cache"),
        site.context,
    ]
    return Case(machine, words, _built(site, machine, folder), "images/cache", free=True, runs=True)


def _cached_push(site: Site, seed: int, folder: Path) -> Case:
    machine, repository = site.machine(folder / "store", site.plain), f"r{seed}/app"
    name = f"{site.proxy.host}/{repository}:1"
    words: list[str | Path] = [
        *BUILD,
        name,
        "--push",
        "--cache-from",
        _cache(site, "images/cache"),
    ]

    def right(done: Completed) -> Iterator[str]:
        if _tagged(site, repository) != site.manifest:
            yield f"the tag has {_tagged(site, repository)}"

    return Case(machine, [*words, site.context], right, repository, runs=True)


def _tampered(site: Site, seed: int, folder: Path) -> Case:
    machine, repository = site.machine(folder / "store", site.plain), f"r{seed}/cache"
    writer = site.machine(folder / "writer", site.built)
    direct = f"type=registry,ref={site.server.host}/{repository}"
    build(writer, site.context, "--no-cache", "--cache-to", direct).ok()
    cache = _cache(site, repository)
    words: list[str | Path] = [
        *BUILD,
        "app",
        "--cache-from",
        cache,
        "--cache-to",
        cache,
        site.context,
    ]

    def spoil(chance: random.Random) -> list[str]:
        return tamper(site.server, repository, chance)

    return Case(machine, words, _built(site, machine, folder), repository, free=True, runs=True, spoil=spoil)


def _folder_cache(site: Site, seed: int, folder: Path) -> Case:
    machine, place = site.machine(folder / "store", site.plain), folder / "cache"
    shutil.copytree(site.cache, place)
    both = [f"--cache-{way}=type=local,dest={place}" for way in ("from", "to")]
    words: list[str | Path] = [*BUILD, "app", *both, site.context]

    return Case(
        machine,
        words,
        _built(site, machine, folder),
        online=False,
        free=True,
        runs=True,
        spoil=lambda chance: damage_folder(place, chance),
    )


def _archive(site: Site, seed: int, folder: Path) -> Case:
    machine, out = site.machine(folder / "store", site.built), folder / "layout.tar"
    words: list[str | Path] = [*BUILD, "app", "-o", f"type=oci,dest={out}", site.context]

    def right(done: Completed) -> Iterator[str]:
        if not out.exists() or digest(out) != digest(site.layout):
            yield "the archive is another"

    return Case(machine, words, right, out=out, online=False, runs=True)


def _save(site: Site, seed: int, folder: Path) -> Case:
    machine, out = site.machine(folder / "store", site.built), folder / "saved.tar"

    def right(done: Completed) -> Iterator[str]:
        if not out.exists() or digest(out) != digest(site.saved):
            yield "the archive is another"

    return Case(machine, ["save", "app", "-o", out], right, out=out, online=False)


def _export(site: Site, seed: int, folder: Path) -> Case:
    machine, out = site.machine(folder / "store", site.built), folder / "exported.tar"

    def right(done: Completed) -> Iterator[str]:
        if not out.exists() or digest(out) != site.files:
            yield "the tar is another"

    return Case(machine, ["export", "app", "-o", out], right, out=out, online=False)


def _load(site: Site, seed: int, folder: Path) -> Case:
    machine, source = site.machine(folder / "store", site.plain), folder / "archive.tar"
    whole = site.saved if seed % 2 else site.layout
    shutil.copy(whole, source)

    def right(done: Completed) -> Iterator[str]:
        if "app:latest" not in done.out:
            yield f"loaded {done.out}"
        yield from _same_files(site, machine, "app", folder)

    return Case(
        machine,
        ["load", "-i", source],
        right,
        online=False,
        spoil=lambda chance: [damage(source, chance)] if chance.random() < 0.6 else [],
        mend=lambda: shutil.copy(whole, source),
        strict=False,
    )


def _import(site: Site, seed: int, folder: Path) -> Case:
    machine, source = Hasty(folder / "store", env={"HOME": str(site.folder)}), folder / "root.tar"
    machine.run("images").ok()
    shutil.copy(site.root, source)

    def right(done: Completed) -> Iterator[str]:
        if done.out.strip() != site.imported:
            yield f"imported {done.out}"

    return Case(
        machine,
        ["import", source, "busybox", "--env", "PATH=/bin"],
        right,
        online=False,
        spoil=lambda chance: [damage(source, chance, flips=False)] if chance.random() < 0.6 else [],
        mend=lambda: shutil.copy(site.root, source),
    )


CASES: dict[str, Callable[[Site, int, Path], Case]] = {
    "push": _push,
    "pull": _pull,
    "cache-to": _cache_to,
    "cache-from": _cache_from,
    "cached-push": _cached_push,
    "tampered": _tampered,
    "folder-cache": _folder_cache,
    "archive": _archive,
    "save": _save,
    "export": _export,
    "load": _load,
    "import": _import,
}
