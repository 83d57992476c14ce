"""Every attack of an endpoint, in any pieces: relayed as it is meant, refused, or visibly cut.

And the next client, asking over the same pool, gets its own clean answer and no byte of the first.
"""

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from tests.attacks.pieces import bytewise, halves
from tests.attacks.responses_by_wire import CLEAN, Relayed, WireEndpoint, judge_response
from tests.attacks.vector import ResponseVector, batches
from tests.attacks.vectors_responses import VECTORS
from tests.support.raw_backend import RawBackend, Visit
from tests.support.raw_client import RawClient, get
from tests.support.running import LONG_S, Running, config_for, eventually, run

NOWHERE = config_for("http://127.0.0.1:1")
GROUPS = batches(VECTORS)

each_group = pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)


def _judge(vector: ResponseVector, relayed: Relayed) -> str | None:
    complaint = judge_response(
        vector.method,
        vector.raw,
        relayed,
        closes=vector.closes,
        relay=vector.relay,
        reusable=vector.reusable,
    )
    if complaint is None and any(mark in relayed.first + relayed.second for mark in vector.never):
        return "bytes that nobody may get arrived"
    return complaint


@pytest.mark.no_cover  # as in test_requests
@each_group
def test_in_any_pieces(group: list[ResponseVector]) -> None:
    """Whole, byte by byte, and in two pieces at every offset."""

    async def test() -> list[tuple[str, object, str]]:
        found: list[tuple[str, object, str]] = []
        async with Running(NOWHERE) as running:
            for vector in group:
                ways: list[tuple[object, list[bytes]]] = [
                    ("whole", [vector.raw] if vector.raw else []),
                    ("bytes", bytewise(vector.raw)),
                    *halves(vector.raw),
                ]
                for at, pieces in ways:
                    relayed = WireEndpoint(running.plane).fire(
                        vector.method, pieces, closes=vector.closes, resets=vector.resets
                    )
                    complaint = _judge(vector, relayed)
                    if complaint is not None:
                        found.append((vector.name, at, complaint))
        return found

    assert run(test, LONG_S) == []


@each_group
def test_whole_over_sockets(group: list[ResponseVector]) -> None:
    assert _by_socket(group, lambda raw: [raw]) == []


@pytest.mark.no_cover  # as in test_requests
@each_group
def test_byte_by_byte_over_sockets(group: list[ResponseVector]) -> None:
    assert _by_socket(group, bytewise) == []


def _by_socket(
    group: list[ResponseVector], cut: Callable[[bytes], list[bytes]]
) -> list[tuple[str, str]]:
    async def test() -> list[tuple[str, str]]:
        found = []
        endpoint = _Endpoint()
        async with (
            RawBackend(endpoint.visit) as backend,
            Running(config_for(backend.endpoint)) as running,
        ):
            for vector in group:
                relayed = await endpoint.fire(running, vector, cut(vector.raw))
                complaint = _judge(vector, relayed)
                if complaint is not None:
                    found.append((vector.name, complaint))
        return found

    return run(test, LONG_S)


class _Endpoint:
    """Answers the first request of each vector with its bytes, every other one cleanly."""

    def __init__(self) -> None:
        self._vector: ResponseVector | None = None
        self._pieces: list[bytes] = []
        self._sent = asyncio.Event()

    async def visit(self, visit: Visit) -> None:
        while True:
            await visit.head()
            vector, self._vector = self._vector, None
            if vector is None:
                await visit.send(CLEAN)
                continue
            try:
                for piece in self._pieces:
                    await visit.send(piece)
                    if len(self._pieces) > 1:
                        await asyncio.sleep(0)  # a turn of the loop, in which the proxy reads it
            finally:
                self._sent.set()
            if vector.resets:
                visit.reset()
            if vector.closes or vector.resets:
                return

    async def fire(self, running: Running, vector: ResponseVector, pieces: list[bytes]) -> Relayed:
        self._vector, self._pieces = vector, pieces
        self._sent.clear()
        relayed = Relayed()
        (pool,) = running.plane._pools.values()
        async with RawClient(running.where) as client:
            await client.send(get(method=vector.method))
            await self._sent.wait()
            # Until the exchange is over the endpoint's connection has one; then it rests or goes.
            await eventually(lambda: all(one.exchange is None for one in pool.open))
            if not vector.reusable:
                await eventually(lambda: not pool.open)
            relayed.dropped = not pool.open
            with contextlib.suppress(RuntimeError):  # the proxy closed it before
                client.finish()
            relayed.closed = True
            try:
                while True:
                    relayed.first += await client.more()
            except EOFError:
                pass
            except ConnectionError:
                relayed.aborted = True
        async with RawClient(running.where) as other:
            await other.send(get(method="GET"))
            relayed.second = await other.head() + await other.exactly(5)
        for connection in list(pool.open):  # each vector gets a connection of its own
            pool.forget(connection)
            connection.discard()
        await eventually(lambda: not running.plane.connections)
        return relayed
