"""COPY, ADD and WORKDIR: the files of the result, read from `-o type=local`."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from tests.support.command import Command, project, write

USERS = "RUN echo 'ann:x:1000:1001::/home/ann:/bin/sh' >> /etc/passwd && echo 'team:x:2000:' >> /etc/group\n"


def built(lamina: Command, folder: Path, text: str, files: dict[str, str] | None = None) -> Path:
    """The files of the image of a Dockerfile."""
    project(folder / "context", f"FROM busybox\n{text}", files)
    lamina.build(folder / "context", "-o", folder / "out").ok()
    return folder / "out"


def facts(path: Path) -> tuple[int, int, str]:
    status = path.lstat()
    return status.st_uid, status.st_gid, f"{status.st_mode & 0o7777:o}"


def archive(path: Path, mode: str) -> None:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, uid in (("top/", 0), ("top/file", 1234)):
            member = tarfile.TarInfo(name.rstrip("/"))
            member.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            member.uid = member.gid = uid
            member.mode, member.mtime = 0o640 if uid else 0o750, 1_000_000_000
            member.size = 0 if name.endswith("/") else 2
            tar.addfile(member, io.BytesIO(b"x\n"))


def test_workdir_belongs_to_the_user(lamina: Command, tmp_path: Path) -> None:
    root = built(
        lamina, tmp_path, USERS + "USER ann\nWORKDIR /work/deep\nWORKDIR more\nRUN pwd > here && id -u >> here\n"
    )
    for name in ("work", "work/deep", "work/deep/more"):
        assert facts(root / name) == (1000, 1001, "755")
    assert (root / "work/deep/more/here").read_text() == "/work/deep/more\n1000\n"
    assert facts(root / "work/deep/more/here") == (1000, 1001, "644")


def test_owner_by_name_and_mode_of_copies(lamina: Command, tmp_path: Path) -> None:
    text = USERS + "USER ann\nCOPY --chown=ann:team a /a\nCOPY --chown=7 a /dir/b\nCOPY --chmod=4711 a /c\nCOPY a /d\n"
    root = built(lamina, tmp_path, text, {"a": "a"})
    assert facts(root / "a") == (1000, 2000, "644")
    assert facts(root / "dir") == (7, 7, "755")
    assert facts(root / "dir/b") == (7, 7, "644")
    assert facts(root / "c") == (0, 0, "4711")
    assert facts(root / "d") == (0, 0, "644")


@pytest.mark.parametrize(
    ("name", "mode"), [("x.tar", "w"), ("x.tar.gz", "w:gz"), ("x.bin", "w:bz2"), ("x.txz", "w:xz")]
)
def test_add_unpacks_archives_and_copy_does_not(lamina: Command, tmp_path: Path, name: str, mode: str) -> None:
    (tmp_path / "context").mkdir()
    archive(tmp_path / "context" / name, mode)
    root = built(lamina, tmp_path, f"ADD {name} /unpacked/\nCOPY {name} /kept\n")
    assert (root / "unpacked/top/file").read_text() == "x\n"
    assert facts(root / "unpacked/top/file") == (1234, 1234, "640")
    assert facts(root / "unpacked/top") == (0, 0, "750")
    assert int((root / "unpacked/top/file").stat().st_mtime) == 1_000_000_000
    assert (root / "kept").read_bytes() == (tmp_path / "context" / name).read_bytes()


def test_add_copies_what_is_no_archive(lamina: Command, tmp_path: Path) -> None:
    root = built(lamina, tmp_path, "ADD fake.tar folder /to/\n", {"fake.tar": "no archive", "folder/in": "in"})
    assert (root / "to/fake.tar").read_text() == "no archive"
    assert (root / "to/in").read_text() == "in"


def test_wildcards_directories_links_and_modes(lamina: Command, tmp_path: Path) -> None:
    context = write(tmp_path / "context", {"a1.txt": "1", "a2.txt": "2", "b.md": "b", "src/x": "x", "src/sub/y": "y"})
    (context / "src/link").symlink_to("x")
    (context / "src/x").chmod(0o751)
    (context / "top").symlink_to("b.md")
    (context / "src/void").mkdir()
    root = built(lamina, tmp_path, "COPY a?.txt [b]* /texts/\nCOPY src /src\nCOPY top /top\nCOPY nothing* /n/\n")
    assert sorted(os.listdir(root / "texts")) == ["a1.txt", "a2.txt", "b.md"]
    assert facts(root / "src/x")[2] == "751"
    assert os.readlink(root / "src/link") == "x"
    assert (root / "src/sub/y").read_text() == "y"
    assert (root / "src/void").is_dir()
    assert not (root / "top").is_symlink()
    assert (root / "top").read_text() == "b"
    assert not (root / "n/nothing").exists()


def test_names_that_are_not_utf_8_and_long_ones(lamina: Command, tmp_path: Path) -> None:
    context = write(tmp_path / "context", {})
    context.mkdir()
    long = "x" * 200
    (context / long / long).mkdir(parents=True)
    (context / long / long / "file").write_text("deep")
    Path(os.fsdecode(os.fsencode(context) + b"/caf\xe9")).write_text("latin")
    root = built(lamina, tmp_path, "COPY . /c/\n")
    assert (root / "c" / long / long / "file").read_text() == "deep"
    assert b"caf\xe9" in os.listdir(os.fsencode(root / "c"))


def test_deletions_and_replacements_in_later_layers(lamina: Command, tmp_path: Path) -> None:
    text = """COPY tree /tree
