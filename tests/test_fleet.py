"""Several workers as one: real child processes that are killed, hang, and are changed meanwhile."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy import fleet as fleet_module
from proxy.core.user import user_of
from proxy.fleet import Fleet
from proxy.model.config import (
    AccessLog,
    Config,
    KeyFrom,
    Match,
    Route,
    Service,
    Sticky,
    Version,
    traffic_of,
)
from proxy.model.users import users_in
from proxy.model.wire import (
    Ack,
    Counts,
    FromWorker,
    Install,
    Left,
    Pull,
    Sample,
    Snapshot,
    ToWorker,
)
from proxy.net.listener import bind
from proxy.supervisor.link import Link
from tests.support.raw_backend import OK, RawBackend, replying, said
from tests.support.raw_client import RawClient, get
from tests.support.running import config_for, run

NOWHERE = "http://127.0.0.1:1"


def snapshot(config: Config, revision: int = 1) -> Snapshot:
    return Snapshot(revision, traffic_of(config))


class Set:
    """A fleet and where it listens."""

    def __init__(self, fleet: Fleet, where: tuple[str, int]) -> None:
        self.fleet = fleet
        self.where = where

    async def body(self) -> bytes:
        async with RawClient(self.where) as client:
            return (await client.ask(get("/", "Connection: close"))).body

    async def requests(self) -> int:
        counts = await self.fleet.counts()
        return sum(sum(one.requests.values()) for one in counts.versions)


@asynccontextmanager
async def running(config: Config, count: int = 2) -> AsyncIterator[Set]:
    sockets = bind("web", "127.0.0.1:0", count)
    where = sockets[0].getsockname()
    fleet = Fleet([[sock] for sock in sockets], Install(config, snapshot(config)))
    try:
        assert await fleet.start(20.0) == ""
        yield Set(fleet, where)
    finally:
        await fleet.drain(0.0)
        assert fleet.pids == []


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    while not await is_so():  # noqa: ASYNC110 another process's state, nothing signals it
        await asyncio.sleep(0.01)


async def replaced(fleet: Fleet, pids: set[int]) -> None:
    async def is_so() -> bool:
        serving = [member for member in fleet._members.values() if member.serves]
        return len(serving) == len(pids) and not pids & set(fleet.pids)

    await until(is_so)


def test_a_change_is_in_force_in_every_worker_and_a_wrong_one_in_none() -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(said(b"old"))) as old,
            RawBackend(replying(said(b"new"))) as new,
            running(config_for(old.endpoint)) as built,
        ):
            assert {await built.body() for _ in range(8)} == {b"old"}
            config = config_for(new.endpoint)
            assert await built.fleet.install(Install(config, snapshot(config, 2))) == ()
            assert {await built.body() for _ in range(8)} == {b"new"}
            service = msgspec.structs.replace(config.services["shop"], weights={"stable": 0})
            wrong = config_for(old.endpoint)
            wrong = msgspec.structs.replace(wrong, services={"shop": service})
            problems = await built.fleet.install(Install(wrong, snapshot(wrong, 3)))
            assert [problem.field for problem in problems] == ["services.shop.weights"]
            assert {await built.body() for _ in range(8)} == {b"new"}

    run(test)


def test_changes_while_all_are_killed_reach_their_successors() -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(said(b"old"))) as old,
            RawBackend(replying(said(b"new"))) as new,
            running(config_for(old.endpoint)) as built,
        ):
            pids = set(built.fleet.pids)
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            right = config_for(new.endpoint)
            wrong = config_for("nonsense")
            assert await built.fleet.install(Install(right, snapshot(right, 2))) == ()
            # No worker is there to refuse it; it must not wait for them as a trap.
            assert await built.fleet.install(Install(wrong, snapshot(wrong, 3))) != ()
            assert {await built.body() for _ in range(8)} == {b"new"}
            await replaced(built.fleet, pids)
            assert built.fleet.restarts == 2

    run(test)


def test_users_of_all_workers_are_one_crowd_and_outlive_who_leaves() -> None:
    async def test() -> None:
        async with RawBackend(replying(OK)) as backend:
            endpoints = (backend.endpoint,)
            versions = {name: Version(endpoints=endpoints) for name in ("a", "b")}
            service = Service(
                versions=versions,
                weights={"a": 50, "b": 50},
                sticky=Sticky((KeyFrom(header="X-User"),)),
            )
            config = Config(services={"shop": service}, routes=(Route("shop", match=Match()),))
            async with running(config) as built:

                async def visit(names: range) -> set[int]:
                    for name in names:
                        async with RawClient(built.where) as client:
                            field = f"X-User: {name}"
                            assert (
                                await client.ask(get("/", field, "Connection: close"))
                            ).status == 200
                    return {user_of(str(name).encode()) for name in names}

                async def seen() -> list[int]:
                    taken = (await built.fleet.take()).seen
                    return sorted(
                        user for each in taken for user in users_in(each.users or Sample(0, b""))
                    )

                await visit(range(5))
                assert await seen() == []  # nobody had asked
                everybody = await visit(range(40)) | await visit(range(20))
                assert await seen() == sorted(everybody)
                assert await seen() == []
                pids = set(built.fleet.pids)
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
                await replaced(built.fleet, pids)
                last = await visit(range(50, 60))
                assert await built.fleet.drain(5.0)
                assert await seen() == sorted(last)

    run(test)


def test_counts_never_go_back_when_a_worker_dies() -> None:
    async def test() -> None:
        async with RawBackend(replying(OK)) as backend:
            async with running(config_for(backend.endpoint)) as built:
                for _ in range(10):
                    await built.body()
                assert await built.requests() == 10
                pids = set(built.fleet.pids)
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
                assert await built.requests() == 10
                await replaced(built.fleet, pids)
                await built.body()
                assert await built.requests() == 11
                assert await built.fleet.drain(5.0)
            assert await built.requests() == 11, "the last words are heard"

    run(test)


def test_one_that_hangs_holds_a_change_up_no_longer_than_its_answer_is_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleet_module, "ANSWER_S", 0.5)

    async def test() -> None:
        async with (
            RawBackend(replying(said(b"old"))) as old,
            RawBackend(replying(said(b"new"))) as new,
            running(config_for(old.endpoint)) as built,
        ):
            hung = built.fleet.pids[0]
            os.kill(hung, signal.SIGSTOP)
            config = config_for(new.endpoint)
            assert await built.fleet.install(Install(config, snapshot(config, 2))) == ()
            assert {await built.body() for _ in range(8)} == {b"new"}
            assert hung not in built.fleet.pids

    run(test)


def test_one_that_hangs_at_its_start_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "BEGIN_S", 3.0)

    async def test() -> None:
        config = config_for(NOWHERE)
        sockets = bind("web", "127.0.0.1:0", 2)
        fleet = Fleet([[sock] for sock in sockets], Install(config, snapshot(config)))
        starting = asyncio.create_task(fleet.start(15.0))

        async def begun() -> bool:
            return len(fleet.pids) == 2

        await until(begun)
        os.kill(fleet.pids[0], signal.SIGSTOP)
        assert await starting == ""
        assert fleet.restarts == 1
        await fleet.drain(0.0)

    run(test)


def test_workers_that_cannot_begin_say_why(tmp_path: Path) -> None:
    async def test() -> None:
        config = config_for(NOWHERE, access_log=AccessLog(path=str(tmp_path / "no" / "log")))
        sockets = bind("web", "127.0.0.1:0", 2)
        fleet = Fleet([[sock] for sock in sockets], Install(config, snapshot(config)))
        assert "access_log.path" in await fleet.start(15.0)
        await fleet.drain(0.0)
        assert fleet.pids == []

    run(test)


def test_leaving_lets_go_of_the_port_at_once_and_a_second_order_cuts() -> None:
    async def test() -> None:
        async def never(visit: Any) -> None:
            await visit.head()
            await asyncio.get_running_loop().create_future()

        async with RawBackend(never) as backend, running(config_for(backend.endpoint)) as built:

            async def in_flight() -> bool:
                return sum(v.in_flight for v in (await built.fleet.counts()).versions) == 1

            async def is_refused() -> bool:
                try:
                    async with RawClient(built.where):
                        return False
                except OSError:
                    return True

            asking = asyncio.create_task(built.body())
            await until(in_flight)
            leaving = asyncio.create_task(built.fleet.drain(60.0))
            await until(is_refused)
            assert await in_flight(), "it still tells what it counts"
            assert not await built.fleet.drain(0.0)
            assert not await leaving
            with pytest.raises((EOFError, OSError)):
                await asking

    run(test)


def test_an_answer_nobody_waits_for_any_more_is_not_taken_for_the_next() -> None:
    async def test() -> None:
        ours, theirs = socket.socketpair()
        link, other = await Link.over(ours, FromWorker), await Link.over(theirs, ToWorker)
        member = fleet_module._Member(link)
        following = asyncio.create_task(member.follow())
        assert await member.ask(Pull(), 0.0) is None
        given_up = asyncio.create_task(member.ask(Pull(), 10.0))
        assert [await other.receive(), await other.receive()] == [Pull(), Pull()]
        given_up.cancel()
        asking = asyncio.create_task(member.ask(Pull(), 10.0))
        for connections in (1, 2, 3):
            await other.send(Counts(versions=(), connections=connections))
        assert await asking == Counts(versions=(), connections=3)
        await other.send(Left(Counts(versions=()), clean=False))
        await following
        assert member.left == Left(Counts(versions=()), clean=False)
        assert await member.ask(Pull(), 10.0) is None
        await link.close()
        await other.close()

    run(test)


def test_a_worker_that_says_what_nobody_asked_is_not_followed() -> None:
    async def test() -> None:
        ours, theirs = socket.socketpair()
        link, other = await Link.over(ours, FromWorker), await Link.over(theirs, ToWorker)
        member = fleet_module._Member(link)
        await other.send(Ack(1))
        await member.follow()
        assert await member.ask(Pull(), 10.0) is None
        await link.close()
        await other.close()

    run(test)
