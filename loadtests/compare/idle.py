"""Owns opening many connections and weighing the proxy: ``python -m loadtests.compare.idle``.

Each connection has one request answered and then stays open and silent. The proxy's memory is read
before the first and after the last; sockets' buffers in the kernel are not in it. Never closes a
connection before it has looked whether the proxy kept it.
"""

import argparse
import json
import resource
import select
import socket
import sys

from loadtests.compare.pace import request_of
from loadtests.compare.proc import pss_bytes
from loadtests.compare.wire import complete

PER_ADDRESS = 10_000
"""Connections from one source address: well below the 28,000 ports that are free for them."""
SPARE_FILES = 64
WARM = 200
"""Requests before the first look, so that what a proxy makes once is not counted."""
_BIND_ADDRESS_NO_PORT = 24  # linux/in.h: the port is chosen at connect, per destination


def opened(port: int, number: int) -> socket.socket:
    """Connection ``number``, after one answered request."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.settimeout(10.0)
        sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
        sock.bind((f"127.0.0.{2 + number // PER_ADDRESS}", 0))
        sock.connect(("127.0.0.1", port))
        ask(sock, number)
    except BaseException:
        sock.close()
        raise
    return sock


def ask(sock: socket.socket, user: int) -> None:
    """One request and its answer.

    Raises:
        ConnectionError: the answer is not a whole 200.
    """
    sock.sendall(request_of(user))
    answer = b""
    while not complete(answer):
        piece = sock.recv(65_536)
        if not piece:
            raise ConnectionError("closed within an answer")
        answer += piece
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise ConnectionError(answer.partition(b"\r\n")[0].decode(errors="replace"))


def still_open(socks: list[socket.socket]) -> int:
    """How many the other side has not closed."""
    poll = select.poll()
    for sock in socks:
        poll.register(sock, select.POLLIN)
    return len(socks) - len(poll.poll(0))


def weigh(port: int, pid: int, connections: int) -> dict[str, float]:
    """The proxy's memory per idle connection, and how many it kept."""
    with opened(port, 0) as first:
        for user in range(WARM):
            ask(first, user)
    socks: list[socket.socket] = []
    try:
        before = pss_bytes(pid)
        for number in range(connections):
            socks.append(opened(port, number))  # noqa: PERF401 - what is open must be closed
        after = pss_bytes(pid)
        kept = still_open(socks)
    finally:
        for sock in socks:
            sock.close()
    return {
        "bytes_each": (after - before) / connections,
        "pss_before_mb": before / 1e6,
        "pss_after_mb": after / 1e6,
        "connections": connections,
        "failed": connections - kept,
    }


def main() -> int:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description="Weighs a proxy's idle connections.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pid", type=int, required=True, help="the proxy's first process")
    parser.add_argument("--connections", type=int, default=10_000)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    connections = min(options.connections, most - SPARE_FILES)
    print(json.dumps(weigh(options.port, options.pid, connections)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
