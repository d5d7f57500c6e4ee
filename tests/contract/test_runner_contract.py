"""`ports.Runner`: every runner, on every rung that it works on, isolates a step in the same way."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.runner_bench import RUNNERS, Bench, bench_of

DOCKER_CAPABILITIES = "00000000a80425fb"
NOTHING = "0000000000000000"


@pytest.fixture(params=RUNNERS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with bench_of(*RUNNERS[request.param]) as bench:
        yield bench


def files(upper: Path) -> list[str]:
    return sorted(str(path.relative_to(upper)) for path in upper.rglob("*"))


def test_the_name_tells_the_program_and_the_rung(bench: Bench) -> None:
    program = "bubblewrap" if bench.runtime == "bwrap" else "runc"
    assert bench.run("true").name == f"{program}, {'rootless' if bench.rootless else 'root'}, overlay"


def test_exit_status_and_separate_streams(bench: Bench) -> None:
    done, ok, killed = bench.perform(
        bench.step("echo one; echo two >&2; exit 7"),
        bench.step("true"),
        bench.step("sh -c 'kill -TERM $$'; exit $?"),
    )
    assert (done.code, done.out, done.err) == (7, "one\n", "two\n")
    assert ok.code == 0
    assert killed.code == 128 + 15


def test_output_is_streamed_while_the_step_runs(bench: Bench) -> None:
    mark = bench.layer("mark")
    done = bench.run(
        "echo early; for n in $(seq 1000); do test -e /mark/heard && echo heard && break; sleep 0.05; done",
        mounts=(("bind", "/mark", str(mark), False),),
        heard=str(mark / "heard"),
    )
    assert done.out == "early\nheard\n"


def test_much_output_and_much_input_pass_unharmed(bench: Bench) -> None:
    text = "0123456789abcde\n" * 20_000
    done = bench.run("tee /dev/stderr", stdin=text)
    assert done.out == text
    assert done.err == text


def test_input_is_empty_unless_given(bench: Bench) -> None:
    assert bench.run("cat; echo end").out == "end\n"


def test_a_step_may_leave_its_input_unread(bench: Bench) -> None:
    assert bench.run("exit 3", stdin="x" * 1_000_000).code == 3


def test_environment_is_exactly_the_given_one(bench: Bench) -> None:
    environment = {"PATH": "/bin", "A": "1 2", "LD_PRELOAD": "/nowhere.so", "EMPTY": "", "NON_ASCII": "ä=b"}
    done = bench.run("", env=environment, argv=("/bin/env",))
    lines = set(done.out.splitlines()) - {"HOME=/root", "HOME=/", "PWD=/"}
    assert lines == {f"{name}={value}" for name, value in environment.items()}
    assert done.err == ""


def test_directory_umask_and_host_name(bench: Bench) -> None:
    done = bench.run("pwd; umask; hostname; touch /new; stat -c %a /new", cwd="/home")
    assert done.out.split() == ["/home", "0022", "buildkitsandbox", "644"]


def test_the_program_is_looked_up_in_the_steps_path(bench: Bench) -> None:
    assert bench.run("", argv=("echo", "found"), env={"PATH": "/nowhere:/bin"}).out == "found\n"


@pytest.mark.parametrize("argv", [("nothing-like-it",), ("/bin/nothing-like-it",), ("/etc/issue",), ("/etc",)])
def test_a_program_that_the_image_lacks_is_named(bench: Bench, argv: tuple[str, ...]) -> None:
    assert bench.run("", argv=argv).failure == "runtime-command-not-found"


def test_a_directory_that_the_image_lacks_is_named(bench: Bench) -> None:
    assert bench.run("true", cwd="/nowhere").failure == "runtime-no-directory"


def test_a_program_without_its_interpreter_is_a_failure_with_a_cause(bench: Bench) -> None:
    script = bench.base / "bin/orphan"
    script.write_text("#!/no/interpreter\n")
    script.chmod(0o755)
    done = bench.run("", argv=("/bin/orphan",))
    assert done.code != 0
    assert "/bin/orphan: " in done.err
    if bench.runtime == "bwrap":
        assert done.failure == "runtime-bubblewrap-failed"
        assert "orphan" in (done.cause or "")


def test_root_has_dockers_capabilities_alone(bench: Bench) -> None:
    done = bench.run("grep -E '^(CapEff|CapPrm|Seccomp):' /proc/self/status | tr -s '\\t' ' '")
    assert done.out.splitlines() == [f"CapPrm: {DOCKER_CAPABILITIES}", f"CapEff: {DOCKER_CAPABILITIES}", "Seccomp: 2"]


def test_no_new_privileges_is_what_the_runner_promises(bench: Bench) -> None:
    expected = "1" if bench.runtime == "bwrap" else "0"
    assert bench.run("grep NoNewPrivs /proc/self/status").out.split()[1] == expected


def test_another_user_has_its_ids_and_no_capability(bench: Bench) -> None:
    done = bench.run(
        "id -u; id -g; id -G; grep -E '^Cap(Eff|Prm|Amb):' /proc/self/status | cut -f2; stat -c %u:%g /bin/sh /tmp",
        uid=1000,
        gid=1001,
        groups=(5, 6),
    )
    assert done.out.splitlines() == ["1000", "1001", "1001 5 6", NOTHING, NOTHING, NOTHING, "0:0", "0:0"]


def test_another_user_meets_permissions_and_owns_what_it_makes(bench: Bench) -> None:
    done = bench.run("ls /root; echo x >/etc/issue; chown 0 /tmp; echo y >/tmp/mine; id -u", uid=1000, gid=1001)
    assert done.out == "1000\n"
    assert done.err.count("ermi") == 3
    mine = (bench.upper / "tmp/mine").stat()
    inside = (299_999 + 1000, 299_999 + 1001) if bench.rootless else (1000, 1001)
    assert (mine.st_uid, mine.st_gid) == inside


def test_root_with_another_group(bench: Bench) -> None:
    assert bench.run("id -u; id -g; id -G", gid=50, groups=(4,)).out.splitlines() == ["0", "50", "50 4"]


def test_root_may_give_files_away_and_the_mark_stays(bench: Bench) -> None:
    assert bench.run("touch /tmp/theirs && chown 12:13 /tmp/theirs && chmod 4755 /tmp/theirs").code == 0
    theirs = (bench.upper / "tmp/theirs").stat()
    assert (theirs.st_uid, theirs.st_gid) == ((300_011, 300_012) if bench.rootless else (12, 13))
    assert stat.S_IMODE(theirs.st_mode) == 0o4755


@pytest.mark.parametrize(
    "call",
    ["unshare -m true", "mount -t tmpfs x /tmp", "umount /proc", "hostname other", "unshare -U true"],
)
def test_system_calls_that_docker_refuses(bench: Bench, call: str) -> None:
    done = bench.run(f"{call}; echo $?")
    assert done.out != "0\n"
    assert "ermi" in done.err or "ermitted" in done.err


def test_proc_and_sys_cannot_reach_the_machine(bench: Bench) -> None:
    refused = ["/proc/sys/vm/drop_caches", "/proc/sys/kernel/core_pattern", "/sys/kernel/x", "/proc/sysrq-trigger"]
    writes = [f"(echo x >{path}) && echo WRITTEN" for path in refused if Path(path).exists() or path.startswith("/sys")]
    hidden = [path for path in ("/proc/keys", "/proc/timer_list", "/proc/kcore") if Path(path).exists()]
    folders = [path for path in ("/sys/firmware", "/proc/acpi", "/proc/scsi") if Path(path).exists()]
    done = bench.run(
        ";".join([*writes, f"cat {' '.join(hidden)} | wc -c", *(f"ls {path} | wc -l" for path in folders)])
    )
    assert done.out.split() == ["0"] * (1 + len(folders))


def test_devices_work_and_are_not_the_machines(bench: Bench) -> None:
    before = Path("/dev/null").stat()
    done = bench.run(
        "echo x >/dev/null && head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c; chmod 600 /dev/null;"
        "touch /dev/shm/a && echo shm; stat -c %a /dev/shm; echo /dev/mqueue/*; ls -l /proc/self/fd | wc -l"
    )
    assert done.out.split()[:4] == ["4", "4", "shm", "1777"]
    after = Path("/dev/null").stat()
    assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)


def test_a_disk_cannot_be_opened_through_a_device_file(bench: Bench) -> None:
    device = next(Path("/sys/class/block").glob("*/dev")).read_text().strip().replace(":", " ")
    done = bench.run(
        f"for d in /x /dev/x /dev/shm/x; do mknod $d b {device} 2>/dev/null;"
        "head -c 1 $d >/dev/null && echo OPEN $d; done"
    )
    assert "OPEN" not in done.out


def test_insecure_steps_have_everything(bench: Bench) -> None:
    done = bench.run("mount -t tmpfs x /tmp && echo mounted; grep Seccomp: /proc/self/status | cut -f2", insecure=True)
    assert done.out.split() == ["mounted", "0"]
    assert files(bench.upper) == []


def test_network_none_has_loopback_alone(bench: Bench) -> None:
    done = bench.run("cut -d: -f1 /proc/net/dev | tail -n +3; ifconfig lo | grep -c UP", network="none")
    assert done.out.split() == ["lo", "1"]


def test_network_host_is_the_machines(bench: Bench) -> None:
    inside = bench.run("readlink /proc/self/ns/net").out.strip()
    assert inside == os.readlink("/proc/self/ns/net")


def test_network_files_are_mounts_that_leave_no_trace(bench: Bench) -> None:
    done = bench.run("cat /etc/hosts; echo evil >>/etc/hosts; rm -f /etc/resolv.conf; touch /etc/mine")
    assert "localhost buildkitsandbox" in done.out
    assert files(bench.upper) == ["etc", "etc/mine"]


def test_a_dangling_link_for_the_resolver_is_followed_inside(bench: Bench) -> None:
    (bench.base / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    done = bench.run("cat /etc/resolv.conf; readlink /etc/resolv.conf")
    assert done.out == Path("/etc/resolv.conf").read_text() + "../run/systemd/resolve/stub-resolv.conf\n"
    assert files(bench.upper) == []


def test_mount_points_that_the_image_lacks_leave_no_trace(bench: Bench) -> None:
    secret = bench.folder / "secret"
    secret.write_text("hush\n")
    shared = bench.layer("shared")
    os.utime(bench.base / "var", (1_000_000_000, 1_000_000_000))
    done = bench.run(
        "cat /run/secrets/deep/one; echo x >/var/cache/it/file; echo y >/scratch/file; cat /scratch/file;"
        "echo z >/run/secrets/deep/one; stat -c '%a %Y' /var; ls -a /etc",
        mounts=(
            ("bind", "/run/secrets/deep/one", str(secret), True),
            ("bind", "/var/cache/it", str(shared), False),
            ("tmpfs", "/scratch", None, False),
        ),
    )
    assert done.out.splitlines()[:3] == ["hush", "y", "755 1000000000"]
    assert "ead-only" in done.err or "ermission denied" in done.err
    assert (shared / "file").read_text() == "x\n"
    assert secret.read_text() == "hush\n"
    assert files(bench.upper) == []


def test_what_a_step_makes_beside_a_mount_point_stays(bench: Bench) -> None:
    shared = bench.layer("shared")
    bench.run("touch /opt/cache/../beside", mounts=(("bind", "/opt/cache", str(shared), False),))
    assert files(bench.upper) == ["opt", "opt/beside"]


def test_a_mount_of_the_wrong_kind_is_refused(bench: Bench) -> None:
    shared = bench.layer("shared")
    assert bench.run("true", mounts=(("bind", "/etc/issue", str(shared), True),)).failure == "runtime-mount-kind"
    assert bench.run("true", mounts=(("bind", "/", str(shared), True),)).failure == "runtime-mount-kind"
    assert bench.run("true", mounts=(("bind", "/etc/issue/x", str(shared), True),)).failure == "runtime-bad-path"


def test_links_lead_nowhere_but_inside(bench: Bench) -> None:
    outside = bench.layer("outside")
    shared = bench.layer("shared")
    (bench.base / "escape").symlink_to("../../../../../../.." + str(outside))
    (bench.base / "absolute").symlink_to(str(outside))
    done = bench.run(
        "echo x >/escape/a/f; echo y >/absolute/b/f; mkdir -p /gone",
        mounts=(("bind", "/escape/a", str(shared), False), ("tmpfs", "/absolute/b", None, False)),
    )
    assert done.code == 0
    assert (shared / "f").read_text() == "x\n"
    assert files(outside) == []
    assert files(bench.upper) == ["gone"]


def test_removals_become_whiteouts(bench: Bench) -> None:
    old = bench.base / "var/old"
    old.mkdir()
    (old / "file").write_text("x")
    (bench.base / "var/gone").write_text("x")
    for path in (old, old / "file", bench.base / "var/gone"):
        os.chown(path, *bench.owner)
    assert bench.run("rm /var/gone; rm -rf /var/old; mkdir /var/old; echo new >/var/old/new").code == 0
    whiteout = (bench.upper / "var/gone").lstat()
    assert stat.S_ISCHR(whiteout.st_mode)
    assert whiteout.st_rdev == 0
    assert os.getxattr(bench.upper / "var/old", f"{bench.xattr}.overlay.opaque") == b"y"
    assert (bench.upper / "var/old/new").read_text() == "new\n"


def test_a_renamed_directory_is_a_plain_copy(bench: Bench) -> None:
    assert bench.run("mv /home /house && echo x >/house/f").code == 0
    names = os.listxattr(bench.upper / "house")
    assert not [name for name in names if "redirect" in name or "metacopy" in name]
    assert stat.S_ISCHR((bench.upper / "home").lstat().st_mode)


def test_a_hundred_and_twenty_layers(bench: Bench) -> None:
    layers: list[str] = []
    for number in range(119):
        layer = bench.layer(f"a-layer-with-a-name:that,is-rather-long-{number}")
        (layer / f"file{number}").write_text(str(number))
        (layer / "last").write_text(str(number))
        layers.insert(0, str(layer))
    done = bench.run("ls / | grep -c file; cat /last", layers=(*layers, str(bench.base)))
    assert done.out.split() == ["119", "118"]


def test_a_root_without_layers_below(bench: Bench) -> None:
    step = bench.step("exit 4", layers=())
    shutil.copytree(bench.base, Path(step.folder) / "upper", symlinks=True)
    for path in (Path(step.folder), *Path(step.folder).rglob("*")):
        os.chown(path, *bench.owner, follow_symlinks=False)
    assert bench.perform(step)[0].code == 4


# Each is Perl, which Debian always has, because a shell makes no raw calls; the numbers are x86_64's. A call that is
# let through fails with another error, or succeeds (0).
CALLS = {
    "keyctl": ("250, 0, -3, 0, 0, 0", errno.EPERM),
    "bpf": ("321, 0, 0, 0", errno.EPERM),
    "mount": ("165, 0, 0, 0, 0, 0", errno.EPERM),
    "setns": ("308, 0, 0", errno.EPERM),
    "clone3": ("435, 0, 0", errno.ENOSYS),
    "clone of a user namespace": ("56, 0x10000000 | 17, 0, 0, 0, 0", errno.EPERM),
    "personality of another system": ("135, 6", errno.EPERM),
    "personality as it is": ("135, 0xffffffff", 0),
    "socket to the kernel's cryptography": ("41, 38, 5, 0", errno.EPERM),
    "socket to the hypervisor": ("41, 40, 1, 0", errno.EPERM),
    "socket of the internet": ("41, 2, 1, 0", 0),
    "a call of the far future": ("999", errno.ENOSYS),
    "fchmodat2 of nothing": ("452, -1, 0, 0, 0", errno.EFAULT),
    "ptrace of nobody": ("101, 16, 99999, 0, 0", errno.ESRCH),
}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are x86_64's")
def test_raw_system_calls(bench: Bench) -> None:
    program = "".join(f'print syscall({call}) == -1 ? $! + 0 : 0, "\\n";' for call, _ in CALLS.values())
    mounts = tuple(("bind", path, str(Path(path).resolve()), True) for path in ("/usr", "/lib", "/lib64"))
    done = bench.run("", argv=("/usr/bin/perl", "-e", program), mounts=mounts)
    assert done.err == ""
    assert dict(zip(CALLS, map(int, done.out.split()), strict=True)) == {name: end for name, (_, end) in CALLS.items()}
