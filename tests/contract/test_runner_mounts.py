"""`ports.Runner`: what a step's mounts show, what becomes of what is written there, and that no trace of them stays."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.runner_bench import RUNNERS, Bench, bench_of, environment, give
from tests.support.runner_process import MountOrder
from tests.support.waiting import wait_for

SECRET = b"quite-secret-9d41c7e2b05f"


@pytest.fixture(params=RUNNERS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with bench_of(*RUNNERS[request.param]) as bench:
        yield bench


def files(upper: Path) -> list[str]:
    return sorted(str(path.relative_to(upper)) for path in upper.rglob("*"))


def layer(bench: Bench, name: str, content: dict[str, str]) -> str:
    """A layer directory with these files."""
    folder = bench.layer(name)
    for path, text in content.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    give(folder, bench.owner)
    return str(folder)


def whiteout(bench: Bench, path: Path) -> None:
    os.mknod(path, stat.S_IFCHR, 0)
    os.chown(path, *bench.owner)


def tree(target: str, *layers: str, path: str = "/", read_only: bool = True) -> MountOrder:
    return MountOrder("tree", target, layers=layers, path=path, read_only=read_only)


def data(target: str, text: bytes, mode: int | None = None, uid: int = 0, gid: int = 0) -> MountOrder:
    return MountOrder("data", target, mode=mode, uid=uid, gid=gid, data=text)


# --- trees -----------------------------------------------------------------------------------------------------------
def test_a_tree_is_a_stack_with_its_removals(bench: Bench) -> None:
    low = layer(bench, "low", {"d/old": "old", "d/both": "low", "gone": "x", "o/hidden": "x"})
    top = layer(bench, "top", {"d/both": "top", "o/new": "new"})
    whiteout(bench, Path(top, "gone"))
    os.setxattr(Path(top, "o"), f"{bench.xattr}.overlay.opaque", b"y")
    done = bench.run(
        "cd /t; cat d/old d/both; echo; ls . o; echo x >new; echo $?; rm d/old; mkdir d/y",
        mounts=(tree("/t", top, low),),
    )
    assert done.out.split() == ["oldtop", ".:", "d", "o", "o:", "new", "1"]
    assert done.err.count("ead-only") == 3
    assert files(bench.upper) == []


def test_a_single_layer_and_none_at_all(bench: Bench) -> None:
    top = layer(bench, "top", {"a": "1", "gone": "x"})
    Path(top, "gone").unlink()
    whiteout(bench, Path(top, "gone"))
    script = "ls /one /none /two; echo x >/two/f; echo x >/empty/f && cat /empty/f"
    mounts = (tree("/one", top), tree("/none"), tree("/two", top, read_only=False), tree("/empty", read_only=False))
    done = bench.run(script, mounts=mounts)
    assert done.out.split() == ["/none:", "/one:", "a", "/two:", "a", "x"]
    assert files(bench.upper) == []


def test_a_part_of_a_tree_a_file_or_a_directory(bench: Bench) -> None:
    low = layer(bench, "low", {"d/e/f": "inner", "d/e/g": "x"})
    done = bench.run(
        "cat /file /made/here; ls /etc/dir",
        mounts=(
            tree("/file", low, path="/d/e/f"),
            tree("/etc/dir", low, path="d/e/"),
            tree("/made/here", low, path="/d/../d/e/f"),
        ),
    )
    assert done.out == "innerinnerf\ng\n"
    assert files(bench.upper) == []


def test_links_in_a_tree_lead_nowhere_but_inside(bench: Bench) -> None:
    outside = layer(bench, "outside", {"etc/secret": "outside"})
    low = layer(bench, "low", {"etc/secret": "inside", "etc/real/f": "x"})
    Path(low, "up").symlink_to("../../../../../../../etc/secret")
    Path(low, "absolute").symlink_to("/etc/secret")
    Path(low, "folder").symlink_to("/etc/real")
    Path(low, "escape").symlink_to(outside)
    done, escape = bench.perform(
        bench.step(
            "cat /a /b; ls /c",
            mounts=(tree("/a", low, path="/up"), tree("/b", low, path="/absolute"), tree("/c", low, path="/folder")),
        ),
        bench.step("true", mounts=(tree("/a", low, path="/escape"),)),
    )
    assert done.out == "insideinsidef\n"
    assert escape.failure == "step-mount-source-missing"
    assert "/escape" in (escape.message or "")


def test_a_missing_part_of_a_tree_is_named(bench: Bench) -> None:
    low = layer(bench, "low", {"d/f": "x"})
    done, through = bench.perform(
        bench.step("true", mounts=(tree("/a", low, path="/d/nothing"),)),
        bench.step("true", mounts=(tree("/a", low, path="/d/f/x"),)),
    )
    assert done.failure == "step-mount-source-missing"
    assert "/d/nothing" in (done.message or "")
    assert through.failure == "runtime-bad-path"


def test_what_is_written_to_a_tree_is_thrown_away(bench: Bench) -> None:
    low = layer(bench, "low", {"d/f": "old", "d/g": "x"})
    script = "cd /t; echo new >d/f; rm d/g; echo more >d/h; cat d/f; ls d; echo file >/f; cat /f"
    mounts = (tree("/t", low, read_only=False), tree("/f", low, path="/d/f", read_only=False))
    first, second = bench.perform(bench.step(script, mounts=mounts), bench.step("cat /t/d/f; ls /t/d", mounts=mounts))
    assert first.out.split() == ["new", "f", "h", "file"]
    assert second.out.split() == ["oldf", "g"]
    assert files(bench.upper) == []
    assert files(Path(low)) == ["d", "d/f", "d/g"]
    assert Path(low, "d/f").read_text() == "old"


def test_a_tree_keeps_its_owners_and_other_users_may_write_where_they_may(bench: Bench) -> None:
    low = layer(bench, "low", {"mine/f": "x", "roots/f": "x"})
    inside = 300_011 if bench.rootless else 12
    os.chown(Path(low, "mine"), inside, inside)
    done = bench.run(
        "stat -c %u /t /t/mine /t/roots/f; echo x >/t/mine/new && echo made; echo x >/t/roots/new",
        mounts=(tree("/t", low, read_only=False),),
        uid=12,
        gid=12,
    )
    assert done.out.split() == ["0", "12", "0", "made"]
    assert "ermission" in done.err


# --- bytes in memory -------------------------------------------------------------------------------------------------
def test_bytes_are_seen_with_their_mode_and_owner(bench: Bench) -> None:
    mounts = (
        data("/run/secrets/a", SECRET),
        data("/run/secrets/b", b"b\n", mode=0o444, uid=7, gid=8),
        data("/etc/issue", b""),
        data("/big", b"0123456789" * 50_000, mode=0o640),
    )
    done = bench.run(
        "cat /run/secrets/a; echo; stat -c '%a %u:%g %s' /run/secrets/* /etc/issue /big; echo x >/run/secrets/b",
        mounts=mounts,
    )
    assert done.out.splitlines() == [SECRET.decode(), "400 0:0 25", "444 7:8 2", "400 0:0 0", "640 0:0 500000"]
    assert "ead-only" in done.err
    assert files(bench.upper) == []


def test_who_may_read_the_bytes_is_what_the_mode_says(bench: Bench) -> None:
    mounts = (data("/run/secrets/mine", SECRET, uid=1000), data("/run/secrets/groups", b"g", mode=0o440, gid=6))
    script = "cat /run/secrets/mine; cat /run/secrets/groups"
    owner, other = bench.perform(
        bench.step(script, mounts=mounts, uid=1000, gid=1000, groups=(6,)),
        bench.step(script, mounts=mounts, uid=1001, gid=1001),
    )
    assert owner.out == SECRET.decode() + "g"
    assert other.out == ""
    assert other.err.count("ermission") == 2


def test_bytes_are_never_on_the_disk(bench: Bench) -> None:
    mark = bench.layer("mark")
    step = bench.step(
        "cat /run/secrets/a >/dev/null && echo up >/mark/up; while ! test -e /mark/go; do sleep 0.02; done",
        mounts=(data("/run/secrets/a", SECRET), MountOrder("bind", "/mark", str(mark), False)),
    )
    with subprocess.Popen(bench.command(step), env=environment(), stdout=subprocess.PIPE) as lamina:
        wait_for(lambda: (mark / "up").exists())
        during = [path for path in bench.folder.rglob("*") if path.is_file() and not path.is_symlink()]
        assert [path for path in during if SECRET in path.read_bytes()] == []
        assert step.folder not in Path("/proc/self/mountinfo").read_text()
        (mark / "go").touch()
        assert b'"code":0' in lamina.communicate(timeout=30)[0]
    after = [path for path in bench.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path for path in after if SECRET in path.read_bytes()] == []


def test_a_script_below_dev_can_be_executed(bench: Bench) -> None:
    script = data("/dev/pipes/EOF", b"#!/bin/sh\necho script $0 $1; ls /dev/pipes; test -c /dev/null\n", mode=0o755)
    done, other, plain = bench.perform(
        bench.step("", argv=("/dev/pipes/EOF", "x"), mounts=(script,)),
        bench.step("", argv=("/dev/pipes/EOF", "y"), mounts=(script,), uid=1000, gid=1000),
        bench.step("", argv=("/dev/pipes/EOF",), mounts=(data("/dev/pipes/EOF", b"#!/bin/sh\n", mode=0o644),)),
    )
    assert (done.code, done.out.split()) == (0, ["script", "/dev/pipes/EOF", "x", "EOF"])
    assert (other.code, other.out.split()) == (0, ["script", "/dev/pipes/EOF", "y", "EOF"])
    assert plain.failure == "runtime-command-not-found"
    assert files(bench.upper) == []


def test_the_program_and_the_directory_may_be_in_mounts(bench: Bench) -> None:
    low = layer(bench, "low", {"deep/er/tool": "#!/bin/sh\npwd\n"})
    Path(low, "deep/er/tool").chmod(0o755)
    Path(low, "link").symlink_to("/t/deep/er")
    mounts = (tree("/t", low), MountOrder("tmpfs", "/m", read_only=False))
    named, found, made, missing, absent = bench.perform(
        bench.step("", argv=("./tool",), cwd="/t/link", mounts=mounts),
        bench.step("", argv=("tool",), env={"PATH": "/t/link:/bin"}, mounts=mounts),
        bench.step("pwd; ls /m", cwd="/m/a/b", mounts=mounts),
        bench.step("true", cwd="/t/nowhere", mounts=mounts),
        bench.step("", argv=("/t/deep/nothing",), mounts=mounts),
    )
    assert [named.out, found.out, made.out] == ["/t/deep/er\n", "/\n", "/m/a/b\na\n"]
    assert missing.failure == "runtime-no-directory"
    assert absent.failure == "runtime-command-not-found"
    assert files(bench.upper) == []


# --- memory ----------------------------------------------------------------------------------------------------------
def test_a_file_system_in_memory_has_its_size_and_mode(bench: Bench) -> None:
    (bench.base / "var").chmod(0o711)
    done = bench.run(
        "head -c 3000000 /dev/zero >/small/f; stat -c %s /small/f; stat -c %a /small /var /tmp /given;"
        "stat -c %u:%g /given; head -c 3000000 /dev/zero >/var/f && echo fits",
        mounts=(
            MountOrder("tmpfs", "/small", size=1 << 20),
            MountOrder("tmpfs", "/var"),
            MountOrder("tmpfs", "/tmp"),
            MountOrder("tmpfs", "/given", mode=0o750, uid=3, gid=4),
        ),
    )
    assert done.out.split() == ["1048576", "1777", "711", "1777", "750", "3:4", "fits"]
    assert files(bench.upper) == []


# --- cache folders ---------------------------------------------------------------------------------------------------
def test_a_folder_of_another_user_is_written_by_that_user(bench: Bench) -> None:
    cache = bench.layer("cache")
    inside = 300_011 if bench.rootless else 12
    os.chown(cache, inside, inside)
    cache.chmod(0o700)
    mounts = (MountOrder("bind", "/root/.cache/it", str(cache), False),)
    (bench.base / "root").chmod(0o755)
    theirs, roots, others = bench.perform(
        bench.step("echo x >/root/.cache/it/f; stat -c %a:%u /root/.cache/it", mounts=mounts, uid=12, gid=12),
        bench.step("cat /root/.cache/it/f; echo y >>/root/.cache/it/f", mounts=mounts),
        bench.step("cat /root/.cache/it/f", mounts=mounts, uid=13, gid=13),
    )
    assert theirs.out == "700:12\n"
    assert roots.out == "x\n"
    assert "ermission" in others.err
    assert (cache / "f").read_text() == "x\ny\n"
    assert (cache / "f").stat().st_uid == inside


def test_a_source_that_is_missing_is_named(bench: Bench) -> None:
    done = bench.run("true", mounts=(MountOrder("bind", "/x", "/no/such/place"),))
    assert done.failure == "runtime-mount-source"
    assert "/no/such/place" in (done.message or "")


# --- mounts in mounts ------------------------------------------------------------------------------------------------
def test_mounts_in_mounts_whatever_their_order(bench: Bench) -> None:
    low = layer(bench, "low", {"sub/have/f": "x", "sub/g": "x", "sub/file": "x"})
    os.utime(Path(low, "sub"), (1_000_000_000, 1_000_000_000))
    cache, inner = bench.layer("cache"), bench.layer("inner")
    done = bench.run(
        "echo 1 >/x/have/new; echo 2 >/x/made/deep/new; cat /x/file /x/fresh; echo 3 >/c/in/ner/new; echo 4 >/c/top;"
        "ls /x; stat -c %Y /x; cat /m/one; echo x >/x/no",
        mounts=(
            MountOrder("bind", "/x/made/deep", str(inner), False),
            MountOrder("bind", "/c/in/ner", str(inner), False),
            MountOrder("bind", "/x/have", str(inner), False),
            data("/x/file", b"over\n"),
            data("/x/fresh", b"fresh\n"),
            data("/m/one", b"memory\n"),
            tree("/x", low, path="/sub"),
            MountOrder("bind", "/c", str(cache), False),
            MountOrder("tmpfs", "/m"),
        ),
    )
    expected = ["over", "fresh", "file", "fresh", "g", "have", "made", "1000000000", "memory"]
    assert done.out.split() == expected
    assert done.err.count("ead-only") == 1
    assert (inner / "new").read_text() == "3\n"
    assert files(cache) == ["in", "in/ner", "top"]
    assert files(Path(low)) == ["sub", "sub/file", "sub/g", "sub/have", "sub/have/f"]
    assert files(bench.upper) == []


def test_mounts_side_by_side_and_in_each_other_far_from_what_the_image_has(bench: Bench) -> None:
    low = layer(
        bench, "low", {"f": "x", "tool": "#!/bin/sh\ncat /far/away/one /far/away/tree/in/two; ls /far /far/away\n"}
    )
    Path(low, "tool").chmod(0o755)
    mounts = (tree("/far/away/tree", low), data("/far/away/one", b"1\n"), data("/far/away/tree/in/two", b"2\n"))
    done, there = bench.perform(
        bench.step("", argv=("/far/away/tree/tool",), mounts=mounts),
        bench.step("pwd", cwd="/far/away", mounts=mounts),
    )
    assert done.out.split() == ["1", "2", "/far:", "away", "/far/away:", "one", "tree"]
    assert there.out == "/far/away\n"
    assert files(bench.upper) == []


def test_a_tree_that_forgets_holds_mounts_too(bench: Bench) -> None:
    low = layer(bench, "low", {"a/f": "x"})
    script = "echo x >/t/a/new; cat /t/b/c; ls /t"
    done = bench.run(script, mounts=(tree("/t", low, read_only=False), data("/t/b/c", b"in\n")))
    assert done.out.split() == ["in", "a", "b"]
    assert files(Path(low)) == ["a", "a/f"]


def test_links_in_a_mount_lead_nowhere_but_into_the_step(bench: Bench) -> None:
    outside = bench.layer("outside")
    cache = bench.layer("cache")
    (cache / "escape").symlink_to(outside)
    (cache / "home").symlink_to("/home")
    inner = bench.layer("inner")
    done = bench.run(
        "echo x >/home/made/f; ls /c /home",
        mounts=(
            MountOrder("bind", "/c", str(cache), False),
            MountOrder("bind", "/c/escape/deep", str(inner)),
            MountOrder("bind", "/c/home/made", str(inner), False),
        ),
    )
    assert done.code == 0
    assert (inner / "f").read_text() == "x\n"
    assert files(outside) == []
    assert files(bench.upper) == []


def test_a_place_that_cannot_be_made_is_named(bench: Bench) -> None:
    shared = bench.layer("shared")
    done = bench.run("true", mounts=(MountOrder("bind", "/x", str(shared)), data("/x/y", b"")))
    assert done.failure == "runtime-mount-kind"
    assert "/x/y" in (done.message or "")
    assert files(shared) == []


@pytest.mark.parametrize("target", ["/proc", "/proc/version", "/proc/sys/x", "/home/../proc/x"])
def test_nothing_is_mounted_over_proc(bench: Bench, target: str) -> None:
    assert bench.run("true", mounts=(data(target, b""),)).failure == "runtime-mount-kind"


@pytest.mark.parametrize("runtime", ["bwrap", "runc"])
def test_one_mapped_user_id_is_enough_for_mounts_of_root(runtime: str) -> None:
    with bench_of(runtime, rootless=True, sub_ids=False) as bench:
        low = layer(bench, "low", {"f": "tree\n"})
        mounts = (tree("/t", low, read_only=False), data("/s", b"data\n"), MountOrder("tmpfs", "/m"))
        done, given = bench.perform(
            bench.step("echo x >/t/new && echo y >/m/new && cat /t/f /s", mounts=mounts),
            bench.step("true", mounts=(data("/s", b"", uid=5),)),
        )
        assert done.out.split() == ["tree", "data"], done
        assert given.failure == "runtime-mount-owner"
