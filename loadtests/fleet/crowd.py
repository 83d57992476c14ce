"""Owns one process of simulated proxies: ``python -m loadtests.fleet.crowd``.

Its orders are lines of JSON on standard input, each answered by one on standard output: what was
seen until then (``Seen``). It ends when its input does. The token is ``SPLITWAY_TOKEN``, which
other processes cannot read.
"""

import argparse
import asyncio
import os
import random
import sys
from itertools import cycle

import msgspec
import uvloop

from loadtests.fleet.member import Member, Tally, Target
from proxy.model.spread import WIDTH
from proxy.model.spread import Tally as SpreadTally
from proxy.model.users import BITS, Sketch, users_in
from proxy.model.wire import ReportRow, Sample, Spread

_VARIANTS = 64
"""Of what proxies report: thousands of different ones would be this process's memory."""
_EDGES = (102, 108, 112, 124)


class Order(msgspec.Struct, frozen=True):
    """What is wanted to be told."""

    revision: int = 0
    """When each proxy was told of this one, too."""
    opened: bool = False
    """When each stream was opened, too; later orders tell only those that came after."""


class Seen(msgspec.Struct, frozen=True):
    """What one process saw."""

    connected: int
    tries: int
    failures: dict[str, int]
    told_s: list[float]
    opened_s: list[float]
    reports: int = 0
    counted: int = 0


async def crowd(target: Target, name: str, proxies: int) -> None:
    """Runs the proxies until standard input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tally = Tally()
    async with asyncio.TaskGroup() as group:
        members = [
            group.create_task(Member(f"{name}-{number}", target, tally).run())
            for number in range(proxies)
        ]
        while line := await reader.readline():
            _answer(msgspec.json.decode(line, type=Order), tally)
        for member in members:
            member.cancel()


def _answer(order: Order, tally: Tally) -> None:
    opened: list[float] = []
    if order.opened:
        opened, tally.opened_s = tally.opened_s, []
    seen = Seen(
        connected=tally.connected,
        tries=tally.tries,
        failures=dict(tally.failures),
        told_s=tally.told_s.pop(order.revision, []),
        opened_s=opened,
        reports=tally.reports,
        counted=tally.counted,
    )
    sys.stdout.write(msgspec.json.encode(seen).decode() + "\n")
    sys.stdout.flush()


def rows_of(services: int, users: int, draw: random.Random) -> bytes:
    """The rows of a report: two versions each, with latencies around ten milliseconds, and a
    hundredth of the users with errors. Where there are users, they are split: then it is told how
    requests are spread over them, and what each version's only endpoint did."""
    shape = [1, 3, 8, 20, 40, 60, 70, 60, 40, 20, 12, 8, 5, 4, 3, 2, 2, 1, 1, 1]
    buckets = {90 + 2 * place: number for place, number in enumerate(shape)}
    total = sum(shape)
    rows = []
    for number in range(services):
        for version in ("stable", "canary"):
            row = ReportRow(f"shop{number}", version, "", total, total // 100, buckets)
            if users:
                seen, erring = _seen(users, draw), _seen(users // 100, draw)
                spread = _spread(buckets, users_in(seen))
                rows.append(msgspec.structs.replace(row, users=seen, erring=erring, spread=spread))
                endpoint, whole = f"http://{version}.shop{number}:8080", _spread(buckets, [])
                rows.append(msgspec.structs.replace(row, endpoint=endpoint, spread=whole))
            else:
                rows.append(row)
    return msgspec.json.encode(rows)


def _spread(latency: dict[int, int], users: list[int]) -> Spread:
    """Of requests that took so long, over these users in turn; of nobody's in one bucket."""
    tally = SpreadTally(_EDGES, WIDTH if users else 1)
    whose = cycle(users or [0])
    for bucket, number in latency.items():
        for _ in range(number):
            tally.add(next(whose), bucket, charged=False)
    return tally.spread()


def _seen(users: int, draw: random.Random) -> Sample:
    sketch = Sketch()
    for _ in range(users):
        sketch.add(draw.getrandbits(BITS))
    return sketch.sample()


def main() -> int:
    """Runs one crowd."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--proxies", type=int, required=True)
    parser.add_argument("--name", required=True, help="what its proxies' names begin with")
    parser.add_argument("--services", type=int, default=1, help="that each proxy reports of")
    parser.add_argument("--users", type=int, default=0, help="of each version in a report")
    options = parser.parse_args()
    draw = random.Random(options.name)
    rows = tuple(rows_of(options.services, options.users, draw) for _ in range(_VARIANTS))
    target = Target(options.host, options.port, os.environ["SPLITWAY_TOKEN"], rows)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(crowd(target, options.name, options.proxies))
    return 0


if __name__ == "__main__":
    sys.exit(main())
