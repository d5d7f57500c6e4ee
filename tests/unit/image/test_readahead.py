"""Reading ahead: the same bytes, the same errors, and no thread that is left behind."""

from __future__ import annotations

import io
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.image.readahead import ReadAhead


class _Pieces:
    """Gives these pieces, then raises `error` or is at its end for good."""

    def __init__(self, *pieces: bytes, error: Exception | None = None) -> None:
        self._pieces = list(pieces)
        self._error = error

    def read(self, size: int, /) -> bytes:
        if self._pieces:
            return self._pieces.pop(0)
        if self._error is not None:
            raise self._error
        return b""


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=30))
def test_it_gives_what_the_stream_gives(pieces: list[bytes]) -> None:
    with ReadAhead(_Pieces(*pieces)) as ahead:
        assert list(iter(lambda: ahead.read(1), b"")) == pieces
        assert ahead.read(1) == b""


def test_a_stream_that_is_longer_than_what_may_wait() -> None:
    data = bytes(range(256)) * (50 << 12)
    with ReadAhead(io.BytesIO(data)) as ahead:
        assert b"".join(iter(lambda: ahead.read(1), b"")) == data


def test_an_error_comes_where_its_piece_would_have_come() -> None:
    with ReadAhead(_Pieces(b"first", error=ValueError("damaged"))) as ahead:
        assert ahead.read(1) == b"first"
        with pytest.raises(ValueError, match="damaged"):
            ahead.read(1)
        assert ahead.read(1) == b""


@pytest.mark.parametrize("taken", [0, 1, 7])
def test_who_leaves_early_leaves_no_thread(taken: int) -> None:
    before = threading.active_count()
    with ReadAhead(_Pieces(*[b"piece"] * 100)) as ahead:
        for _ in range(taken):
            ahead.read(1)
    assert threading.active_count() <= before  # some of an earlier test may have ended
