"""The tunnel behind a 101: bytes both ways, back-pressure, limits, what is counted.

How it is opened is in ``test_upgrade``; how it ends in ``test_tunnel_ends``.
"""

import asyncio
import hashlib

import pytest

from proxy.model.config import Downstream, Keepalive, Timeouts
from tests.support.raw_backend import OK, RawBackend, Visit, replying
from tests.support.raw_client import RawClient, get
from tests.support.running import Running, config_for, eventually, run
from tests.support.tunnels import (
    SWITCHED,
    all_over,
    digest,
    echoes,
    echoing,
    ended,
    enter,
    some,
    switching,
    upgrade,
)

BIG = b"".join(number.to_bytes(4, "big") for number in range(2_000_000))
SUM = hashlib.sha256(BIG).digest()
MORE_THAN_SOCKETS_HOLD = 64_000_000


def test_megabytes_both_ways_at_once() -> None:
    async def both(visit: Visit) -> None:
        sending = asyncio.ensure_future(visit.send(BIG))
        assert await digest(visit, len(BIG)) == SUM
        await sending

    async def test() -> None:
        async with (
            RawBackend(switching(both)) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            await enter(client)
            sending = asyncio.ensure_future(client.send(BIG))
            assert await digest(client, len(BIG)) == SUM
            await sending
            assert await ended(client) == "closed"
            client.finish()
            counts = await all_over(running)
            assert (counts.request_bytes, counts.response_bytes) == (len(BIG), len(BIG))

    run(test)


def test_bytes_are_passed_as_they_are() -> None:
    """Nothing of HTTP is seen in them."""
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + OK + b"\0\xff\r\n\r\n" + SWITCHED

    async def test() -> None:
        async with (
            RawBackend(switching(echoing)) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            await enter(client)
            for data in (wire, get("/x"), b"GET", b"\r\n" * 40, b"x" * 70_000, b"\0"):
                assert await echoes(client, data)
            for byte in wire:
                assert await echoes(client, bytes((byte,)))
            assert len(backend.visits) == 1

    run(test)


def test_the_first_bytes_may_come_with_the_101() -> None:
    async def welcome(visit: Visit) -> None:
        await visit.head()
        await visit.send(SWITCHED + BIG)
        assert await some(visit) == b"thanks"

    async def test() -> None:
        async with (
            RawBackend(welcome) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            await enter(client)
            assert await digest(client, len(BIG)) == SUM
            await client.send(b"thanks")
            assert await ended(client) == "closed"

    run(test)


def test_a_slow_endpoint_pauses_the_client_and_nobody_else() -> None:
    gate = asyncio.Event()
    data = bytes(MORE_THAN_SOCKETS_HOLD)

    async def slow(visit: Visit) -> None:
        for _ in range(10):
            await visit.send(b"ping")
        await gate.wait()
        await visit.skip(len(data))
        await visit.send(b"done")

    async def test() -> None:
        async with (
            RawBackend(switching(slow), receive_bytes=4_096) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
            RawClient(running.where) as other,
        ):
            await enter(client)
            sending = asyncio.ensure_future(client.send(data))
            done, _ = await asyncio.wait((sending,), timeout=0.5)
            assert not done
            assert await client.exactly(40) == b"ping" * 10
            await enter(other)
            gate.set()
            assert await client.exactly(4) == b"done"
            await sending

    run(test)


def test_a_slow_client_pauses_the_endpoint() -> None:
    data = bytes(MORE_THAN_SOCKETS_HOLD)
    heard = asyncio.Event()
    sent = asyncio.Event()

    async def flood(visit: Visit) -> None:
        sending = asyncio.ensure_future(visit.send(data))
        assert await some(visit) == b"ping"
        heard.set()
        await sending
        sent.set()
        assert await some(visit) == b"done"

    async def test() -> None:
        async with (
            RawBackend(switching(flood)) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where, receive_bytes=4_096) as client,
        ):
            await enter(client)
            waiting = asyncio.ensure_future(sent.wait())
            done, _ = await asyncio.wait((waiting,), timeout=0.5)
            assert not done
            await client.send(b"ping")  # the other direction flows
            await heard.wait()
            await client.skip(len(data))
            await waiting
            await client.send(b"done")
            assert await ended(client) == "closed"

    run(test)


def test_timeouts_of_requests_do_not_end_a_quiet_tunnel() -> None:
    async def test() -> None:
        async with RawBackend(switching(echoing)) as backend:
            config = config_for(
                backend.endpoint,
                timeouts=Timeouts(response_s=0.1, idle_s=0.1, request_s=0.1),
                downstream=Downstream(head_s=0.1, body_s=0.1, write_s=0.1, linger_s=0.1),
                keepalive=Keepalive(downstream_s=0.1, upstream_s=0.1),
            )
            async with Running(config) as running, RawClient(running.where) as client:
                await enter(client)
                for _ in range(2):
                    # Longer than each of them and the sweep of idle connections; nothing signals
                    # that a timeout did not fire.
                    await asyncio.sleep(0.7)
                    assert await echoes(client, b"still here")

    run(test)


def test_a_tunnel_is_on_nobodys_connection() -> None:
    """While it is open, and when it is over, the endpoint's connection serves no other request."""

    async def script(visit: Visit) -> None:
        if visit.number == 0:
            await switching(echoing)(visit)
        else:
            await replying(OK)(visit)

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
            RawClient(running.where) as other,
        ):
            await enter(client)
            assert (await other.ask(get())).body == b"ok"
            assert await echoes(client, b"hi")
            client.finish()
            assert await ended(client) == "closed"
            assert (await other.ask(get())).body == b"ok"
            assert len(backend.visits) == 2
            assert b"hi" not in backend.visits[1].received

    run(test)


def test_what_is_counted() -> None:
    async def test() -> None:
        async with (
            RawBackend(switching(echoing)) as backend,
            Running(config_for(backend.endpoint)) as running,
        ):
            for number in range(3):
                async with RawClient(running.where) as client:
                    await enter(client, upgrade() + b"early")
                    assert await client.exactly(5) == b"early"
                    counts = running.counts()
                    assert (counts.tunnels, counts.in_flight) == (1, 0)
                    assert counts.requests == {"GET 101": number + 1}
                    assert await echoes(client, b"x" * 95)
                    client.finish()
                    assert await ended(client) == "closed"
                counts = await all_over(running, number + 1)
            await eventually(lambda: not running.plane.connections)
            assert (counts.request_bytes, counts.response_bytes) == (300, 300)
            assert counts.attempts == {"success": 3}
            assert sum(counts.latency.values()) == 3

    run(test)


@pytest.mark.parametrize("tunnels", [50])
def test_many_at_once_do_not_mix(tunnels: int) -> None:
    async def one(running: Running, number: int) -> None:
        async with RawClient(running.where) as client:
            await enter(client, upgrade(f"/{number}"))
            for turn in range(10):
                assert await echoes(client, b"%d:%d;" % (number, turn) * (turn + 1))

    async def test() -> None:
        async with (
            RawBackend(switching(echoing)) as backend,
            Running(config_for(backend.endpoint)) as running,
        ):
            await asyncio.gather(*(one(running, number) for number in range(tunnels)))
            await all_over(running, tunnels)
            assert len(backend.visits) == tunnels

    run(test)
