"""Owns the good client: requests at a steady rate, and how long the answers take.

Run as ``python -m loadtests.slow.good``, a process of its own. Requests are due by the clock, and
an answer's time counts from when its request was due (no coordinated omission). Most go over kept
connections; each ``FRESH_EACH``-th opens its own, as whoever is shut out meets that first.
"""

import argparse
import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from time import perf_counter

import uvloop

FRESH_EACH = 10
PATIENCE_S = 10.0
"""An answer that takes longer is a failure."""
REQUEST = b"GET /api/items?user=good HTTP/1.1\r\nHost: good\r\nX-User-Id: good\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Figures:
    """What the good client saw."""

    requests: int
    failures: int
    p50_ms: float
    p99_ms: float
    worst_ms: float


def figures(times_s: Sequence[float], failures: int) -> Figures:
    """Quantiles of the answers that came; nan without any."""
    ordered = sorted(times_s)

    def quantile_ms(part: float) -> float:
        if not ordered:
            return math.nan
        return 1_000 * ordered[max(0, math.ceil(part * len(ordered)) - 1)]

    return Figures(
        requests=len(ordered) + failures,
        failures=failures,
        p50_ms=quantile_ms(0.5),
        p99_ms=quantile_ms(0.99),
        worst_ms=quantile_ms(1.0),
    )


class Line:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> "Line":
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self) -> bool:
        """One request; whether it was answered 200, wholly."""
        self._writer.write(REQUEST)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = content_length(head)
        await self._reader.readexactly(length)
        return head.startswith(b"HTTP/1.1 200 ")

    def close(self) -> None:
        """At once."""
        self._writer.transport.abort()


def content_length(head: bytes) -> int:
    """Of a response's head; 0 without one."""
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    return 0


class Good:
    """Asks ``rate`` times a second for ``seconds``."""

    def __init__(self, port: int, rate: float, seconds: float) -> None:
        self._port = port
        self._rate = rate
        self._total = round(rate * seconds)
        self._free: list[Line] = []
        self._times_s: list[float] = []
        self._failures = 0

    async def run(self) -> Figures:
        """Ask; returns when every answer is there or given up."""
        start = perf_counter()  # uvloop's own clock has steps of a millisecond
        async with asyncio.TaskGroup() as group:
            for number in range(self._total):
                due = start + number / self._rate
                await asyncio.sleep(due - perf_counter())
                group.create_task(self._one(due, fresh=number % FRESH_EACH == 0))
        for line in self._free:
            line.close()
        return figures(self._times_s, self._failures)

    async def _one(self, due: float, *, fresh: bool) -> None:
        line = self._free.pop() if self._free and not fresh else None
        try:
            async with asyncio.timeout(PATIENCE_S):
                if line is None:
                    line = await Line.open(self._port)
                served = await line.ask()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            served = False
        if served and line is not None:
            self._times_s.append(perf_counter() - due)
        else:
            self._failures += 1
        if line is not None and (fresh or not served):
            line.close()
        elif line is not None:
            self._free.append(line)


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description="Asks at a steady rate and times the answers.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(Good(given.port, given.rate, given.seconds).run())
    print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
