"""Forwarded connections: all bytes in both directions, either end may fall silent first, and nothing is left."""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from lamina.runtime.forward import forwarding


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """Where steps connect, and where the machine's server listens, behind a path that no socket address holds."""
    far = tmp_path / ("x" * 120)
    far.mkdir()
    return tmp_path / "inner", far / "server"


@contextmanager
def serving(place: Path, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    """A server that gives each connection to `answer` in a thread of its own."""
    folder = os.open(place.parent, os.O_PATH)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"/proc/self/fd/{folder}/{place.name}")
    os.close(folder)
    listener.listen()
    threads: list[threading.Thread] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=_answered, args=(answer, connection)))
            threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in (acceptor, *threads):
            thread.join(10)
            assert not thread.is_alive()


def _answered(answer: Callable[[socket.socket], None], connection: socket.socket) -> None:
    with connection, suppress(BrokenPipeError):
        answer(connection)


@contextmanager
def forwarded(inner: Path, server: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as listener:
        listener.bind(str(inner))
        listener.listen()
        with forwarding([(listener, server)]):
            yield


def connected(place: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect(str(place))
    return client


def read_all(end: socket.socket) -> bytes:
    parts = []
    while data := end.recv(1 << 16):
        parts.append(data)
    return b"".join(parts)


def say(end: socket.socket, text: bytes) -> None:
    end.sendall(text)
    end.shutdown(socket.SHUT_WR)


def echo_at_the_end(end: socket.socket) -> None:
    end.sendall(read_all(end))


def test_much_is_passed_on_and_a_half_closed_connection_still_answers(places: tuple[Path, Path]) -> None:
    text = os.urandom(3_000_000)
    with serving(places[1], echo_at_the_end), forwarded(*places), connected(places[0]) as client:
        client.sendall(text)
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == text


def test_a_server_may_fall_silent_first(places: tuple[Path, Path]) -> None:
    heard: queue.Queue[bytes] = queue.Queue()

    def answer(end: socket.socket) -> None:
        end.sendall(b"greetings")
        end.shutdown(socket.SHUT_WR)
        heard.put(read_all(end))

    with serving(places[1], answer), forwarded(*places), connected(places[0]) as client:
        assert read_all(client) == b"greetings"
        client.sendall(b"still here")
        client.close()
        assert heard.get(timeout=10) == b"still here"


def test_both_talk_before_either_listens(places: tuple[Path, Path]) -> None:
    text = os.urandom(1_000_000)
    heard: queue.Queue[bytes] = queue.Queue()

    def answer(end: socket.socket) -> None:
        say(end, text)
        heard.put(read_all(end))

    with serving(places[1], answer), forwarded(*places), connected(places[0]) as client:
        sender = threading.Thread(target=say, args=(client, text))
        sender.start()
        assert read_all(client) == text
        sender.join(10)
        assert heard.get(timeout=10) == text


def test_many_connections_at_once(places: tuple[Path, Path]) -> None:
    with serving(places[1], echo_at_the_end), forwarded(*places):
        clients = [connected(places[0]) for _ in range(40)]
        for number, client in enumerate(clients):
            client.sendall(str(number).encode())
            client.shutdown(socket.SHUT_WR)
        for number, client in reversed(list(enumerate(clients))):
            assert read_all(client) == str(number).encode()
            client.close()


def test_nobody_behind_it_ends_the_connection_and_not_the_others(places: tuple[Path, Path]) -> None:
    with forwarded(*places):
        with connected(places[0]) as client:
            assert client.recv(1) == b""
        with serving(places[1], echo_at_the_end), connected(places[0]) as client:
            client.sendall(b"x")
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == b"x"


def test_the_end_ends_all_and_leaves_nothing(places: tuple[Path, Path]) -> None:
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    with serving(places[1], echo_at_the_end):
        with forwarded(*places):
            open_still = connected(places[0])
            open_still.sendall(b"x")
            rude = connected(places[0])
            rude.sendall(b"y" * 100_000)
            rude.close()
        with suppress(ConnectionResetError):
            assert read_all(open_still) in (b"", b"x")
        open_still.close()
    for _ in range(500):  # the server's own threads take a moment to see that nobody is left
        if threading.active_count() <= threads:
            break
        time.sleep(0.01)
    assert threading.active_count() <= threads
    assert len(os.listdir("/proc/self/fd")) <= descriptors