RUN rm -r /tree/gone /tree/file /tree/opaque && mkdir /tree/file /tree/opaque && echo n > /tree/opaque/n
RUN ln /tree/opaque/n /tree/hard && chmod 600 /tree/kept && mknod /tree/pipe p
"""
    files = {"tree/gone/a": "a", "tree/file": "f", "tree/opaque/old": "o", "tree/kept": "k"}
    root = built(lamina, tmp_path, text, files)
    assert sorted(os.listdir(root / "tree")) == ["file", "hard", "kept", "opaque", "pipe"]
    assert (root / "tree/file").is_dir()
    assert os.listdir(root / "tree/opaque") == ["n"]
    assert (root / "tree/hard").stat().st_ino == (root / "tree/opaque/n").stat().st_ino
    assert facts(root / "tree/kept")[2] == "600"
    assert (root / "tree/pipe").is_fifo()


def test_what_is_mounted_for_a_step_is_not_in_the_image(lamina: Command, tmp_path: Path) -> None:
    text = "RUN test -s /etc/resolv.conf && cat /etc/hosts /proc/self/status > /dev/null && ls /sys && touch /dev/x\n"
    root = built(lamina, tmp_path, text + "RUN (echo 1.2.3.4 gone >> /etc/hosts || true) && ls /proc/self\n")
    assert sorted(os.listdir(root / "etc")) == ["group", "passwd"]
    for name in ("proc", "sys", "dev"):
        assert os.listdir(root / name) == []
    assert sorted(os.listdir(root)) == ["bin", "dev", "etc", "proc", "root", "sys", "tmp"]


def test_environment_of_a_step(lamina: Command, tmp_path: Path) -> None:
    text = 'ENV A=1 B="two words"\nARG C\nARG D=d\nSHELL ["/bin/sh", "-ec"]\nRUN env | sort > /env; umask >> /env\n'
    context = project(tmp_path / "context", f"FROM busybox\n{text}")
    lamina.build(context, "-o", tmp_path / "out", "--build-arg", "C=c", "--ca-certs", "none").ok()
    lines = (tmp_path / "out/env").read_text().splitlines()
    assert set(lines) - {"SHLVL=1"} == {"A=1", "B=two words", "C=c", "D=d", "HOME=/root", "PATH=/bin", "PWD=/", "0022"}


OLD, NEW = 1_000_000_000, 1_500_000_000  # seconds since the epoch
CHECKOUT = {"code": "1", "lock": "l", "lib/x.py": "x", "lib/deep/y.py": "y"}


def checkout(lamina: Command, folder: Path, text: str, code: str, seconds: int, *options: str) -> Path:
    """The files of the image of a fresh checkout, all of whose files are as old as `seconds` says."""
    context = project(folder / "context", f"FROM busybox\n{text}", {**CHECKOUT, "code": code})
    for path in sorted(context.rglob("*"), reverse=True):
        os.utime(path, (seconds, seconds))
    lamina.build(context, "-o", folder / "out", *options).ok()
    return folder / "out"


def times(root: Path, *tops: str) -> dict[str, int]:
    paths = [path for top in tops for path in ((root / top), *(root / top).rglob("*"))]
    return {str(path.relative_to(root)): path.lstat().st_mtime_ns for path in paths}


@pytest.mark.parametrize(
    ("text", "top"),
    [
        ("COPY . /app/\n", "app"),
        ("WORKDIR /app\nCOPY --chown=7:8 --chmod=u=rwX,go= . .\n", "app"),
        ("COPY lock code lib /made/by/copy/\n", "made"),
        ("COPY --parents lib/deep/y.py co*e lock /p/\n", "p"),
        ("COPY . /src/\nFROM busybox\nCOPY --from=0 /src /app\n", "app"),
        ("RUN mkdir /real && ln -s real /app\nCOPY . /app\n", "real"),
    ],
)
def test_under_observation_what_has_not_changed_keeps_its_times(
    lamina: Command, tmp_path: Path, text: str, top: str
) -> None:
    before = checkout(lamina, tmp_path / "1", text, "1", OLD, "--observe")
    after = checkout(lamina, tmp_path / "2", text, "2", NEW, "--observe")
    then, now = times(before, top), times(after, top)
    code = next(path for path in now if path.endswith("code"))
    known = {path for path in now if now[path] == then[path]}
    # Through a link, files are not found again: what they hold is known by the path that was asked for.
    assert known == (set(now) - {code} if top != "real" else {path for path in now if (after / path).is_dir()})
    assert now[code] == NEW * 10**9
    plain = checkout(lamina, tmp_path / "3", text, "2", NEW, "--no-cache", "--no-observe")
    assert times(plain, top).keys() == now.keys()
    for name in now:
        assert facts(after / name) == facts(plain / name)
        if (plain / name).is_file():
            assert (after / name).read_bytes() == (plain / name).read_bytes()


def test_not_observed_every_file_has_the_time_of_its_checkout(lamina: Command, tmp_path: Path) -> None:
    checkout(lamina, tmp_path / "1", "COPY . /app/\n", "1", OLD)
    after = checkout(lamina, tmp_path / "2", "COPY . /app/\n", "2", NEW)
    assert times(after, "app/lib") == dict.fromkeys(times(after, "app/lib"), NEW * 10**9)


def test_under_observation_times_are_kept_from_build_to_build(lamina: Command, tmp_path: Path) -> None:
    """Also those of a directory in which files come and go."""
    found = []
    for number in range(3):
        context = project(tmp_path / f"{number}/context", "FROM busybox\nCOPY . /app/\n", CHECKOUT)
        write(context, {f"lib/new{number}": "new"})
        for path in sorted(context.rglob("*"), reverse=True):
            os.utime(path, (OLD + number, OLD + number))
        lamina.build(context, "-o", tmp_path / f"{number}/out", "--observe").ok()
        found.append(times(tmp_path / f"{number}/out", "app"))
    for name in ("app/lib", "app/lib/x.py", "app/lib/deep", "app/lock"):
        assert [one[name] for one in found] == [OLD * 10**9] * 3
    assert found[2]["app/lib/new2"] == (OLD + 2) * 10**9
    assert "app/lib/new1" not in found[2]
