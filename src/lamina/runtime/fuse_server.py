"""The process that answers for observed layers: `main(DEVICE, CHANNEL, LAYER…)`, all open descriptors.

It answers requests from DEVICE (/dev/fuse, already mounted) until it is unmounted or CHANNEL ends, which it does when
lamina does. A byte on CHANNEL asks for all that was looked at so far; see `report`.
"""

from __future__ import annotations

import errno
import gc
import os
from _thread import start_new_thread
from struct import Struct

from lamina.runtime import fuse_protocol as protocol
from lamina.runtime.fuse_tree import Tree

#: The head of a report: bytes of the reason for which looks are missing (0: none are), bytes of the looks.
HEAD = Struct("=QQ")
#: So many absent names are remembered: what a step can make us remember is bounded.
_ABSENT = 1_000_000
#: So many bytes of paths are reported.
_REPORT = 256 << 20


class Server:
    """Answers requests from a tree. `lost` says why not all looks are known, empty if they are."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.lost = ""

    def serve(self, device: int) -> None:
        """Until the file system is unmounted."""
        read, write, answer = os.read, os.write, self.answer
        while True:
            try:
                request = read(device, protocol.REQUEST)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                # ENOENT: the request was withdrawn while it was read.
                if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
                    continue
                raise
            reply = answer(request)
            if reply is not None:
                try:
                    write(device, reply)
                except OSError as error:
                    # Who asked has been interrupted.
                    if error.errno != errno.ENOENT:
                        raise

    def answer(self, request: bytes) -> bytes | None:
        """The answer to one request, None if it wants none."""
        _, opcode, unique, node = protocol.HEADER.unpack_from(request)
        try:
            return self._answer(opcode, unique, node, request)
        except OSError as error:
            code = error.errno or errno.EIO
            if code not in _ORDINARY:
                self.lost = self.lost or f"a layer could not be read: {error.strerror}"
            return protocol.refusal(unique, code)
        except Exception as error:  # whatever it is, a look that is not known must lose the watch, never pass
            self.lost = self.lost or f"request {opcode}: {error!r}"
            return protocol.refusal(unique, errno.EIO)

    def _answer(self, opcode: int, unique: int, node: int, request: bytes) -> bytes | None:
        tree = self._tree
        if opcode == protocol.LOOKUP:
            found, ino, info = tree.look_up(node, request[protocol.BODY : -1])
            return protocol.no_entry(unique) if info is None else protocol.entry(unique, found, ino, info)
        if opcode == protocol.READ:
            offset, size = protocol.PORTION.unpack_from(request, protocol.PORTION_AT)
            return protocol.answer(unique, tree.read(node, offset, size))
        if opcode == protocol.GETXATTR:
            (room,) = protocol.ROOM.unpack_from(request, protocol.BODY)
            return self._sized(unique, room, tree.attribute(node, request[protocol.NAME_AT : -1]))
        if opcode == protocol.LISTXATTR:
            (room,) = protocol.ROOM.unpack_from(request, protocol.BODY)
            return self._sized(unique, room, tree.attribute_names(node))
        if opcode == protocol.READDIR:
            offset, size = protocol.PORTION.unpack_from(request, protocol.PORTION_AT)
            return protocol.answer(unique, protocol.listing(tree.listing(node, offset), offset, size))
        if opcode == protocol.READLINK:
            return protocol.answer(unique, tree.link(node))
        if opcode == protocol.GETATTR:
            return protocol.attributes(unique, *tree.attributes(node))
        if opcode in (protocol.FORGET, protocol.BATCH_FORGET):
            return None
        return self._rare(opcode, unique, request)

    def _rare(self, opcode: int, unique: int, request: bytes) -> bytes:
        if opcode == protocol.INIT:
            return self._init(unique, request)
        if opcode == protocol.STATFS:
            return protocol.answer(unique, protocol.statistics())
        if opcode in (protocol.RELEASE, protocol.RELEASEDIR, protocol.DESTROY):
            return protocol.answer(unique, b"")
        if opcode in protocol.CHANGING:
            return protocol.refusal(unique, errno.EROFS)
        if opcode not in protocol.ABSENT:
            self.lost = self.lost or f"the kernel made a request of an unknown kind, {opcode}"
        return protocol.refusal(unique, errno.ENOSYS)

    def _init(self, unique: int, request: bytes) -> bytes:
        major, minor, read_ahead, flags = protocol.offered(request)
        if (major, minor) < (protocol.MAJOR, protocol.MINOR) or protocol.NEEDED & ~flags:
            self.lost = f"this kernel speaks FUSE {major}.{minor}, which is too old"
            return protocol.refusal(unique, errno.EPROTO)
        return protocol.answer(unique, protocol.agreed(read_ahead, flags))

    @staticmethod
    def _sized(unique: int, room: int, value: bytes) -> bytes:
        if room == 0:
            return protocol.answer(unique, protocol.length(len(value)))
        if len(value) > room:
            return protocol.refusal(unique, errno.ERANGE)
        return protocol.answer(unique, value)

    def report(self) -> bytes:
        """`HEAD`, the reason, then for each path that was looked at: a byte of `fuse_tree` bits, the path below the
        root (a layer's number, and the path in it), and a zero byte."""
        paths: dict[int, bytes] = {1: b""}
        parts: list[bytes] = []
        size = 0
        for node, parent, kinds, name in self._tree.noted():
            path = paths[node] = b"%b/%b" % (paths[parent], name)
            size += len(path)
            if size > _REPORT:
                self.lost = self.lost or "the paths that were looked at are too many"
                break
            if kinds:
                parts.append(b"%c%b\0" % (kinds, path))
        if self._tree.overrun:
            self.lost = self.lost or f"more than {_ABSENT} absent names were asked for"
        reason, body = self.lost.encode(errors="replace"), b"".join(parts)
        return HEAD.pack(len(reason), len(body)) + reason + body


#: Answers that say something about the file, not about a failure.
_ORDINARY = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.ENODATA, errno.ENAMETOOLONG, errno.EOPNOTSUPP, errno.ERANGE, errno.EINVAL)
)


def _listen(server: Server, channel: int) -> None:
    """Answer questions for looks; end the process with the channel."""
    try:
        while os.read(channel, 1):
            rest = memoryview(server.report())
            while rest:
                rest = rest[os.write(channel, rest) :]
    finally:
        os._exit(0)


def main(device: int, channel: int, layers: list[int]) -> None:
    gc.disable()
    server = Server(Tree(layers, _ABSENT))
    start_new_thread(_listen, (server, channel))
    server.serve(device)
