"""Owns requests at a fixed rate and timing the answers: ``python -m loadtests.compare.pace``.

The loop is open: requests are due by the clock, whatever the answers do, and each answer's time
counts from when its request was due. A slow answer so delays no other request's clock, and a stall
shows in every request that was due meanwhile (no coordinated omission; Tene, "How NOT to Measure
Latency"). Not asyncio: the timers of epoll and libuv have steps of a millisecond, as long as
what is measured; select(2) and a timer slack of 1 ns come to tens of microseconds.
"""

import argparse
import gc
import json
import math
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from loadtests.compare.scenarios import BROWSER, HOST, USER
from loadtests.compare.wire import complete

CONNECTIONS = 64
"""Requests in flight at most; more of them wait, and their clocks run."""
USERS = 500
WARM_S = 0.5
LAST_S = 5.0
"""How long the last answers are waited for."""


@dataclass(slots=True, eq=False)
class Line:
    """One kept-alive connection."""

    sock: socket.socket
    due: float = 0.0
    """When the request in hand was due."""
    answer: bytearray = field(default_factory=bytearray)

    def fileno(self) -> int:
        """For select."""
        return self.sock.fileno()


class Pacer:
    """Sends ``rate`` requests a second to a port of loopback for ``seconds``."""

    def __init__(self, port: int, rate: float, seconds: float) -> None:
        self._address = ("127.0.0.1", port)
        self._step_s = 1 / rate
        self._total = int((WARM_S + seconds) * rate)
        self._recorded_from = WARM_S
        self._requests = [request_of(user) for user in range(USERS)]
        self._sent = 0
        self._free: list[Line] = []
        self._busy: dict[Line, None] = {}
        self._waiting: deque[float] = deque()
        self.times_s: list[float] = []
        """From when each request was due to the end of its answer."""
        self.late_s: list[float] = []
        """From when each request was due to when it was sent."""
        self.failed = 0

    def run(self) -> None:
        """Send, until every answer is there or ``LAST_S`` have passed without one."""
        with ExitStack() as stack:
            for _ in range(CONNECTIONS):
                sock = stack.enter_context(socket.create_connection(self._address, 10))
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setblocking(False)
                self._free.append(Line(sock))
            self._run(time.perf_counter())

    def _run(self, start: float) -> None:
        due = 0
        while due < self._total or self._busy:
            now = time.perf_counter()
            while due < self._total and start + due * self._step_s <= now:
                self._waiting.append(start + due * self._step_s)
                due += 1
            while self._waiting and self._free:
                self._send(self._free.pop(), self._waiting.popleft(), start)
            left = start + due * self._step_s - time.perf_counter()
            pause_s = max(0.0, left) if due < self._total else LAST_S
            ready, _, _ = select.select(list(self._busy), [], [], pause_s)
            if not ready and due >= self._total:
                break
            for line in ready:
                self._receive(line, start)
            if not self._free and not self._busy:
                break  # every connection is lost
        self.failed += len(self._busy) + len(self._waiting) + self._total - due

    def _send(self, line: Line, due: float, start: float) -> None:
        request = self._requests[self._sent % USERS]
        self._sent += 1
        line.due = due
        try:
            sent = line.sock.send(request)
        except OSError:
            sent = 0
        if sent != len(request):
            self.failed += 1
            return  # the connection is given up
        self._busy[line] = None
        if due - start >= self._recorded_from:
            self.late_s.append(time.perf_counter() - due)

    def _receive(self, line: Line, start: float) -> None:
        piece = b""
        with suppress(OSError):
            piece = line.sock.recv(65_536)
        line.answer += piece
        if piece and not complete(line.answer):
            return
        now = time.perf_counter()
        del self._busy[line]
        if not piece or not line.answer.startswith(b"HTTP/1.1 200 "):
            self.failed += 1
            return  # the connection is given up
        line.answer.clear()
        self._free.append(line)
        if line.due - start >= self._recorded_from:
            self.times_s.append(now - line.due)


def request_of(user: int) -> bytes:
    """A small GET as a browser's script sends it."""
    fields = [("Host", HOST), (USER, f"user-{user}"), *BROWSER]
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"GET /api/items HTTP/1.1\r\n{lines}\r\n".encode()


def quantile(values: Sequence[float], part: float) -> float:
    """The smallest value that at least ``part`` of all (0–1) do not exceed; NaN of none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def main() -> int:
    """Print the quantiles as JSON."""
    parser = argparse.ArgumentParser(description="Times answers at a fixed rate of requests.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    with suppress(OSError):  # a kernel without it: 50 us more of a sender's lateness
        Path("/proc/self/timerslack_ns").write_text("1")
    gc.disable()
    pacer = Pacer(options.port, options.rate, options.seconds)
    pacer.run()
    found = {f"p{part}_ms": 1e3 * quantile(pacer.times_s, part / 100) for part in (50, 90, 99)}
    late = {"late_p99_ms": 1e3 * quantile(pacer.late_s, 0.99)}
    print(json.dumps({**found, **late, "failed": pacer.failed, "requests": len(pacer.times_s)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
