"""How a tunnel ends: half-closes passed on, resets, the idle limit, draining, a new revision."""

import asyncio
import hashlib

import pytest

from proxy.model.config import Timeouts
from tests.support.raw_backend import RawBackend, Visit
from tests.support.raw_client import RawClient
from tests.support.running import Running, config_for, eventually, run
from tests.support.tunnels import (
    SWITCHED,
    all_over,
    digest,
    ended,
    enter,
    some,
    switching,
    upgrade,
)

BIG = bytes(8_000_000)
SUM = hashlib.sha256(BIG).digest()


async def silent(visit: Visit) -> None:
    """Reads until the end."""
    await visit.end()


@pytest.mark.parametrize("behind", [b"", BIG])
def test_the_clients_half_close_is_passed_on(behind: bytes) -> None:
    async def script(visit: Visit) -> None:
        if behind:
            assert await digest(visit, len(behind)) == SUM
        assert await ended(visit) == "closed"
        for _ in range(3):
            await visit.send(b"still ")
        await visit.send(BIG)

    async def test() -> None:
        async with (
            RawBackend(switching(script)) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            await enter(client)
            client.write(behind)
            client.finish()
            assert await client.exactly(18) == b"still still still "
            assert await digest(client, len(BIG)) == SUM
            assert await ended(client) == "closed"
            await all_over(running)

    run(test)


@pytest.mark.parametrize("behind", [b"", BIG])
def test_the_endpoints_half_close_is_passed_on(behind: bytes) -> None:
    told = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.send(behind)
        visit.finish()
        assert await visit.exactly(11) == b"still there"
        assert await digest(visit, len(BIG)) == SUM
        assert await ended(visit) == "closed"
        told.set()

    async def test() -> None:
        async with (
            RawBackend(switching(script)) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            await enter(client)
            if behind:
                assert await digest(client, len(behind)) == SUM
            assert await ended(client) == "closed"
            await client.send(b"still ")
            await client.send(b"there")
            await client.send(BIG)
            client.finish()
            await told.wait()
            await all_over(running)

    run(test)


def test_an_end_right_behind_the_101() -> None:
    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(SWITCHED + b"bye")

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            await enter(client)
            assert await client.exactly(3) == b"bye"
            assert await ended(client) == "closed"
            client.finish()
            await all_over(running)

    run(test)


@pytest.mark.parametrize("early", [b"", b"early"])
def test_a_client_that_ends_before_the_101(early: bytes) -> None:
    async def script(visit: Visit) -> None:
        await visit.head()
        await asyncio.sleep(0.1)  # the client's end is there by now
        await visit.send(SWITCHED)
        assert await visit.exactly(len(early)) == early
        assert await ended(visit) == "closed"
        await visit.send(b"heard")

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            client.write(upgrade() + early)
            client.finish()
            assert b" 101 " in await client.head()
            assert await client.exactly(5) == b"heard"
            assert await ended(client) == "closed"

    run(test)


@pytest.mark.parametrize("stalled", [False, True])
def test_a_clients_reset_ends_the_endpoints_side(stalled: bool) -> None:
    over = asyncio.Event()

    async def script(visit: Visit) -> None:
        flood = asyncio.ensure_future(visit.send(bytes(64_000_000) if stalled else b"hi"))
        await ended(visit)
        await asyncio.gather(flood, return_exceptions=True)
        over.set()

    async def test() -> None:
        async with (
            RawBackend(switching(script)) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where, receive_bytes=4_096) as client,
        ):
            await enter(client)
            assert await some(client)
            client.reset()
            await over.wait()
            await all_over(running)

    run(test)


@pytest.mark.parametrize("stalled", [False, True])
def test_an_endpoints_reset_ends_the_clients_side(stalled: bool) -> None:
    async def script(visit: Visit) -> None:
        await visit.exactly(2)
        visit.reset()

    async def test() -> None:
        async with (
            RawBackend(switching(script), receive_bytes=4_096) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            await enter(client)
            client.write(b"hi" + bytes(64_000_000) * stalled)
            await ended(client)
            await all_over(running)
            await eventually(lambda: not running.plane.connections)

    run(test)


@pytest.mark.parametrize("who", ["client", "endpoint"])
def test_a_reset_behind_a_half_close(who: str) -> None:
    over = asyncio.Event()

    async def script(visit: Visit) -> None:
        if who == "client":
            visit.finish()
            await ended(visit)
        else:
            assert await ended(visit) == "closed"
            visit.reset()
        over.set()

    async def test() -> None:
        async with (
            RawBackend(switching(script)) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            await enter(client)
            if who == "client":
                assert await ended(client) == "closed"
                client.reset()
            else:
                client.finish()
                await ended(client)
            await over.wait()
            await all_over(running)

    run(test)


@pytest.mark.parametrize("half", ["neither", "client", "endpoint"])
def test_the_idle_limit_ends_both_sides(half: str) -> None:
    gone = asyncio.Event()

    async def script(visit: Visit) -> None:
        if half == "endpoint":
            visit.finish()
        await ended(visit)
        await gone.wait()  # after a half-close it says nothing, and never ends by itself

    async def test() -> None:
        short = Timeouts(stream_idle_s=0.3)
        async with (
            RawBackend(switching(script)) as backend,
            Running(config_for(backend.endpoint, timeouts=short)) as running,
            RawClient(running.where) as client,
        ):
            await enter(client)
            if half == "client":
                client.finish()
            await ended(client)
            await eventually(lambda: not running.plane.connections)
            await all_over(running)
            gone.set()

    run(test)


@pytest.mark.parametrize("slow", ["client", "endpoint"])
def test_the_idle_limit_holds_for_a_side_that_reads_nothing(slow: str) -> None:
    gone = asyncio.Event()

    async def script(visit: Visit) -> None:
        if slow == "client":
            await visit.send(bytes(64_000_000))
        await gone.wait()

    async def test() -> None:
        short = Timeouts(stream_idle_s=0.3)
        async with (
            RawBackend(switching(script), receive_bytes=4_096) as backend,
            Running(config_for(backend.endpoint, timeouts=short)) as running,
            RawClient(running.where, receive_bytes=4_096) as client,
        ):
            await enter(client)
            if slow == "endpoint":
                client.write(bytes(64_000_000))
            await eventually(lambda: not running.plane.connections)
            await all_over(running)
            gone.set()

    run(test)


@pytest.mark.parametrize("who", ["client", "endpoint"])
def test_bytes_in_one_direction_are_enough(who: str) -> None:
    async def script(visit: Visit) -> None:
        for _ in range(6 if who == "endpoint" else 0):
            await asyncio.sleep(0.2)  # idle time itself is what is tested
            await visit.send(b"tick")
        if who == "client":
            assert await visit.exactly(24) == b"tick" * 6
            await visit.send(b"tick" * 6)
        await ended(visit)

    async def test() -> None:
        short = Timeouts(stream_idle_s=0.8)
        async with (
            RawBackend(switching(script)) as backend,
            Running(config_for(backend.endpoint, timeouts=short)) as running,
            RawClient(running.where) as client,
        ):
            await enter(client)
            for _ in range(6 if who == "client" else 0):
                await asyncio.sleep(0.2)
                await client.send(b"tick")
            assert await client.exactly(24) == b"tick" * 6

    run(test)
