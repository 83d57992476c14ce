import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from controlplane import following
from controlplane.app import Settings, running
from controlplane.following import Follower
from controlplane.model import Revision
from controlplane.store import postgres as module
from loadtests.postgres import PostgresServer
from proxy.model.wire import Ack
from tests.controlplane.store.test_sql import append, opened, shop
from tests.controlplane.support import TOKEN, Api

PATIENCE_S = 20


@asynccontextmanager
async def replica(url: str) -> AsyncIterator[Api]:
    async with running(Settings(url, "127.0.0.1", 0, TOKEN)) as at, Api.at(at) as api:
        yield api


def test_a_change_on_one_reaches_the_proxies_of_all(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "POLL_S", 1_000.0)  # what comes, comes by being told

    async def scenario() -> None:
        async with (
            replica(postgres_url) as one,
            replica(postgres_url) as other,
            one.proxy("p1") as near,
            other.proxy("p2") as far,
        ):
            await one.push()
            first = await near.snapshot()
            assert await far.snapshot() == first
            await other.set_weights(stable=1, canary=1)
            assert await near.snapshot() == await far.snapshot()
            await near.ack(2)
            await far.ack(2)

    asyncio.run(scenario())


def test_without_being_told_the_newest_is_asked_for(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "POLL_S", 0.05)
    monkeypatch.setattr(module, "_CHANNEL", "nobody tells here")

    async def scenario() -> None:
        async with (
            replica(postgres_url) as one,
            replica(postgres_url) as other,
            other.proxy() as far,
        ):
            await one.push()
            assert (await far.snapshot()).revision == 1

    asyncio.run(scenario())


def test_after_a_restart_of_the_database_it_is_told_again(
    postgres: PostgresServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_AGAIN_S", 0.05)
    monkeypatch.setattr(following, "POLL_S", 1_000.0)

    async def scenario() -> None:
        async with (
            replica(postgres_url) as one,
            replica(postgres_url) as other,
            other.proxy() as far,
        ):
            await one.push()
            assert (await far.snapshot()).revision == 1
            await asyncio.to_thread(postgres.restart)
            await one.set_weights(stable=1)
            assert (await far.snapshot()).revision == 2

    asyncio.run(scenario())


def test_one_that_is_behind_sends_nothing_older_and_takes_acks_of_what_is_newer(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "POLL_S", 1_000.0)
    monkeypatch.setattr(module, "_CHANNEL", "nobody tells here")

    async def scenario() -> None:
        async with replica(postgres_url) as one, replica(postgres_url) as behind:
            async with behind.proxy("p0") as proxy:
                await proxy.settle()
                await one.push()
                # Never sent by this one, and in the store all the same: it learns of it so.
                await proxy.say(Ack(1))
                assert (await proxy.snapshot()).revision == 1
                await proxy.settle()
                await one.set_weights(stable=1)
                await proxy.say(Ack(2))
                assert (await proxy.snapshot()).revision == 2
            async with one.proxy("p1") as near:
                name = (await near.snapshot()).store
            await one.set_weights(stable=1, canary=1)
            async with behind.proxy("p1", store=name, revision=3) as moved:
                await moved.settle()  # fails if an older snapshot came
                await moved.ack(3)
                await moved.socket.send_str('{"type":"ack","revision":4}')
                assert await moved.closed_with() == 1008

    asyncio.run(scenario())


def test_an_ack_while_the_database_is_away_ends_no_stream(
    postgres: PostgresServer, postgres_url: str
) -> None:
    async def scenario() -> None:
        async with replica(postgres_url) as one, one.proxy() as proxy:
            await one.push()
            assert (await proxy.snapshot()).revision == 1
            await asyncio.to_thread(postgres.stop)
            try:
                await proxy.ack(2)
                assert (await one.get("/readyz")).status == 503
                answer = await one.put("/v1/services/shop/weights", {"weights": {"stable": 1}})
                assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            finally:
                await asyncio.to_thread(postgres.start)
            await one.set_weights(stable=1)
            assert (await proxy.snapshot()).revision == 2

    asyncio.run(scenario())


def test_many_that_ask_for_the_same_cost_one_look(postgres_url: str) -> None:
    async def scenario() -> None:
        async with opened(postgres_url) as store:
            await append(store, shop(a=1))
            seen: list[Revision] = []
            follower = Follower(
                store._database, store, lambda: seen[-1].number if seen else 0, seen.append
            )
            await asyncio.gather(*(follower.catch_up(1) for _ in range(20)))
            assert [revision.number for revision in seen] == [1]

    asyncio.run(scenario())
