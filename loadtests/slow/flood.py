"""Owns the flood of expensive requests: ``python -m loadtests.slow.flood``, a process of its own.

Each request has a connection of its own, which is read until the proxy ends it. At most ``AT_ONCE``
are open; where the machine cannot keep the rate, the rate that was reached is printed.
"""

import argparse
import asyncio
import contextlib
import json
from collections import Counter

import uvloop

from loadtests.slow.attacks import FLOODS

AT_ONCE = 500
PATIENCE_S = 5.0


class Flood:
    """Sends ``payload`` ``rate`` times a second for ``seconds``."""

    def __init__(self, port: int, payload: bytes, rate: float, seconds: float) -> None:
        self._port = port
        self._payload = payload
        self._rate = rate
        self._total = round(rate * seconds)
        self._room = asyncio.Semaphore(AT_ONCE)
        self.statuses: Counter[str] = Counter()

    async def run(self) -> float:
        """Send; returns the rate that was reached."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        async with asyncio.TaskGroup() as group:
            for number in range(self._total):
                await asyncio.sleep(start + number / self._rate - loop.time())
                await self._room.acquire()
                group.create_task(self._one())
        return self._total / (loop.time() - start)

    async def _one(self) -> None:
        status = "none"
        try:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    status = await self._ask()
        finally:
            self._room.release()
        self.statuses[status] += 1

    async def _ask(self) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(self._payload)
            return (await reader.read(64))[9:12].decode("latin-1") or "none"
        finally:
            writer.transport.abort()


async def flood(port: int, kind: str, rate: float, seconds: float) -> dict[str, object]:
    """One kind, for a while."""
    attack = Flood(port, FLOODS[kind](), rate, seconds)
    reached = await attack.run()
    return {"rate": reached, "statuses": dict(attack.statuses)}


def main() -> None:
    """Print what was reached as JSON."""
    parser = argparse.ArgumentParser(description="Sends requests that are expensive to read.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--kind", choices=FLOODS, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(flood(given.port, given.kind, given.rate, given.seconds))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
