"""`./dev demo`: the lesson on layer caching, happening.

Builds the example shop with the real command `lamina`, in the lesson's bad order and in its good one: cold, again, and
after one changed line. Then runs the image, fetches a page, and shows a build that must fail. Everything that the
lesson promises is checked; the exit status is 1 if anything came out otherwise.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from examples.base_image import CACHE, docker_hub_answers, python_rootfs

SHOP = Path(__file__).resolve().parent / "shop"
LAMINA = Path(sys.executable).parent / "lamina"
HUB_IMAGE = "python:3.12-slim"
OWN_IMAGE = "python-from-debian"
PIP = "RUN pip install pipenv"
PIPENV = "RUN pipenv install --deploy --system"
COPY = "COPY . ."
SOURCE = "catalogue/views.py"
ROW = re.compile(
    r"\s*((?:FROM|WORKDIR|RUN|COPY|EXPOSE|CMD)\b.*?)\s{2,}(cached|CHANGED|rebuilds|new|metadata|fetched)\b(.*)"
)
STEP_BEGINS = re.compile(r"#\d+ \[.*\d+/\d+\] ")


@dataclass(frozen=True)
class Build:
    """One run of `lamina build`: exit status, seconds, output, and the table: instruction → verdict and remark."""

    status: int
    seconds: float
    output: str
    table: dict[str, tuple[str, str]]

    def verdict(self, instruction: str) -> str:
        """What the table says of an instruction."""
        return self.table.get(instruction, ("missing", ""))[0]

    def remark(self, instruction: str) -> str:
        """What the table says behind the verdict, such as the file that changed."""
        return self.table.get(instruction, ("", ""))[1]

    @property
    def all_cached(self) -> bool:
        """True when the build worked and no instruction had anything to do."""
        return bool(self.table) and self.status == 0 and {verdict for verdict, _ in self.table.values()} <= CALM


CALM = {"cached", "metadata"}


class Demo:
    """One showing, with a copy of the shop and a store of its own."""

    def __init__(self, work: Path) -> None:
        self.shop = work / "shop"
        self.failures = 0
        self.base: list[str] = []
        self.environment = {**os.environ, "LAMINA_ROOT": str(work / "store"), "COLUMNS": "120"}

    def play(self) -> int:
        """Everything in order; the number of promises that did not hold."""
        self.base_image()
        bad = self.order("bad", "The bad order: the code first, then the dependencies")
        self.expect(
            bad[2].verdict(PIP) == "rebuilds", "pip install pipenv runs again only because of the COPY above it"
        )
        self.expect(bad[2].verdict(PIPENV) == "rebuilds", "one changed line installs every dependency again")

        good = self.order("good", "The good order: the dependencies first, the code last")
        self.expect(good[2].verdict(PIPENV) == "cached", "the dependencies come from the cache")
        above = list(good[2].table.values())[: list(good[2].table).index(COPY)] if COPY in good[2].table else []
        self.expect(bool(above) and {verdict for verdict, _ in above} <= CALM, "everything above COPY . . is cached")
        self.expect(good[2].seconds < bad[2].seconds, "the same change is faster than in the bad order")

        self.metadata_of_files()
        self.summary({"bad order": bad, "good order": good})
        self.serve()
        self.outdated_lock_file()
        return self.failures

    def base_image(self) -> None:
        """Docker Hub's image where it can be had, else one from the machine's own distribution."""
        heading("The base image")
        if docker_hub_answers():
            print(f"Docker Hub answers, so the base is {HUB_IMAGE}, as in the lesson.")
            if self.lamina("pull", HUB_IMAGE) == 0:
                return
            print("The pull failed.")
        else:
            print("Docker Hub does not answer here.")
        print("The base is made from this machine's own Debian or Ubuntu (once: about half a minute) and imported.")
        try:
            rootfs = python_rootfs()
        except subprocess.CalledProcessError as error:
            sys.exit(f"demo: mmdebstrap failed:\n{error.stderr[-2000:]}")
        if self.lamina("import", str(rootfs), OWN_IMAGE):
            sys.exit("demo: the import failed")
        self.base = ["--build-arg", f"BASE={OWN_IMAGE}"]

    def order(self, name: str, title: str) -> list[Build]:
        """The lesson for one Dockerfile: the builds cold, unchanged, and after one changed line."""
        heading(title)
        shutil.rmtree(self.shop, ignore_errors=True)
        shutil.copytree(SHOP, self.shop, ignore=shutil.ignore_patterns("__pycache__", "db.sqlite3"))
        say("The first build: nothing is cached yet.")
        cold = self.build(name, live=True)
        self.expect(cold.status == 0 and cold.verdict(PIPENV) == "new", "the first build runs every step")

        say("Again, with nothing changed.")
        again = self.build(name)
        self.expect(again.all_cached, "nothing is built again")

        say(f"One line of {SOURCE} changes.")
        source = self.shop / SOURCE
        source.write_text(source.read_text().replace("Welcome to the shop", "Welcome to our shop"))
        changed = self.build(name, live=True)
        self.expect(changed.status == 0 and changed.verdict(COPY) == "CHANGED", "COPY . . has changed")
        self.expect(SOURCE in changed.remark(COPY), f"the table names {SOURCE}")
        return [cold, again, changed]

    def metadata_of_files(self) -> None:
        """Times of files do not count, permission bits do."""
        heading("What counts as a change")
        say("touch: every file gets a new time, and no other content.")
        for path in self.shop.rglob("*"):
            path.touch()
        self.expect(self.build("good").all_cached, "touch builds nothing again")

        say(f"chmod +x {SOURCE}: the same content, another mode.")
        source = self.shop / SOURCE
        mode = source.stat().st_mode
        source.chmod(mode | 0o111)
        executable = self.build("good")
        self.expect(executable.verdict(COPY) == "CHANGED" and SOURCE in executable.remark(COPY), "chmod +x does")
        self.expect(executable.verdict(PIPENV) == "cached", "and what stands above it stays cached")
        source.chmod(mode)

    def serve(self) -> None:
        """Run the image and look at Django's page from outside."""
        heading("The image runs")
        port = free_port()
        url = f"http://127.0.0.1:{port}/"
        with self.running("run", "shop:good", "python", "manage.py", "runserver", f"127.0.0.1:{port}") as process:
            page = fetch(url, process)
            print(f"$ fetch {url}")
            print("".join(f"    {line}\n" for line in page.splitlines()), end="")
            self.expect("Welcome to our shop" in page, "Django answers with the changed line")
        self.expect(not listening(port), "after ctrl-C nothing of it is left running")

    def outdated_lock_file(self) -> None:
        """`pipenv install --deploy` must refuse a lock file that does not belong to the Pipfile."""
        heading("A lock file that is out of date")
        say('Pipfile gets a line, requests = "*", and Pipfile.lock stays as it is.')
        pipfile = self.shop / "Pipfile"
        text = pipfile.read_text()
        pipfile.write_text(text.rstrip("\n") + '\nrequests = "*"\n')
        failed = self.build("good")
        self.expect(failed.status != 0, f"the build fails (exit status {failed.status})")
        self.expect("Aborting deploy" in failed.output, "by pipenv's own decision")
        self.expect(f"Dockerfile.good:{line_of(PIPENV)}" in failed.output, "and the line of the Dockerfile")

        say("Pipfile is put back.")
        pipfile.write_text(text)
        self.expect(self.build("good").all_cached, "everything is cached, as before the mistake")

    def summary(self, orders: dict[str, list[Build]]) -> None:
        """The seconds side by side."""
        heading("Seconds")
        print(f"    {'':<12}{'first build':>14}{'nothing changed':>18}{'one line changed':>19}")
        for name, builds in orders.items():
            cold, again, changed = (f"{build.seconds:.1f}" for build in builds)
            print(f"    {name:<12}{cold:>14}{again:>18}{changed:>19}")

    def build(self, order: str, live: bool = False) -> Build:
        """Build the shop and show lamina's table, or its error; with `live` also each step as it begins."""
        command = ["build", "--progress", "plain", *self.base, "-f", f"Dockerfile.{order}", "-t", f"shop:{order}", "."]
        print("$ lamina", *command, flush=True)
        start = time.perf_counter()
        lines = []
        with self.start(*command) as process:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                if live and STEP_BEGINS.match(line):
                    print(f"    {lines[-1]}", flush=True)
        seconds = time.perf_counter() - start
        rows = [(index, found) for index, line in enumerate(lines) if (found := ROW.fullmatch(line))]
        steps = [index for index, line in enumerate(lines) if STEP_BEGINS.match(line)]
        # The table of a build that worked; of one that failed all that its last step and lamina have to say.
        first = rows[0][0] if rows else max(steps, default=0)
        print(
            "\n" + "".join(f"    {line}".rstrip() + "\n" for line in lines[first:]) + f"    {seconds:.1f} s", flush=True
        )
        table = {found[1]: (found[2], found[3].strip()) for _, found in rows}
        return Build(process.returncode, seconds, "\n".join(lines), table)

    def lamina(self, *arguments: str) -> int:
        """Run another command of lamina; its output goes to the reader."""
        print("$ lamina", *arguments, flush=True)
        return subprocess.run([LAMINA, *arguments], env=self.environment, check=False).returncode

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command in the shop's directory, both of its outputs in one pipe."""
        return subprocess.Popen(
            [LAMINA, *arguments],
            cwd=self.shop,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """The command in the background, stopped by ctrl-C's signal at the end."""
        print("$ lamina", *arguments, "&", flush=True)
        process = self.start(*arguments)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                output, _ = process.communicate(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                output, _ = process.communicate()
                self.expect(False, "lamina run ends on ctrl-C within 15 seconds")
            if self.failures:
                print(output[-2000:])

    def expect(self, held: bool, promise: str) -> None:
        """Say whether a promise of the lesson held."""
        self.failures += not held
        print(f"  {'✓' if held else '✗ NOT SO:'} {promise}", flush=True)


def fetch(url: str, process: subprocess.Popen[str], seconds: float = 30.0) -> str:
    """The page, as soon as the server answers; what went wrong, if it does not in `seconds` or has ended."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as answer:
                return str(answer.read().decode())
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                return f"no answer: {error}"
            time.sleep(0.1)


def free_port() -> int:
    """A TCP port of loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def listening(port: int) -> bool:
    """True when somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def line_of(instruction: str) -> int:
    """The number of the instruction's line in the good Dockerfile."""
    return (SHOP / "Dockerfile.good").read_text().splitlines().index(instruction) + 1


def heading(text: str) -> None:
    """The title of a part."""
    print(f"\n{text}\n{'=' * len(text)}", flush=True)


def say(text: str) -> None:
    """What happens next."""
    print(f"\n{text}", flush=True)


def main() -> int:
    """Play the demo in a directory that is deleted afterwards."""
    # A shell that starts this in the background makes it ignore ctrl-C, and so all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    start = time.monotonic()
    CACHE.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="demo-", dir=CACHE) as work:
        failures = Demo(Path(work)).play()
    print(f"\n{'All as the lesson says' if not failures else f'{failures} promises did not hold'}", end="")
    print(f" ({time.monotonic() - start:.0f} s).")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
