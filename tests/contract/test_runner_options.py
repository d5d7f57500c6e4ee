"""`ports.Runner`: hosts, limits, shared memory, groups, and what insecure steps may do, in the same way everywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.runner_bench import RUNNERS, Bench, bench_of

from lamina.ports.running import Limit

NOTHING = "0000000000000000"
CAP_SYS_RESOURCE = 24


@pytest.fixture(params=RUNNERS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with bench_of(*RUNNERS[request.param]) as bench:
        yield bench


def test_more_hosts_are_known_after_the_usual_ones(bench: Bench) -> None:
    done = bench.run("cat /etc/hosts", hosts=(("one.example", "10.0.0.1"), ("six.example", "fd00::6")))
    lines = done.out.splitlines()
    assert "localhost buildkitsandbox" in lines[0]
    assert lines[-2:] == ["10.0.0.1\tone.example", "fd00::6\tsix.example"]


@pytest.mark.parametrize("uid", [0, 1000])
def test_limits_are_those_of_the_step_alone(bench: Bench, uid: int) -> None:
    limits = (Limit("nofile", 100, 200), Limit("core", 0, 0), Limit("fsize", 512 * 100, -1))
    limited, free = bench.perform(
        bench.step("cat /proc/self/limits; head -c 60000 /dev/zero >/tmp/f", limits=limits, uid=uid, gid=uid),
        bench.step("cat /proc/self/limits", uid=uid, gid=uid),
    )
    inside, outside = table(limited.out), table(free.out)
    assert inside["Max open files"] == ["100", "200"]
    assert inside["Max core file size"] == ["0", "0"]
    assert inside["Max file size"] == ["51200", "unlimited"]
    assert limited.code != 0
    assert (bench.folder / "step1/upper/tmp/f").stat().st_size == 51200
    own = table(Path("/proc/self/limits").read_text())
    assert outside == own


def test_a_limit_of_processes_holds_for_other_users(bench: Bench) -> None:
    script = "for n in 1 2 3 4 5 6 7 8; do sleep 5 & done; echo all"
    assert "all" not in bench.run(script, limits=(Limit("nproc", 4, 4),), uid=1000, gid=1000).out


def test_a_limit_may_be_raised_by_root_with_the_capability_alone(bench: Bench) -> None:
    row = "Max realtime priority"
    hard = int(table(Path("/proc/self/limits").read_text())[row][1])
    done = bench.run("cat /proc/self/limits", limits=(Limit("rtprio", 0, hard + 1),))
    capabilities = int(Path("/proc/self/status").read_text().partition("CapEff:")[2].split()[0], 16)
    if bench.rootless or not capabilities >> CAP_SYS_RESOURCE & 1:
        assert done.failure == "runtime-limit"
        assert f"above {hard}" in (done.message or "")
    else:
        assert table(done.out)[row] == ["0", str(hard + 1)]


@pytest.mark.parametrize("limit", [Limit("files", 1, 1), Limit("nofile", 2, 1), Limit("nofile", 1, -1)])
def test_a_limit_that_makes_no_sense_is_refused(bench: Bench, limit: Limit) -> None:
    assert bench.run("true", limits=(limit,)).failure == "runtime-limit"


def table(text: str) -> dict[str, list[str]]:
    """/proc/PID/limits as name → soft and hard."""
    return {line[:25].strip(): line[25:].split()[:2] for line in text.splitlines()[1:]}


def test_shared_memory_has_dockers_size_or_the_given_one(bench: Bench) -> None:
    script = "echo $(($(stat -f -c '%b*%S' /dev/shm)))"
    usual, small = bench.perform(bench.step(script), bench.step(script, shm_size=1 << 20))
    assert (usual.out, small.out) == ("67108864\n", "1048576\n")


def test_a_user_has_its_groups_and_nobody_elses(bench: Bench) -> None:
    root, both, none = bench.perform(
        bench.step("id -G", groups=(0, 10, 20)),
        bench.step("id -G", uid=5, gid=6, groups=(7,)),
        bench.step("id -G", uid=5, gid=6),
    )
    assert [sorted(set(done.out.split())) for done in (root, both, none)] == [["0", "10", "20"], ["6", "7"], ["6"]]


def test_insecure_steps_may_change_the_machine(bench: Bench) -> None:
    done = bench.run(
        "grep CapEff /proc/self/status | cut -f2; test -w /proc/sys/kernel/domainname && echo sysctl;"
        "mount -t tmpfs x /tmp && umount /tmp && echo mounted; unshare -m true && echo unshared;"
        "ls /sys/fs/cgroup | wc -l; grep -E ' (/sys|/sys/fs/cgroup/[a-z,]*|/sys/fs/cgroup) ' /proc/mounts",
        insecure=True,
    )
    words = done.out.split()
    assert words[0] != NOTHING
    assert words[1:4] == ["sysctl", "mounted", "unshared"] if not bench.rootless else "unshared" in words
    assert int(words[words.index("unshared") + 1]) > 0
    mounts = [line.split() for line in done.out.splitlines() if "/sys" in line]
    assert all(fields[3].split(",")[0] == "rw" for fields in mounts), mounts


def test_insecure_steps_keep_their_capabilities_as_another_user(bench: Bench) -> None:
    done = bench.run("id -u; grep CapEff /proc/self/status | cut -f2", insecure=True, uid=1000, gid=1000)
    assert done.out.split()[0] == "1000"
    assert done.out.split()[1] != NOTHING


def test_insecure_steps_of_root_have_more_devices(bench: Bench) -> None:
    script = "ls -d /dev/fuse /dev/net/tun /dev/kmsg /dev/loop-control; head -c 1 /dev/kmsg | wc -c"
    secure, insecure = bench.perform(bench.step(script), bench.step(script, insecure=True))
    assert secure.out.split() == ["0"]
    if not bench.rootless:
        expected = ["/dev/fuse", "/dev/kmsg", "/dev/loop-control", "/dev/net/tun"]
        assert insecure.out.split()[:4] == expected
        loops = [path.name for path in Path("/dev").glob("loop[0-9]*")]
        assert bench.run("ls /dev | grep -c ^loop[0-9]; true", insecure=True).out == f"{len(loops)}\n"
        assert os.stat("/dev/null").st_rdev == os.makedev(1, 3)
