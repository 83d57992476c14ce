"""Idle connections: the freshest first, none for ever, none after the endpoint is gone."""

import asyncio

import pytest

from proxy.model.address import parse_endpoint
from proxy.net.deadline import Timers
from proxy.net.outbox import Outbox
from proxy.net.pool import EndpointPool
from proxy.net.upstream import UpstreamConnection
from tests.support.raw_backend import OK, RawBackend, Visit, replying
from tests.support.raw_client import RawClient, get
from tests.support.running import Running, config_for, eventually, run


def make_pool(backend: RawBackend) -> EndpointPool:
    loop = asyncio.get_running_loop()
    return EndpointPool(
        parse_endpoint(backend.endpoint), backend.endpoint, Timers(loop), Outbox(loop)
    )


async def silent(visit: Visit) -> None:
    await visit.end()


def test_last_in_first_out_and_swept_from_the_other_end() -> None:
    async def test() -> None:
        async with RawBackend(silent) as backend:
            pool = make_pool(backend)
            assert pool.take() is None
            old, young = await pool.connect(), await pool.connect()
            assert pool.open == {old, young}
            pool.give_back(old)
            pool.give_back(young)
            assert pool.take() is young
            pool.give_back(young)
            old.idle_since -= 60
            pool.sweep(30)
            await eventually(lambda: pool.open == {young})
            assert pool.take() is young
            pool.close()
            pool.give_back(young)
            await eventually(lambda: not pool.open)
            assert pool.take() is None

    run(test)


def test_a_connection_that_opens_as_it_is_given_up_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = UpstreamConnection.connection_made

    async def test() -> None:
        def made_too_late(self: UpstreamConnection, transport: asyncio.BaseTransport) -> None:
            made(self, transport)
            connecting.cancel()

        monkeypatch.setattr(UpstreamConnection, "connection_made", made_too_late)
        async with RawBackend(silent) as backend:
            pool = make_pool(backend)
            connecting = asyncio.ensure_future(pool.connect())
            with pytest.raises(asyncio.CancelledError):
                await connecting
            await eventually(lambda: not pool.open)

    run(test)


def test_closing_lets_idle_ones_go() -> None:
    async def test() -> None:
        async with RawBackend(silent) as backend:
            pool = make_pool(backend)
            pool.give_back(await pool.connect())
            pool.close()
            await eventually(lambda: not pool.open)

    run(test)


def test_the_plane_sweeps() -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            await client.ask(get())
            (pool,) = running.plane._pools.values()
            assert len(pool._idle) == 1
            running.plane._upstream_s = 0.0
            await eventually(lambda: not pool.open)
            assert (await client.ask(get())).body == b"ok"
            assert len(backend.visits) == 2

    run(test)
