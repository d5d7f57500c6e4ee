"""Reading a stream in a thread of its own, a few pieces ahead: unpacking waits for files, decompressing and hashing for
the processor, and neither holds Python's lock meanwhile."""

from __future__ import annotations

from queue import SimpleQueue
from threading import Semaphore, Thread

from lamina.image.tarread import ByteStream

_PIECE = 1 << 20
#: Pieces that may wait to be taken.
_AHEAD = 4


class ReadAhead:
    """A `ByteStream` over another, read from its beginning to its end by a thread. What reading raises is raised where
    the piece would have been given. Use as a context manager: the thread is gone after the block."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._pieces: SimpleQueue[bytes | BaseException] = SimpleQueue()
        self._room = Semaphore(_AHEAD)
        self._stopped = self._ended = False
        self._thread = Thread(target=self._run, name="read-ahead", daemon=True)

    def __enter__(self) -> ReadAhead:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped = True
        self._room.release()
        self._thread.join()

    def read(self, size: int, /) -> bytes:
        """The next piece, of any size; none at the end only."""
        if self._ended:
            return b""
        piece = self._pieces.get()
        self._room.release()
        if isinstance(piece, BaseException):
            self._ended = True
            raise piece
        self._ended = not piece
        return piece

    def _run(self) -> None:
        try:
            piece = b"first"
            while piece:
                self._room.acquire()
                if self._stopped:
                    return
                piece = self._stream.read(_PIECE)
                self._pieces.put(piece)
        except BaseException as error:
            self._pieces.put(error)
