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
