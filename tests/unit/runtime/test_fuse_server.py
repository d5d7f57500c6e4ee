"""The FUSE server on real directories, asked without a kernel: what it notes, bounds and refuses."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lamina.runtime import fuse_protocol as protocol
from lamina.runtime.fuse_server import HEAD, Server
from lamina.runtime.fuse_tree import Tree


@contextmanager
def serving(layer: Path, limit: int = 100) -> Iterator[Server]:
    descriptor = os.open(layer, os.O_PATH | os.O_DIRECTORY)
    try:
        yield Server(Tree([descriptor], limit))
    finally:
        os.close(descriptor)


def ask(server: Server, opcode: int, node: int, body: bytes = b"") -> tuple[int, bytes]:
    """The errno and the body of an answer."""
    request = struct.pack("=IIQQIIII", 40 + len(body), opcode, 9, node, 0, 0, 0, 0) + body
    answer = server.answer(request)
    assert answer is not None
    _, code, unique = struct.unpack_from("=IiQ", answer)
    assert unique == 9
    return -code, answer[16:]


def look_up(server: Server, parent: int, name: bytes) -> int:
    """The node of a name, 0 if it is absent."""
    code, body = ask(server, protocol.LOOKUP, parent, name + b"\0")
    assert code == 0
    return int(struct.unpack_from("=Q", body)[0])


def read(server: Server, node: int, offset: int = 0, size: int = 4096) -> tuple[int, bytes]:
    return ask(server, protocol.READ, node, struct.pack("=QQIIQII", 0, offset, size, 0, 0, 0, 0))


def report(server: Server) -> tuple[str, list[bytes]]:
    data = server.report()
    reason, size = HEAD.unpack_from(data)
    body = data[HEAD.size + reason :]
    assert len(body) == size
    return data[HEAD.size : HEAD.size + reason].decode(), body.split(b"\0")[:-1]


def test_a_look_is_reported_with_its_kinds(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")
    with serving(tmp_path) as server:
        top = look_up(server, protocol.ROOT, b"0")
        assert read(server, look_up(server, top, b"a")) == (0, b"text")
        assert look_up(server, top, b"no") == 0
        assert look_up(server, top, b"a") == look_up(server, top, b"a")
        assert report(server) == ("", [b"\x05/0/a", b"\x01/0/no"])


def test_a_forgotten_node_stays(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")
    with serving(tmp_path) as server:
        node = look_up(server, 2, b"a")
        forget = struct.pack("=IIQQIIIIQ", 48, protocol.FORGET, 9, node, 0, 0, 0, 0, 1)
        assert server.answer(forget) is None
        assert read(server, node) == (0, b"text")


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "layer").mkdir()
    (tmp_path / "outside").write_text("secret")
    (tmp_path / "layer/file").symlink_to("../outside")
    (tmp_path / "layer/folder").symlink_to("..")
    with serving(tmp_path / "layer") as server:
        assert read(server, look_up(server, 2, b"file"))[0] == errno.ELOOP
        code, _ = ask(server, protocol.LOOKUP, look_up(server, 2, b"folder"), b"outside\0")
        assert code in (errno.ELOOP, errno.ENOTDIR)


def test_any_depth_with_few_descriptors(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_PATH)
    top = os.dup(here)
    for _ in range(400):
        os.mkdir("d" * 40, dir_fd=here)
        inner = os.open("d" * 40, os.O_PATH, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    server = Server(Tree([top], 10))
    before = len(os.listdir("/proc/self/fd"))
    node = 2
    nodes = [node := look_up(server, node, b"d" * 40) for _ in range(400)]
    assert all(ask(server, protocol.GETATTR, each)[0] == 0 for each in reversed(nodes))
    assert look_up(server, nodes[100], b"no") == 0
    assert len(os.listdir("/proc/self/fd")) - before <= 300
    assert server.lost == ""
    os.close(top)


def test_absent_names_are_bounded(tmp_path: Path) -> None:
    with serving(tmp_path, limit=3) as server:
        for number in range(3):
            look_up(server, 2, b"%d" % number)
        assert report(server)[0] == ""
        look_up(server, 2, b"more")
        assert "absent names" in report(server)[0]


@pytest.mark.parametrize("opcode", sorted(protocol.CHANGING))
def test_changes_are_refused(tmp_path: Path, opcode: int) -> None:
    with serving(tmp_path) as server:
        assert ask(server, opcode, 2)[0] == errno.EROFS
        assert server.lost == ""


@pytest.mark.parametrize("opcode", sorted(protocol.ABSENT))
def test_what_it_lacks_says_nothing_about_a_file(tmp_path: Path, opcode: int) -> None:
    with serving(tmp_path) as server:
        assert ask(server, opcode, 2)[0] == errno.ENOSYS
        assert server.lost == ""


def test_an_unknown_request_loses_the_watch(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert ask(server, 99, 2)[0] == errno.ENOSYS
        assert report(server)[0] == "the kernel made a request of an unknown kind, 99"


def test_a_request_about_no_node_loses_the_watch(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert ask(server, protocol.GETATTR, 77)[0] == errno.EIO
        assert report(server)[0].startswith("request 3: ")


def test_an_old_kernel_loses_the_watch(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert ask(server, protocol.INIT, 0, struct.pack("=IIII", 7, 23, 4096, 0xFFFFFFFF))[0] == errno.EPROTO
        assert report(server)[0] == "this kernel speaks FUSE 7.23, which is too old"


def test_attributes_of_the_mount_point_are_none(tmp_path: Path) -> None:
    body = struct.pack("=II", 0, 0)
    with serving(tmp_path) as server:
        assert ask(server, protocol.GETXATTR, protocol.ROOT, body + b"security.selinux\0")[0] == errno.ENODATA
        assert ask(server, protocol.LISTXATTR, protocol.ROOT, body) == (0, struct.pack("=II", 0, 0))


def test_an_extended_attribute_fits_or_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    os.setxattr(tmp_path / "a", "user.x", b"12345")
    with serving(tmp_path) as server:
        node = look_up(server, 2, b"a")
        answers = [ask(server, protocol.GETXATTR, node, struct.pack("=II", n, 0) + b"user.x\0") for n in (0, 4, 5)]
    assert answers == [(0, struct.pack("=II", 5, 0)), (errno.ERANGE, b""), (0, b"12345")]
