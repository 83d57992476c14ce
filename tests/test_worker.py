"""A worker's side of the link, over a real socket pair, and its real plane and access log."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.model.config import AccessLog, Config, Drain, traffic_of
from proxy.model.wire import (
    Ack,
    Counts,
    FromWorker,
    Install,
    Leave,
    Left,
    Nack,
    Pull,
    Reopen,
    Snapshot,
    ToWorker,
)
from proxy.net.listener import bind
from proxy.supervisor.link import Link
from proxy.worker import Worker, serve_link
from tests.support.raw_backend import OK, RawBackend, Visit, replying
from tests.support.raw_client import RawClient, get
from tests.support.running import config_for, eventually, run

NOWHERE = "http://127.0.0.1:1"


class Parent:
    """The first process's side, and the worker's task."""

    def __init__(self, link: Link, where: tuple[str, int], worker: asyncio.Task[None]) -> None:
        self.link = link
        self.where = where
        self.worker = worker

    async def ask(self, order: msgspec.Struct) -> Any:
        await self.link.send(order)
        return await self.link.receive()


@asynccontextmanager
async def parent() -> AsyncIterator[Parent]:
    ours, theirs = socket.socketpair()
    sockets = bind("web", "127.0.0.1:0")
    where = sockets[0].getsockname()
    link = await Link.over(ours, FromWorker)
    other = await Link.over(theirs, ToWorker)
    worker = asyncio.create_task(serve_link(other, sockets))
    try:
        yield Parent(link, where, worker)
    finally:
        await link.close()
        await worker
        await other.close()
        for sock in sockets:
            sock.close()


def order(config: Config, revision: int = 1) -> Install:
    return Install(config, Snapshot(revision, traffic_of(config)))


def wrong(config: Config, revision: int) -> Install:
    service = msgspec.structs.replace(config.services["shop"], weights={"stable": 0})
    traffic = msgspec.structs.replace(traffic_of(config), services={"shop": service})
    return Install(config, Snapshot(revision, traffic))


def requests(counts: Counts) -> dict[str, int]:
    return next(one.requests for one in counts.versions if one.service == "shop")


def test_it_serves_what_it_is_given_and_counts_it() -> None:
    async def test() -> None:
        async with RawBackend(replying(OK)) as backend, parent() as first:
            assert await first.ask(Pull()) == Counts(versions=())
            assert await first.ask(order(config_for(backend.endpoint))) == Ack(1)
            async with RawClient(first.where) as client:
                assert (await client.ask(get("/"))).status == 200
            assert requests(await first.ask(Pull())) == {"GET 200": 1}
            left = await first.ask(Leave(5.0))
            assert isinstance(left, Left)
            assert left.clean
            assert requests(left.counts) == {"GET 200": 1}
            await first.worker
            with pytest.raises(ConnectionRefusedError):
                await RawClient(first.where).__aenter__()

    run(test)


def test_it_refuses_what_is_wrong_first_or_later_and_serves_what_is_right() -> None:
    async def test() -> None:
        async with RawBackend(replying(OK)) as backend, parent() as first:
            config = config_for(backend.endpoint)
            for revision in (1, 2):
                refused = await first.ask(wrong(config, revision))
                assert isinstance(refused, Nack)
                assert refused.revision == revision
                assert [p.field for p in refused.problems] == ["services.shop.weights"]
            assert await first.ask(order(config, 3)) == Ack(3)
            assert isinstance(await first.ask(wrong(config, 4)), Nack)
            async with RawClient(first.where) as client:
                assert (await client.ask(get("/"))).status == 200

    run(test)


def test_an_access_log_that_cannot_be_opened_is_said_not_died_of(tmp_path: Path) -> None:
    async def test() -> None:
        path = tmp_path / "no" / "log"
        config = config_for(NOWHERE, access_log=AccessLog(path=str(path)))
        with pytest.raises(OSError, match=rf"^access_log\.path: {path}: No such file"):
            Worker(config)
        async with parent() as first:
            refused = await first.ask(order(config))
            assert isinstance(refused, Nack)
            assert str(refused.problems[0]) == f"access_log.path: {path}: No such file or directory"

    run(test)


def test_the_access_log_is_written_reopened_and_finished(tmp_path: Path) -> None:
    async def test() -> None:
        path = tmp_path / "log"
        async with RawBackend(replying(OK)) as backend, parent() as first:
            config = config_for(backend.endpoint, access_log=AccessLog(path=str(path)))
            assert await first.ask(order(config)) == Ack(1)
            async with RawClient(first.where) as client:
                await client.ask(get("/one"))
                await eventually(lambda: path.read_text() != "")
                path.rename(tmp_path / "old")
                assert requests(await first.ask(Reopen())) == {"GET 200": 1}
                await eventually(path.exists)
                await client.ask(get("/two", "Connection: close"))
            await first.ask(Leave(5.0))
        assert json.loads((tmp_path / "old").read_text())["path"] == "/one"
        assert json.loads(path.read_text())["path"] == "/two"

    run(test)


async def hang(visit: Visit) -> None:
    await visit.head()
    await asyncio.get_running_loop().create_future()


def test_while_leaving_it_still_answers_and_a_second_order_cuts() -> None:
    async def test() -> None:
        async with RawBackend(hang) as backend, parent() as first:
            await first.ask(order(config_for(backend.endpoint)))
            async with RawClient(first.where) as client:
                asking = asyncio.create_task(client.ask(get("/")))
                while not (await first.ask(Pull())).versions[1].in_flight:
                    pass
                await first.link.send(Leave(60.0))
                assert (await first.ask(Pull())).versions[1].in_flight == 1
                assert await first.ask(order(config_for(backend.endpoint), 2)) == Ack(2)
                left = await first.ask(Leave(0.0))
                assert isinstance(left, Left)
                assert not left.clean
                with pytest.raises((EOFError, OSError)):
                    await asking

    run(test)


@pytest.mark.parametrize("begun", [False, True])
def test_it_leaves_when_its_parent_is_gone(caplog: pytest.LogCaptureFixture, begun: bool) -> None:
    async def test() -> None:
        async with parent() as first:
            if begun:
                await first.ask(order(config_for(NOWHERE)))
            await first.link.close()
            await first.worker
            if begun:
                with pytest.raises(ConnectionRefusedError):
                    await RawClient(first.where).__aenter__()

    run(test)
    assert "the first process is gone" in caplog.text


def test_told_to_leave_before_it_began() -> None:
    async def test() -> None:
        async with parent() as first:
            assert await first.ask(Leave(5.0)) == Left(Counts(versions=()), clean=True)
            await first.worker

    run(test)


def test_what_config_says_of_draining_is_the_parents_business() -> None:
    async def test() -> None:
        async with parent() as first:
            config = config_for(NOWHERE, drain=Drain(grace_s=60, deadline_s=90))
            assert await first.ask(order(config)) == Ack(1)
            assert (await first.ask(Leave(0.0))).clean

    run(test)
