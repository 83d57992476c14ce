import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from controlplane import census as module
from controlplane.census import DEAD_LOOKS, FORGOTTEN_LOOKS, Census
from controlplane.fleet import Fleet
from controlplane.model import OnRevision
from controlplane.store.base import StoreError
from controlplane.store.board import SqlBoard
from loadtests.postgres import PostgresServer
from proxy.model.errors import Problem
from proxy.model.wire import Hello
from tests.controlplane.store.test_sql import opened
from tests.controlplane.support import Api
from tests.controlplane.test_following import replica

NOW = datetime(2026, 1, 2, tzinfo=UTC)
PATIENCE_S = 20
NO = (Problem("routes", "no"),)


class Here:
    """One control plane's proxies, and its census."""

    def __init__(self, board: SqlBoard | None, name: str) -> None:
        self.now_s = 0.0
        self.fleet = Fleet(lambda: NOW, lambda: self.now_s)
        self.census = Census(self.fleet, board, name)

    def join(self, instance: str, revision: int) -> Any:
        return self.fleet.join(Hello(instance, "1.0"), "10.0.0.1", revision)


async def look(*times: Here, rounds: int = 1) -> None:
    for _ in range(rounds):
        for here in times:
            await here.census.look()


def test_what_is_connected_anywhere_is_counted_everywhere(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store:
            board = SqlBoard(store._database)
            one, other = Here(board, "one"), Here(board, "other")
            near = one.join("p1", 7)
            far = other.join("p2", 7)
            await look(one, other, rounds=2)
            one.fleet.ack(near, 8)
            found = one.census.convergence(8)
            assert (found.connected, found.confirmed, found.behind, found.done) == (2, 1, 1, False)
            assert found.revisions == (OnRevision(8, 1), OnRevision(7, 1))
            other.fleet.nack(far, 8, NO)
            await look(one, other, one)
            found = one.census.convergence(8)
            assert (found.refused, found.behind, found.done) == (1, 0, False)
            assert [(r.instance, r.revision, r.problems) for r in found.refusals] == [("p2", 8, NO)]
            assert one.census.convergence(7).done
            assert one.census.convergence(7).refusals == ()
            other.fleet.ack(far, 8)
            await look(one, other, one)
            for each in (one, other):
                assert each.census.convergence(8).done
                assert (each.census.connected(), each.census.on(8), each.census.on(7)) == (2, 2, 0)

    asyncio.run(scenario())


def test_the_list_has_everyone_once(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store:
            board = SqlBoard(store._database)
            one, other = Here(board, "one"), Here(board, "other")
            one.join("p1", 7)
            moved, gone = other.join("p2", 7), other.join("p3", 6)
            other.fleet.leave(moved)
            other.fleet.leave(gone)
            one.join("p2", 7)
            await look(one, other, rounds=3)
            for each in (one, other):
                found = await each.census.proxies(8)
                assert [(p.instance, p.connected, p.target) for p in found] == [
                    ("p1", True, 8),
                    ("p2", True, 8),
                    ("p3", False, 8),
                ]

    asyncio.run(scenario())


def test_one_that_is_dead_no_longer_counts_and_one_that_was_away_does_again(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store:
            board = SqlBoard(store._database)
            one, other = Here(board, "one"), Here(board, "other")
            other.join("p2", 7)
            await look(other)
            await look(one, rounds=DEAD_LOOKS)
            assert one.census.connected() == 1
            await look(one)
            assert one.census.connected() == 0
            assert await one.census.proxies(7) == []
            await look(one, rounds=FORGOTTEN_LOOKS)
            assert await board.summaries("one") == {}
            await look(other, rounds=module.ALIVE_TICKS + 1)  # it had hung, say
            await look(one)
            assert one.census.connected() == 1
            assert len(await one.census.proxies(7)) == 1

    asyncio.run(scenario())


def test_while_nothing_happens_little_is_written(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store:
            one = Here(SqlBoard(store._database), "one")
            member = one.join("p1", 7)
            await look(one, rounds=3 * module.ALIVE_TICKS + 1)
            ((beat, _),) = (await SqlBoard(store._database).summaries("")).values()
            assert beat == 4
            for revision in (8, 9, 10, 11):
                one.fleet.ack(member, revision)
                await look(one)
            ((beat, text),) = (await SqlBoard(store._database).summaries("")).values()
            assert beat == 8
            assert '"revision":11' in text
            (listed,) = await SqlBoard(store._database).proxies(["one"])
            assert msgspec.json.decode(listed)[0]["revision"] in (10, 11)

    asyncio.run(scenario())


def test_who_leaves_is_gone_at_once_and_a_database_that_is_away_is_borne(
    postgres: PostgresServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TICK_S", 0.01)

    async def until(census: Census, connected: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while census.connected() != connected:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.005)

    async def scenario() -> None:
        async with opened(postgres_url) as store:
            board = SqlBoard(store._database)
            one, other = Here(board, "one"), Here(board, "other")
            running = [asyncio.create_task(each.census.run()) for each in (one, other)]
            other.join("p1", 1)
            await until(one.census, 1)
            await asyncio.to_thread(postgres.restart)
            other.join("p2", 1)
            await until(one.census, 2)
            running[1].cancel()
            await asyncio.wait([running[1]])
            assert "other" not in await board.summaries("one")
            await until(one.census, 0)
            running[0].cancel()
            await asyncio.wait(running)

    asyncio.run(scenario())


def test_what_cannot_be_read_is_a_clear_error(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store:
            board = SqlBoard(store._database)
            one = Here(board, "one")
            await board.add("newer", 1, "{}", "[]")
            with pytest.raises(StoreError, match="another release"):
                await look(one)

    asyncio.run(scenario())


def test_alone_nothing_is_written_or_read() -> None:
    async def scenario() -> None:
        alone = Here(None, "alone")
        alone.join("p1", 3)
        await alone.census.run()
        assert alone.census.convergence(3).done
        assert alone.census.connected() == 1
        assert len(await alone.census.proxies(3)) == 1

    asyncio.run(scenario())


async def told(api: Api, path: str, **wanted: object) -> None:
    """Asks until the answer says so: the others are told once a second."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            body = (await api.get(path)).body
            if {name: body[name] for name in wanted} == wanted:
                return
            await asyncio.sleep(0.01)


def test_any_control_plane_answers_for_the_proxies_of_all(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TICK_S", 0.05)

    async def scenario() -> None:
        async with (
            replica(postgres_url) as one,
            replica(postgres_url) as other,
            one.proxy("p1") as near,
            other.proxy("p2") as far,
        ):
            await one.push()
            await near.snapshot()
            await far.snapshot()
            await near.ack(1)
            path = "/v1/services/shop/convergence?revision=1"
            for api in (one, other):
                await told(api, path, connected=2, confirmed=1, done=False)
            await far.ack(1)
            for api in (one, other):
                await told(api, path, connected=2, confirmed=2, done=True)
                service = (await api.get("/v1/services/shop")).body
                assert service["proxies"] == {"connected": 2, "on_newest": 2}
                assert [proxy["instance"] for proxy in await api.until_proxies(True, True)] == [
                    "p1",
                    "p2",
                ]
            # One that has just started tells of all from its first answer on.
            async with replica(postgres_url) as late:
                assert (await late.get("/v1/convergence")).body["connected"] == 2

    asyncio.run(scenario())


def test_a_revision_that_another_one_made_a_moment_ago_may_be_asked_for(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.following.POLL_S", 1_000.0)
    monkeypatch.setattr("controlplane.store.postgres._CHANNEL", "nobody tells here")

    async def scenario() -> None:
        async with replica(postgres_url) as one, replica(postgres_url) as behind:
            await one.push()
            answer = await behind.get("/v1/convergence?revision=1")
            assert (answer.status, answer.body["revision"]) == (200, 1)
            answer = await behind.get("/v1/convergence?revision=2")
            assert (answer.status, answer.fields) == (422, ["revision"])

    asyncio.run(scenario())
