"""`--observe`: steps that looked at nothing of what changed are cached, and no step that did look is."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tests.e2e.test_lesson_order import BAD, FILES, INSTALL, TOOL
from tests.support.command import Command, finish, project, write
from tests.support.runner_bench import USER, environment, give, ordinary_user
from tests.support.waiting import copied
from tests.truth import image_files

#: Another content each time.
UUID = "/proc/sys/kernel/random/uuid"
AS_USER = Path(__file__).parents[1] / "support" / "as_user.py"

#: What a step does, by name; each is a stage of its own above the same copies. `{}` is where it writes.
COMMANDS = {
    "nothing": "echo 1 > {}",
    "read": "cat /app/f > {}",
    "size": "stat -c '%s %a %u' /app/f > {}",
    "descriptor": "exec 3< /app/f; cat /proc/self/fd/3 > {}",
    "root": "cat /proc/self/root/app/f > {}",
    "magic": "cd /app; cat /proc/self/cwd/f > {}",
    "through-base": "cat /link/f > {}",
    "through-copy": "cat /app/d/up/f > {}",
    "part": "dd if=/app/f bs=1 skip=1 count=1 > {}",
    "tail": "tail -c 3 /app/f > {}",
    "compared": "cmp /app/f /app/g > {}; :",
    "written": "echo more >> /app/f; echo > {}",
    "hard": "ln /app/f /app/hard; echo > {}",
    "names": "ls /app/d > {}",
    "pattern": "echo /app/d/* > {}",
    "absent": "[ -e /app/d/new ]; echo $? > {}",
    "removed": "rm -rf /app/d; echo > {}",
    "renamed": "mv /app/d /app/e; echo > {}",
    "newer": "find /app -newer /app/g | sort > {}",
    "older": "[ /app/f -nt /app/g ]; echo $? > {}",
    "inode": "ls -i /app/f | wc -w > {}",
    "links": "stat -c %h /app/f > {}",
    "target": "readlink /app/l > {}; :",
    "followed": "cat /app/l > {} || :",
    "sparse": "md5sum /app/sparse > {}",
    "left-behind": "(sleep 0.3; cat /app/f > /late) & echo > {}",
}
AT_F = {"read", "size", "descriptor", "root", "magic", "through-base", "through-copy", "part", "tail", "compared"}
AT_F |= {"written", "hard", "newer", "older", "inode", "links", "followed"}
READ_F = {"read", "descriptor", "root", "magic", "through-base", "through-copy", "part", "tail", "compared"}
READ_F |= {"written", "hard", "followed"}
#: They compare times, so that two stores differ in what they write.
OF_TIMES = {"newer", "older"}


def stages() -> str:
    lines = ["FROM busybox AS all", "RUN ln -s /app /link", "COPY . /app"]
    for name, command in COMMANDS.items():
        lines += [f"FROM all AS {name}", f"RUN {command.format('/out')}"]
    lines += ["FROM busybox", *(f"COPY --from={name} /out /out/{name}" for name in COMMANDS)]
    return "\n".join(lines) + "\n"


def observed(lamina: Command, folder: Path, *flags: str) -> dict[str, str]:
    """Build, with steps observed. Stage → how its RUN came about: `observation`, `definition`, `content`, or ran."""
    done = lamina.build(folder, "--observe", *flags)
    return {row["stage"]: row["how"] or "ran" for row in done.result["steps"] if row["text"].startswith("RUN")}


def edited(lamina: Command, folder: Path, **files: str) -> set[str]:
    """Stages whose step runs after these files got other content."""
    write(folder, files)
    return ran(lamina, folder)


def ran(lamina: Command, folder: Path) -> set[str]:
    found = observed(lamina, folder, "-o", f"type=docker,dest={folder}.tar")
    return {stage for stage, how in found.items() if how == "ran"}


def same_as_without(control: Command, folder: Path) -> None:
    """The image is that of a build without a cache in another store, but for what is said of times."""
    other = folder.with_suffix(".control")
    control.build(folder, "--no-cache", "-o", f"type=docker,dest={other}").ok()
    found, expected = (image_files.read(archive)[0] for archive in (folder.with_suffix(".tar"), other))
    timeless = {f"out/{name}" for name in OF_TIMES}
    assert {path: facts for path, facts in found.items() if path not in timeless} == {
        path: facts for path, facts in expected.items() if path not in timeless
    }


def otherwise(path: Path, text: str) -> None:
    """Other content of the same size and time."""
    before = path.stat()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def control(tmp_path: Path, busybox_store: Path) -> Command:
    """The command with a store in which nothing is observed."""
    root = tmp_path / "control"
    copied(busybox_store, root)
    return Command(root)


def test_each_step_runs_for_what_it_looked_at(lamina: Command, control: Command, tmp_path: Path) -> None:
    files = {"f": "one\n", "g": "two\n", "d/x": "x\n", "lib/h": "h\n", ".dockerignore": "Dockerfile\n.dockerignore\n"}
    folder = project(tmp_path / "p", stages(), files)
    (folder / "l").symlink_to("f")
    (folder / "d/up").symlink_to("..")
    with (folder / "sparse").open("wb") as file:
        file.truncate(1 << 20)
    assert ran(lamina, folder) == {"all", *COMMANDS}
    assert edited(lamina, folder, **{"lib/h": "other\n"}) == {"newer"}

    otherwise(folder / "f", "eno\n")
    assert ran(lamina, folder) == READ_F

    # The same files with other times, as a fresh checkout has them: a copy leaves what is the same as it was.
    for path in folder.rglob("*"):
        os.utime(path, (2_000_000_000, 2_000_000_000), follow_symlinks=False)
    assert edited(lamina, folder, **{"lib/h": "again\n"}) == {"newer"}
    assert lamina.run("cache", "verify", "--steps", "find").ok().out.endswith("1 repeatable\n")
    same_as_without(control, folder)

    (folder / "f").chmod(0o755)
    assert ran(lamina, folder) == AT_F
    same_as_without(control, folder)

    assert edited(lamina, folder, g="more\n") == {"compared", "newer", "older"}
    assert edited(lamina, folder, **{"d/new": ""}) == {"names", "pattern", "absent", "removed", "renamed", "newer"}
    (folder / "d/new").unlink()
    assert ran(lamina, folder) <= {"newer"}  # the others were seen on the same
    assert edited(lamina, folder, **{"d/x": "y\n"}) == {"names", "removed", "renamed", "newer"}  # ls asks for each
    same_as_without(control, folder)

    (folder / "l").unlink()
    (folder / "l").symlink_to("g")
    assert ran(lamina, folder) == {"target", "followed", "newer"}
    with (folder / "sparse").open("r+b") as file:
        file.seek(1 << 19)
        file.write(b"x")
    assert ran(lamina, folder) == {"sparse", "newer"}

    (folder / "d").rename(folder / "e")
    (folder / "d").symlink_to("e")
    assert ran(lamina, folder) >= {"names", "pattern", "absent", "removed", "renamed", "newer", "through-copy"}
    same_as_without(control, folder)
    (folder / "f").unlink()
    failed = lamina.build(folder, "--observe")
    assert failed.code != 0 and "[step-failed]" in failed.err


# --- the lesson ------------------------------------------------------------------------------------------------------
def test_the_lessons_bad_order_costs_nothing(lamina: Command, control: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "shop", BAD, FILES)
    lamina.build(folder, "--observe").ok()
    (folder / "shop/views.py").write_text("one = 2\n")
    foreseen = json.loads(lamina.run("plan", "--observe", "--json", folder).out)["steps"]
    assert [row["text"] for row in foreseen if row["verdict"] == "CHANGED"] == ["COPY . ."]
    assert not [row for row in foreseen if row["verdict"] in ("rebuilds", "unknown")]
    done = lamina.build(folder, "--observe", "-t", "shop", "-o", f"type=docker,dest={folder}.tar")
    assert done.verdicts() == {"COPY . .": "CHANGED"}
    assert {row["text"]: (row["how"], row["read"]) for row in done.result["steps"] if row["how"] == "observation"} == {
        TOOL: ("observation", [0, 4]),
        INSTALL: ("observation", [1, 4]),
    }
    same_as_without(control, folder)
    assert lamina.run("run", "shop").ok().out == "one = 2\n"
    assert lamina.build(folder).verdicts() == {}  # found by its key from now on, with --observe and without
    lamina.verify()


def test_a_new_dependency_is_installed_and_the_table_says_what_was_looked_at(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "shop", BAD, FILES)
    lamina.build(folder, "--observe").ok()
    (folder / "Pipfile.lock").write_text("django 5\nredis 5\n")
    foreseen = lamina.run("plan", "--observe", folder).out
    done = lamina.run("build", "--observe", "--progress", "plain", folder).ok()
    for said in (foreseen, done.err):
        (line,) = (line for line in said.splitlines() if line.startswith(INSTALL) and "rebuilds" in line)
        assert "app/Pipfile.lock" in line
        assert not [line for line in said.splitlines() if line.startswith(TOOL) and "rebuilds" in line]


# --- several copies, stages, mounts, users ---------------------------------------------------------------------------
LAYERS = """FROM busybox AS made
RUN mkdir -p /app/sub && echo old > /app/sub/f && echo mine > /app/mine
COPY one /app
RUN echo /app/* > /first; echo made > /app/made
COPY two /app/sub/
RUN rm -rf /app/sub/gone; mkdir /app/sub/gone; echo x > /app/sub/gone/x; cat /app/mine /app/sub/f > /second
FROM busybox
COPY --from=made /first /second /app /made/
WORKDIR /made
RUN cat second made > third
COPY --chown=nobody one /own/
USER nobody
RUN cat /own/a > /tmp/a; echo x > /own/a || echo refused > /tmp/refused
"""


def test_copies_over_what_steps_made_and_from_stages(lamina: Command, control: Command, tmp_path: Path) -> None:
    files = {"one/a": "a\n", "one/b": "b\n", "two/f": "f\n", "two/gone/y": "y\n", "two/g": "g\n"}
    folder = project(tmp_path / "p", LAYERS, files)

    def build() -> list[str]:
        done = lamina.build(folder, "--observe", "-o", f"type=docker,dest={folder}.tar")
        same_as_without(control, folder)
        return [row["how"] or "ran" for row in done.result["steps"] if row["text"].startswith("RUN")]

    assert set(build()) == {"ran"}
    write(folder, {"one/b": "other\n"})
    assert build() == ["definition", "observation", "observation", "observation", "observation"]
    write(folder, {"two/g": "other\n"})
    assert build()[2:] == ["observation", "observation", "observation"]
    write(folder, {"two/gone/z": "z\n"})
    assert build()[2] == "ran"
    write(folder, {"two/f": "other\n"})
    assert build()[2:4] == ["ran", "ran"]
    write(folder, {"one/a": "other\n"})
    assert build()[4] == "ran"
    write(folder, {"one/c": "c\n"})
    assert build()[1] == "ran"
    (folder / "one/b").unlink()
    (folder / "one/b").mkdir()
    assert build()[1] == "ran"


MOUNTS = """FROM busybox
COPY . /app
RUN --mount=type=cache,target=/app/cache ls /app/cache > /names; echo kept > /app/cache/kept
RUN --mount=type=bind,source=lib,target=/app/lib cat /app/lib/h > /h
RUN --mount=type=secret,id=token,target=/app/token cat /app/token > /dev/null && echo had > /had
"""


def test_mounts_in_a_copied_directory(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", MOUNTS, {"f": "f\n", "lib/h": "h\n"})
    secret = tmp_path / "secret"
    secret.write_text("sesame")

    def build() -> list[str]:
        flags = ("--observe", "--secret", f"id=token,src={secret}", "-o", f"type=docker,dest={folder}.tar")
        done = lamina.build(folder, *flags)
        assert not [path for path in image_files.read(folder.with_suffix(".tar"))[0] if path == "app/token"]
        return [row["how"] or "ran" for row in done.result["steps"] if row["text"].startswith("RUN")]

    assert build() == ["ran"] * 3
    write(folder, {"f": "other\n"})
    assert build() == ["observation"] * 3
    write(folder, {"lib/h": "other\n"})  # what it is copied to is behind the mount; the last step stands on the second
    assert build() == ["observation", "ran", "ran"]
    write(folder, {"cache": "a file is in the way of the mount\n"})
    done = lamina.build(folder, "--observe", "--secret", f"id=token,src={secret}")
    assert done.code != 0 and "/app/cache" in done.err


def test_a_chain_that_goes_on_without_observing_stays_true(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", "FROM busybox\nCOPY . /app\nRUN cat /app/f > /f\nRUN cat /f > /ff\n", {"f": "f\n"})
    for text, flags, runs in (
        ("1\n", ["--observe"], 2),
        ("2\n", [], 2),  # not observed: nothing is known of this run
        ("2\n", ["--observe"], 0),
        ("1\n", ["--observe"], 0),
        ("3\n", ["--observe"], 2),
    ):
        write(folder, {"f": text, "g": text})
        done = lamina.build(folder, *flags, "-t", "x")
        assert sum(row.text.startswith("RUN") and row.verdict != "cached" for row in done.rows) == runs
        assert lamina.run("run", "--rm", "x", "cat", "/ff").ok().out == text
    write(folder, {"g": "4\n"})
    assert lamina.build(folder, "--observe").verdicts() == {"COPY . /app": "CHANGED"}
    assert len(lamina.build(folder, "--observe", "--no-cache").verdicts()) == 3


@pytest.mark.parametrize("between", [1, 10], ids=["recent", "long-ago"])
def test_what_was_built_on_another_stack_is_no_measure(lamina: Command, tmp_path: Path, between: int) -> None:
    """The directory that COPY fills has the time of its last layer on this stack, whatever else has the same files."""
    text = (
        f"FROM busybox AS base\nRUN mkdir /app; cp {UUID} /id\nFROM base AS all\nCOPY . /app\nRUN ls -ld /app > /out\n"
    )
    folder = project(tmp_path / "p", text, {"f": "first\n", "g": "same\n"})
    observed(lamina, folder)
    for number in range(between):
        write(folder, {"f": f"{number}\n"})
        assert observed(lamina, folder)["all"] == "observation"
    lamina.build(folder, "--no-cache").ok()
    write(folder, {"f": "second\n"})
    assert observed(lamina, folder) == {"base": "definition", "all": "ran"}
    write(folder, {"f": "first\n"})
    planned = lamina.run("plan", "--observe", folder)
    assert planned.code == 10 and "1 of 3 steps would run" in planned.out
    assert observed(lamina, folder)["all"] == "observation"


def test_names_that_are_no_utf8(lamina: Command, tmp_path: Path) -> None:
    folder = project(
        tmp_path / "p", "FROM busybox\nCOPY . /app\nRUN cat /app/d/* > /all\nRUN echo /app/* > /names\n", {}
    )
    place = os.fsencode(folder)
    os.mkdir(place + b"/d")
    for name in (b"d/\xff\xfe", b"d/new\nline", b"\xe9", b"d/\xc3\xa9"):
        Path(os.fsdecode(place + b"/" + name)).write_text("1\n")
    lamina.build(folder, "--observe").ok()
    Path(os.fsdecode(place + b"/\xe9")).write_text("2\n")
    assert hows(lamina, folder) == ["observation", "observation"]
    Path(os.fsdecode(place + b"/d/\xff\xfe")).write_text("2\n")
    assert hows(lamina, folder)[0] == "ran"
    Path(os.fsdecode(place + b"/\xe9\xff")).write_text("")
    assert hows(lamina, folder) == ["observation", "ran"]


def hows(lamina: Command, folder: Path) -> list[str]:
    """How each RUN came about."""
    done = lamina.build(folder, "--observe")
    return [row["how"] or "ran" for row in done.result["steps"] if row["text"].startswith("RUN")]


def test_thousands_of_open_files(lamina: Command, tmp_path: Path) -> None:
    program = 'BEGIN { for (i = 0; i < 3000; i++) { getline x < ("/app/d/" i); n += x } print n }'
    text = f"FROM busybox\nCOPY . /app\nRUN ulimit -n 4096; awk '{program}' > /n\n"
    folder = project(tmp_path / "p", text, {"d/x": ""})
    for number in range(3000):
        (folder / f"d/{number}").write_text(f"{number}\n")
    done = lamina.build(folder, "--observe", "-t", "x").ok()
    assert lamina.run("run", "--rm", "x", "cat", "/n").ok().out == f"{sum(range(3000))}\n"
    assert NOTE not in done.err


# --- what is not there, and what dies --------------------------------------------------------------------------------
NOTE = "not observed: "
SMALL = "FROM busybox\nCOPY . /app\nRUN cat /app/f > /f\nRUN cat /f > /ff; echo /app/* > /names\n"
#: A mount namespace of one's own in which /dev/fuse is `$1`.
_OTHER_DEVICE = 'mount --bind "$1" /dev/fuse && shift && exec "$@"'


def with_device(device: Path, *prefix: str) -> tuple[str, ...]:
    return ("unshare", "-m", "sh", "-c", _OTHER_DEVICE, "sh", str(device), *prefix)


@pytest.mark.parametrize("what", ["a file", "null"])
def test_without_a_device_there_is_one_note_and_the_ordinary_way(lamina: Command, tmp_path: Path, what: str) -> None:
    folder = project(tmp_path / "p", SMALL, {"f": "f\n"})
    device = Path("/dev/null") if what == "null" else write(tmp_path, {"device": ""}) / "device"
    without = replace(lamina, prefix=with_device(device))
    done = without.run("build", "--observe", "--progress", "plain", "-t", "x", folder).ok()
    assert done.err.count("steps cannot be observed here") == 1
    assert "Traceback" not in done.err
    assert lamina.run("run", "--rm", "x", "cat", "/ff").ok().out == "f\n"
    write(folder, {"g": "g\n"})
    assert hows(lamina, folder) == ["ran", "ran"]  # nothing was noted
    write(folder, {"g": "h\n"})
    assert hows(lamina, folder) == ["observation", "observation"]
    write(folder, {"g": "i\n"})
    assert hows(without, folder) == ["observation", "observation"]  # no device is needed for that


def test_an_observer_that_is_killed_makes_the_step_run_again(lamina: Command, tmp_path: Path) -> None:
    # The first time it looks on until it gets no answer any more.
    look = "n=0; while ls /app/no$n 2>&1 | grep -q 'No such'; do n=$((n+1)); sleep 0.02; done"
    first = f"if mkdir /c/seen; then echo now; {look}; fi"
    script = f"cat /app/f > /f; {first}; cat /app/g > /g || :"
    text = f"FROM busybox\nCOPY . /app\nRUN --mount=type=cache,target=/c {script}\n"
    folder = project(tmp_path / "p", text, {"f": "f\n", "g": "g\n"})
    build = lamina.start("build", "--observe", "--progress", "rawjson", "-t", "x", folder)
    assert build.stderr is not None
    while b'"now' not in (line := build.stderr.readline()):
        assert line, "the build ended before its step began"
    for pid in observers(build.pid):
        os.kill(pid, signal.SIGKILL)
    done = finish(build).ok()
    assert NOTE in done.err
    assert lamina.run("run", "--rm", "x", "cat", "/f", "/g").ok().out == "f\ng\n"
    write(folder, {"h": "h\n"})
    assert hows(lamina, folder) == ["ran"]  # nothing half-seen was kept
    write(folder, {"h": "i\n"})
    assert hows(lamina, folder) == ["observation"]
    lamina.verify()


def observers(pid: int) -> list[int]:
    """The processes below `pid` that answer for observed layers."""
    found = []
    for child in subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split():
        with suppress(FileNotFoundError, ProcessLookupError):
            if b"fuse_server" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
        found += observers(int(child))
    return found


@pytest.mark.parametrize("damage", ["gone", "folder gone", "cut", "empty", "flipped"])
def test_lost_and_damaged_observations_are_an_ordinary_miss(lamina: Command, tmp_path: Path, damage: str) -> None:
    folder = project(tmp_path / "p", SMALL, {"f": "f\n"})
    lamina.build(folder, "--observe").ok()
    kept = list((lamina.root / "looks").iterdir())
    assert kept
    for path in kept:
        data = path.read_bytes()
        match damage:
            case "cut":
                path.write_bytes(data[: len(data) // 2])
            case "empty":
                path.write_bytes(b"")
            case "flipped":
                path.write_bytes(bytes(byte ^ 1 for byte in data))
            case _:
                path.unlink()
    if damage == "folder gone":
        (lamina.root / "looks").rmdir()
    write(folder, {"g": "g\n"})
    foreseen = lamina.run("plan", "--observe", folder)
    assert foreseen.code == 10 and "Traceback" not in foreseen.err
    assert hows(lamina, folder) == ["ran", "ran"]
    write(folder, {"g": "h\n"})
    assert hows(lamina, folder) == ["observation", "observation"]
    lamina.verify()


# --- isolation -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("runtime", ["bwrap", "runc"])
def test_both_runtimes_observe(lamina: Command, tmp_path: Path, runtime: str) -> None:
    folder = project(tmp_path / "p", SMALL, {"f": "f\n", "g": "g\n"})
    build = partial(lamina.build, folder, "--observe", "--runtime", runtime, "-t", "x")
    build().ok()
    write(folder, {"g": "other\n"})
    assert build().verdicts() == {"COPY . /app": "CHANGED"}
    write(folder, {"h": "new\n"})
    assert list(build().verdicts()) == ["COPY . /app", SMALL.splitlines()[3]]
    write(folder, {"f": "other\n"})
    assert len(build().verdicts()) == 3
    assert (
        lamina.run("run", "--rm", "x", "cat", "/ff", "/names").ok().out
        == "other\n/app/Dockerfile /app/f /app/g /app/h\n"
    )


@pytest.mark.parametrize("open_to_all", [True, False])
def test_an_ordinary_user(place: Path, tmp_path: Path, busybox_tar: Path, open_to_all: bool) -> None:
    device = tmp_path / "fuse"
    os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(10, 229))
    device.chmod(0o666 if open_to_all else 0o600)
    env = {"HOME": str(place), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": environment()["PYTHONPATH"]}
    prefix = with_device(device, sys.executable, str(AS_USER), USER)
    rootless = Command(place / "store", prefix, env)
    with busybox_tar.open("rb") as tar:
        rootless.run("import", "-", "busybox", "--env", "PATH=/bin", stdin=tar.read()).ok()
    folder = project(place / "p", SMALL, {"f": "f\n"})
    user = ordinary_user()
    give(folder, (user.pw_uid, user.pw_gid))
    first = rootless.build(folder, "--observe").ok()
    assert ("steps cannot be observed here" in first.err) != open_to_all
    write(folder, {"f": "f\n", "g": "g\n"})
    assert hows(rootless, folder) == (["observation", "ran"] if open_to_all else ["ran", "ran"])
    write(folder, {"f": "other\n"})
    assert hows(rootless, folder) == ["ran", "ran"]
    rootless.verify()
