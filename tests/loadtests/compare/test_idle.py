import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from loadtests.compare.backend import answer
from loadtests.compare.idle import WARM, opened, still_open, weigh


@contextmanager
def serving(serve: Callable[[socket.socket], None], times: int) -> Iterator[int]:
    """A server that handles so many connections, one after another; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        accepted: list[socket.socket] = []

        def run() -> None:
            for _ in range(times):
                accepted.append(listener.accept()[0])
                serve(accepted[-1])

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()
            for sock in accepted:
                sock.close()


def once(sock: socket.socket) -> None:
    sock.recv(65_536)
    sock.sendall(answer("v1", b"body"))


def test_connections_stay_open_and_are_weighed() -> None:
    first: list[socket.socket] = []

    def serve(sock: socket.socket) -> None:
        for _ in range(1 if first else WARM + 1):
            once(sock)
        first.append(sock)

    with serving(serve, 1 + 30) as port:
        found = weigh(port, os.getpid(), 30)
    assert (found["connections"], found["failed"]) == (30, 0)
    assert found["pss_before_mb"] > 1
    grown_mb = found["pss_after_mb"] - found["pss_before_mb"]
    assert found["bytes_each"] == pytest.approx(1e6 * grown_mb / 30)


def test_a_connection_that_the_proxy_closed_is_lost() -> None:
    kept: list[socket.socket] = []

    def serve(sock: socket.socket) -> None:
        once(sock)
        if kept:
            sock.shutdown(socket.SHUT_RDWR)
        kept.append(sock)

    with serving(serve, 2) as port:
        socks = [opened(port, number) for number in range(2)]
    # The server has ended both by now; the first only by closing it.
    with socks[0], socks[1]:
        assert still_open(socks) == 0


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "503 Busy"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "closed within an answer"),
    ],
)
def test_a_wrong_answer_is_told(reply: bytes, words: str) -> None:
    def serve(sock: socket.socket) -> None:
        sock.recv(65_536)
        sock.sendall(reply)
        sock.shutdown(socket.SHUT_RDWR)

    with serving(serve, 1) as port, pytest.raises(ConnectionError, match=words):
        opened(port, 0)
