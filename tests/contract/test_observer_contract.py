"""`ports.Observer`: whatever a step does with a copied file is noted, and what it does not look at is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
from msgspec import Struct
from tests.support import observed_trees
from tests.support.observed_bench import LONG, ObserverBench, observer_bench
from tests.support.observed_process import Seen, servers
from tests.support.runner_bench import RUNNERS, environment
from tests.support.waiting import wait_for


class Case(Struct, frozen=True):
    """A step: its script, what it prints, and all looks below `app` (`xattrs` only where they are asked for; a
    leading `?` for a look that some kernels or programs do not need)."""

    script: str
    prints: str | None
    looks: str
    python: bool = False
    uid: int = 0


SH, PY = False, True
#: What Python looks for before a package's `__init__.py`.
_EXTENSIONS = ";".join(f"entry app/pkg/__init__{suffix}" for suffix in EXTENSION_SUFFIXES)
_X = "entry app/dir; entry app/dir/x"
# fmt: off
CASES = {
    "nothing": Case("true", "", ""),
    "read": Case("cat /app/a", "a\n", "entry app/a; read app/a"),
    "read as another user": Case("cat /app/a", "a\n", "entry app/a; read app/a", uid=1000),
    "read through a directory": Case("cat /app/dir/x", "dir/x\n", f"{_X}; read app/dir/x"),
    "read an empty file": Case("cat /app/empty", "", "entry app/empty"),
    "read twice, through the page cache": Case("cat /app/a /app/a", "a\na\n", "entry app/a; read app/a"),
    "stat": Case("stat -c %s /app/a", "2\n", "entry app/a"),
    "links are one": Case("stat -c %h /app/a", "1\n", "entry app/a"),
    "access": Case("test -x /app/tool && test -w /app/a && echo yes", "yes\n", "entry app/tool; entry app/a"),
    "absent": Case("test -e /app/no || echo no", "no\n", "entry app/no"),
    "absent directory": Case("test -e /app/no/where || echo no", "no\n", "entry app/no"),
    "absent at the top": Case("test -e /nowhere || echo no", "no\n", "entry nowhere"),
    "list": Case("cd /app/dir && echo *", "deep x y\n", "entry app/dir; list app/dir"),
    "recursive list": Case("find /app/dir -name z", "/app/dir/deep/z\n",
        f"{_X}; list app/dir; entry app/dir/y; entry app/dir/deep; list app/dir/deep; entry app/dir/deep/z"),
    "find -newer": Case("find /app/dir/deep -newer /app/a -name none", "",
        "entry app/a; entry app/dir; entry app/dir/deep; list app/dir/deep; entry app/dir/deep/z"),
    "ls -i": Case("test $(ls -i /app/dir/deep | wc -w) = 2", "",
        "entry app/dir; entry app/dir/deep; list app/dir/deep; entry app/dir/deep/z"),
    "test -nt": Case("test /app/a -nt /app/b", None, "entry app/a; entry app/b"),
    "readlink": Case("readlink /app/link", "dir/x\n", "entry app/link; link app/link"),
    "read through a link": Case("cat /app/link", "dir/x\n", f"entry app/link; link app/link; {_X}; read app/dir/x"),
    "through another layer's link": Case("cat /way/x", "dir/x\n", f"entry way; {_X}; read app/dir/x"),
    "exec": Case("/app/tool", "tool\n", "entry app/tool; read app/tool"),
    "/proc/self/root": Case("cat /proc/self/root/app/a", "a\n", "entry app/a; read app/a"),
    "/proc/self/cwd": Case("cd /app; cat /proc/self/cwd/a", "a\n", "entry app/a; read app/a"),
    "/proc/self/fd": Case("exec 5</app; cat /proc/self/fd/5/a", "a\n", "entry app/a; read app/a"),
    "reopened": Case("exec 5</app/a; cat /proc/self/fd/5", "a\n", "entry app/a; read app/a"),
    "a long name": Case(f"cat /app/{LONG}", f"{LONG}\n", f"entry app/{LONG}; read app/{LONG}"),
    "a name that is too long": Case(f"test -e /app/x{LONG} || echo no", "no\n", ""),
    "a name that is not UTF-8": Case("cat /app/odd*", "odd\n", r"list app; entry app/odd\xff; read app/odd\xff"),
    "a big file": Case("cat /app/big | wc -c", "1048576\n", "entry app/big; read app/big"),
    "the end of a big file": Case("tail -c 1 /app/big | od -An -tx1", " ff\n", "entry app/big; read app/big"),
    "a hole": Case("tail -c 3 /app/hole", "end", "entry app/hole; read app/hole"),
    "copy to elsewhere": Case("cp -a /app/dir /tmp/new", "",
        f"{_X}; read app/dir/x; list app/dir; entry app/dir/y; read app/dir/y; entry app/dir/deep; list app/dir/deep;"
        " entry app/dir/deep/z; read app/dir/deep/z"),
    "append": Case("echo more >>/app/a; cat /app/a", "a\nmore\n", "entry app/a; read app/a; xattrs app/a"),
    "overwrite": Case("echo new >/app/a; cat /app/a", "new\n", "entry app/a; ?read app/a; xattrs app/a"),
    "chmod": Case("chmod 700 /app/a; stat -c %a /app/a", "700\n", "entry app/a; read app/a; xattrs app/a"),
    "touch": Case("touch -d @5 /app/a; stat -c %Y /app/a", "5\n", "entry app/a; read app/a; xattrs app/a"),
    "rename": Case("mv /app/a /app/c; cat /app/c", "a\n", "entry app/a; entry app/c; read app/a"),
    "rename over": Case("echo 1 >/app/new; mv /app/new /app/a; cat /app/a", "1\n", "entry app/new; entry app/a"),
    "remove": Case("rm /app/a; test -e /app/a || echo gone", "gone\n", "entry app/a"),
    "remove a directory": Case("rm -r /app/dir; test -e /app/dir || echo gone", "gone\n",
        f"{_X}; list app/dir; entry app/dir/y; entry app/dir/deep; list app/dir/deep; entry app/dir/deep/z"),
    "a directory anew": Case("rm -r /app/dir/deep; mkdir /app/dir/deep; ls /app/dir/deep", "",
        "entry app/dir; entry app/dir/deep; list app/dir/deep; entry app/dir/deep/z"),
    "hard link": Case("ln /app/a /app/c; stat -c %h /app/a; cat /app/c", "2\na\n",
        "entry app/a; entry app/c; read app/a"),
    "make in a directory": Case("mkdir /app/dir/n", "", "entry app/dir; entry app/dir/n"),
    "behind the shell": Case("(sleep 0.2; cat /app/a) & cat /app/b; exit 0", "b\n", "entry app/b; read app/b"),
    "import": Case("sys.path[:0] = ['/app']; import pkg.mod; print(pkg.mod.VALUE)", "7\n",
        "list app; entry app/pkg; list app/pkg; entry app/pkg/__pycache__; entry app/pkg/__init__.py;"
        " entry app/pkg/mod.py; read app/pkg/mod.py;" + _EXTENSIONS, PY),
    "mapped and closed": Case(
        "import mmap, os; fd = os.open('/app/a', 0); m = mmap.mmap(fd, 0, prot=1); os.close(fd); print(m[0:1])",
        "b'a'\n", "entry app/a; read app/a", PY),
    "O_PATH": Case("import os; print(os.fstat(os.open('/app/a', os.O_PATH)).st_size)", "2\n", "entry app/a", PY),
    "opened, not read": Case("open('/app/a')", "", "entry app/a", PY),
    "by a descriptor of the directory": Case(
        "import os; d = os.open('/app/dir', 0); os.chdir('/'); print(os.stat('x', dir_fd=d).st_size)", "6\n", _X, PY),
    "a listing with seek": Case(
        "import os, ctypes; c = ctypes.CDLL(None); fd = os.open('/app/dir', 0); b = bytes(4096);"
        "n = c.syscall(217, fd, b, 4096) if os.uname().machine == 'x86_64' else c.syscall(61, fd, b, 4096);"
        "os.lseek(fd, 0, 0); print(len(os.listdir(fd)))", "3\n", "entry app/dir; list app/dir", PY),
    "statx": Case(
        "import ctypes; b = ctypes.create_string_buffer(256); c = ctypes.CDLL(None);"
        "r = c.statx(-100, b'/app/a', 0, 0xfff, b); print(r, int.from_bytes(b[40:48], 'little'))",
        "0 2\n", "entry app/a", PY),
    "statx that asks anew": Case(
        "import ctypes; b = ctypes.create_string_buffer(256); c = ctypes.CDLL(None);"
        "r = c.statx(-100, b'/app/a', 0x2000, 0xfff, b); print(r, int.from_bytes(b[40:48], 'little'))",
        "0 2\n", "entry app/a", PY),
    "openat2": Case(
        "import ctypes, os, struct; c = ctypes.CDLL(None, use_errno=True); d = os.open('/app', os.O_PATH);"
        "fd = c.syscall(437, d, b'dir/x', struct.pack('QQQ', 0, 0, 8), 24); print(os.read(fd, 9))",
        "b'dir/x\\n'\n", f"{_X}; read app/dir/x", PY),
    "an extended attribute": Case("import os; print(os.getxattr('/app/tagged', 'user.note'))", "b'kept'\n",
        "entry app/tagged; xattrs app/tagged", PY),
    "an absent extended attribute": Case(
        "import os\ntry: os.getxattr('/app/a', 'user.none')\nexcept OSError as e: print(e.errno == 61)",
        "True\n", "entry app/a; xattrs app/a", PY),
    "extended attributes": Case("import os; print(os.listxattr('/app/tagged'), os.listxattr('/app/a'))",
        "['user.note'] []\n", "entry app/tagged; xattrs app/tagged; entry app/a; xattrs app/a", PY),
    "holes are not shown": Case("import os; print(os.lseek(os.open('/app/hole', 0), 0, os.SEEK_DATA))", "0\n",
        "entry app/hole", PY),
    "times are one": Case("import os; s = os.stat('/app/b'); print(s.st_mtime_ns == s.st_ctime_ns == s.st_atime_ns)",
        "True\n", "entry app/b", PY),
    "inotify": Case(
        "import ctypes; c = ctypes.CDLL(None); print(c.inotify_add_watch(c.inotify_init(), b'/app/dir', 0xfff) > 0)",
        "True\n", "entry app/dir", PY),
    "many open files": Case(
        "f = [open('/app/a') for _ in range(800)]; print(len({x.read() for x in f}))", "1\n",
        "entry app/a; read app/a", PY),
}
# fmt: on


@pytest.fixture(scope="module", params=RUNNERS)
def seen(request: pytest.FixtureRequest) -> Iterator[dict[str, Seen]]:
    """What was seen of each case, each in a step of its own."""
    with observer_bench(request.param) as bench:
        steps = [
            bench.python(case.script, uid=case.uid) if case.python else bench.shell(case.script, uid=case.uid)
            for case in CASES.values()
        ]
        yield dict(zip(CASES, bench.observe(*steps), strict=True))


@pytest.fixture(params=["bubblewrap-root", "bubblewrap-rootless"])
def bench(request: pytest.FixtureRequest) -> Iterator[ObserverBench]:
    with observer_bench(request.param) as bench:
        yield bench


def below_app(looks: tuple[str, ...]) -> set[str]:
    """Without what lamina itself asks for: /etc, /proc and the like."""
    return {
        look for look in looks if look.split()[1:][:1] and look.split()[1].split("/")[0] in ("app", "nowhere", "way")
    }


@pytest.mark.parametrize("name", CASES)
def test_all_that_is_looked_at_is_noted_and_nothing_else(seen: dict[str, Seen], name: str) -> None:
    case, one = CASES[name], seen[name]
    assert one.failure is None
    assert one.outcome is not None
    assert one.outcome.failure is None
    if case.prints is not None:
        assert (one.outcome.out, one.outcome.err, one.outcome.code) == (case.prints, "", 0)
    wanted = {look.strip() for look in case.looks.split(";")} - {""}
    maybe = {look[1:] for look in wanted if look.startswith("?")}
    wanted -= {f"?{look}" for look in maybe}
    if any(" app/" in look for look in wanted):
        wanted.add("entry app")
    got = below_app(one.looks)
    unasked = {look for look in got if look.startswith("xattrs")} | {"entry app", "entry way", "entry nowhere"} | maybe
    assert wanted <= got
    assert got - unasked <= wanted


def test_nothing_is_left_after_a_step(seen: dict[str, Seen]) -> None:
    assert {one.left for one in seen.values()} == {()}


def test_a_killed_observer_is_an_error_in_the_step_and_loses_the_looks(bench: ObserverBench) -> None:
    script = (
        "import errno, os, time\n"
        "print('up', flush=True)\n"
        "for number in range(1000):\n"
        "    try: os.stat(f'/app/no{number}')\n"
        "    except FileNotFoundError: time.sleep(0.05)\n"
        "    except OSError as error:\n"
        "        print(error.errno in (errno.ENOTCONN, errno.ECONNABORTED))\n"
        "        break\n"
    )
    (one,) = bench.observe(bench.python(script), killed=True)
    assert one.outcome is not None
    assert one.outcome.out == "up\nTrue\n"
    assert one.failure == "runtime-observer-lost"
    assert one.cause
    assert one.left == ()


def test_a_killed_lamina_leaves_no_observer(bench: ObserverBench) -> None:
    command = bench.command([bench.shell("sleep 6000")])
    with subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: bool(servers(process.pid)))
        found = servers(process.pid)
        process.send_signal(signal.SIGKILL)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in found))


def test_where_there_is_no_fuse_one_line_says_so(bench: ObserverBench) -> None:
    (one,) = bench.observe(bench.shell("true"), device=bench.bench.folder / "nothing")
    assert (one.failure, one.cause) == (
        "runtime-no-observer",
        f"{bench.bench.folder / 'nothing'}: No such file or directory",
    )
    assert "modprobe fuse" in (one.hint or "")
    assert one.left == ()


def test_a_mount_that_is_refused_is_said(bench: ObserverBench) -> None:
    (one,) = bench.observe(bench.shell("true"), device=Path(os.devnull))
    assert (one.failure, one.cause) == ("runtime-no-observer", "mounting it was refused: Invalid argument")
    assert one.hint
    assert one.left == ()


def test_a_device_that_is_closed_to_this_user_is_said() -> None:
    with observer_bench("bubblewrap-rootless") as bench:
        bench.device.chmod(0o600)
        (one,) = bench.observe(bench.shell("true"))
    assert one.failure == "runtime-no-observer"
    assert one.cause == f"{bench.device}: Permission denied"
    assert one.hint == f"`sudo chmod 666 {bench.device}` lets every user mount in their own namespaces"


def test_trees_are_seen_as_they_are(bench: ObserverBench) -> None:
    program = str(Path(observed_trees.__file__))
    user = [bench.bench.user] if bench.bench.user else []
    command = [sys.executable, program, str(bench.bench.layer("trees")), str(bench.device), *user]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.returncode) == ("same\n", 0), done.stderr
