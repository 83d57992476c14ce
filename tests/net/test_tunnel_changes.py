"""What happens around an open tunnel: draining, a new revision, the end of the plane."""

import asyncio

import pytest

from proxy.model.config import Drain
from proxy.net import plane as plane_module
from tests.support.raw_backend import RawBackend, Visit, replying, said
from tests.support.raw_client import RawClient, get
from tests.support.running import Running, config_for, eventually, run
from tests.support.tunnels import (
    SWITCHED,
    all_over,
    echoes,
    echoing,
    ended,
    enter,
    switching,
    upgrade,
)


async def silent(visit: Visit) -> None:
    """Reads until the end."""
    await visit.end()


def test_a_new_revision_leaves_a_tunnel_alone() -> None:
    async def test() -> None:
        async with (
            RawBackend(switching(echoing)) as old,
            RawBackend(replying(said(b"new"))) as new,
            Running(config_for(old.endpoint)) as running,
            RawClient(running.where) as client,
            RawClient(running.where) as other,
        ):
            await enter(client)
            (pool,) = running.plane._pools.values()
            running.install(config_for(new.endpoint))
            assert await echoes(client, b"hi")
            assert (await other.ask(get())).body == b"new"
            running.install(config_for(new.endpoint))
            assert await echoes(client, b"hi again")
            client.finish()
            assert await ended(client) == "closed"
            await eventually(lambda: not pool.open)
            await running.counted({"GET 101": 1, "GET 200": 1})

    run(test)


def test_a_plane_that_closes_cuts_tunnels() -> None:
    async def test() -> None:
        async with (
            RawBackend(switching(silent)) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            await enter(client)
            await running.plane.close()
            await ended(client)
            await all_over(running)

    run(test)


def drained(tunnel_s: float) -> Drain:
    return Drain(tunnel_s=tunnel_s)


def test_tunnels_live_on_for_a_while_when_the_plane_drains() -> None:
    async def test() -> None:
        async with RawBackend(switching(echoing)) as backend:
            config = config_for(backend.endpoint, drain=drained(1.0))
            async with Running(config) as running, RawClient(running.where) as client:
                await enter(client)
                draining = asyncio.ensure_future(running.plane.drain(15))
                await eventually(lambda: running.plane.draining)
                with pytest.raises(ConnectionError):
                    async with RawClient(running.where):
                        pass
                for number in range(20):
                    assert await echoes(client, b"still %d" % number)
                assert await ended(client) == "closed"
                assert await draining
                assert await ended(backend.visits[0]) == "closed"
                await all_over(running)

    run(test)


def test_a_drain_does_not_wait_for_tunnels_that_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plane_module, "DRAIN_TICK_S", 0.01)

    async def test() -> None:
        async with RawBackend(switching(echoing)) as backend:
            config = config_for(backend.endpoint, drain=drained(3_600))
            async with Running(config) as running, RawClient(running.where) as client:
                await enter(client)
                draining = asyncio.ensure_future(running.plane.drain(3_600))
                await eventually(lambda: running.plane.draining)
                assert await echoes(client, b"last words")
                client.finish()
                assert await ended(client) == "closed"
                assert await draining

    run(test)


def test_tunnels_are_closed_in_good_order_before_the_deadline() -> None:
    async def test() -> None:
        async with RawBackend(switching(echoing)) as backend:
            config = config_for(backend.endpoint, drain=drained(3_600))
            async with Running(config) as running, RawClient(running.where) as client:
                await enter(client)
                assert await echoes(client, b"hi")
                assert await running.plane.drain(3)
                assert await ended(client) == "closed"
                await all_over(running)

    run(test)


def test_a_tunnel_may_be_given_no_time() -> None:
    async def test() -> None:
        async with RawBackend(switching(silent)) as backend:
            config = config_for(backend.endpoint, drain=drained(0))
            async with Running(config) as running, RawClient(running.where) as client:
                await enter(client)
                assert await running.plane.drain(15)
                assert await ended(client) == "closed"

    run(test)


def test_a_tunnel_that_opens_when_the_others_were_closed_is_closed_too() -> None:
    """Its 101 may come late; and a kept connection may ask for one at the last moment."""
    gate = asyncio.Event()

    async def late(visit: Visit) -> None:
        await visit.head()
        await gate.wait()
        await visit.send(SWITCHED)
        await echoing(visit)

    async def test() -> None:
        async with RawBackend(late) as backend:
            config = config_for(backend.endpoint, drain=drained(0.1))
            async with Running(config) as running, RawClient(running.where) as client:
                await client.send(upgrade())
                await eventually(lambda: bool(backend.visits and backend.visits[0].received))
                draining = asyncio.ensure_future(running.plane.drain(5))
                await asyncio.sleep(0.5)  # the time of tunnels is over: nothing tells of it
                gate.set()
                assert b" 101 " in await client.head()
                assert await ended(client) == "closed"
                assert await draining

    run(test)


def test_what_a_drained_tunnel_still_holds_is_delivered() -> None:
    """A client that is behind gets what was taken for it, and a clean end behind it."""

    async def flood(visit: Visit) -> None:
        await visit.send(b"x" * 64_000_000)

    async def test() -> None:
        async with RawBackend(switching(flood)) as backend:
            config = config_for(backend.endpoint, drain=drained(0.1))
            async with (
                Running(config) as running,
                RawClient(running.where, receive_bytes=4_096) as client,
            ):
                await enter(client)
                draining = asyncio.ensure_future(running.plane.drain(15))
                await eventually(lambda: running.plane.draining)
                assert set(await client.rest()) == {120}
                assert await draining

    run(test)
