"""So much at a time for a version, so many a second for a route; the rest is told so at once."""

import asyncio
from contextlib import AsyncExitStack

from proxy.model.config import (
    Breakers,
    Config,
    DirectResponse,
    Match,
    PathMatch,
    RateLimit,
    Route,
    Service,
    Version,
)
from tests.support.raw_backend import OK, RawBackend, Visit, replying
from tests.support.raw_client import RawClient, get, post
from tests.support.running import Running, eventually, run


class Gate:
    """A back end that answers once it may.

    Attributes:
        heads: what it was asked.
    """

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.heads: list[bytes] = []

    async def serve(self, visit: Visit) -> None:
        while True:
            self.heads.append(await visit.head())
            await self.open.wait()
            await visit.send(OK)


def configured(endpoint: str, breakers: Breakers) -> Config:
    service = Service(versions={"stable": Version(endpoints=(endpoint,))}, breakers=breakers)
    return Config(services={"shop": service}, routes=(Route("shop"),))


async def one_too_many(breakers: Breakers) -> None:
    gate = Gate()
    async with (
        RawBackend(gate.serve) as backend,
        Running(configured(backend.endpoint, breakers)) as running,
        AsyncExitStack() as stack,
    ):
        clients = [await stack.enter_async_context(RawClient(running.where)) for _ in range(3)]
        for number, client in enumerate(clients[:2], 1):
            await client.send(get("/"))
            await eventually(lambda number=number: len(gate.heads) == number)  # type: ignore[misc]
        answer = await clients[2].ask(get("/"))
        assert answer.status == 503
        assert b"as much in hand" in answer.body
        gate.open.set()
        for client in clients[:2]:
            assert (await client.answer()).status == 200
        assert (await clients[2].ask(get("/"))).status == 200
        counts = await running.counted({"GET 200": 3, "GET 503": 1})
        assert counts.attempts == {"success": 3, "overflow": 1}


def test_requests() -> None:
    run(lambda: one_too_many(Breakers(max_requests=2)))


def test_connections() -> None:
    run(lambda: one_too_many(Breakers(max_connections=2)))


def test_requests_that_wait_for_a_connection() -> None:
    async def test() -> None:
        config = configured("http://192.0.2.1:9", Breakers(max_pending=1))
        async with (
            Running(config) as running,
            RawClient(running.where) as first,
            RawClient(running.where) as second,
        ):
            version = running.plane.runtime.versions[0]
            version.opening = 1
            assert (await second.ask(get("/"))).status == 503
            version.opening = 0
            assert version.may_open
            del first

    run(test)


def test_a_rate_is_kept_per_route_and_the_connection_stays() -> None:
    async def test() -> None:
        async with RawBackend(replying(OK)) as backend:
            service = Service(versions={"stable": Version(endpoints=(backend.endpoint,))})
            slow = RateLimit(per_s=0.1, burst=2)
            config = Config(
                services={"shop": service},
                routes=(
                    Route("shop", match=Match(path=PathMatch(prefix="/api")), rate_limit=slow),
                    Route(
                        respond=DirectResponse(status=200, body="hello"),
                        match=Match(path=PathMatch(exact="/hello")),
                        rate_limit=RateLimit(per_s=0.01),
                    ),
                    Route("shop"),
                ),
            )
            async with Running(config) as running, RawClient(running.where) as client:
                for status in (200, 200, 429, 429):
                    answer = await client.ask(get("/api"))
                    assert answer.status == status
                assert answer.head.header(b"retry-after") == b"10"
                assert (await client.ask(post(b"body", path="/api"), "POST")).status == 429
                assert (await client.ask(get("/other"))).status == 200
                assert (await client.ask(get("/hello"))).body == b"hello"
                assert (await client.ask(get("/hello"))).status == 429
                running.install(config)  # a revision gives nobody a new burst
                assert (await client.ask(get("/api"))).status == 429
                assert running.plane.load.shed["rate_limit"] == 5
                assert len(backend.errors) == 0

    run(test)


def test_a_kept_connection_to_another_endpoint_is_used_when_no_more_may_be_opened() -> None:
    async def test() -> None:
        async with RawBackend(replying(OK, OK, OK)) as one, RawBackend(replying(OK)) as two:
            version = Version(endpoints=(one.endpoint, two.endpoint))
            service = Service({"stable": version}, breakers=Breakers(max_connections=1))
            config = Config(services={"shop": service}, routes=(Route("shop"),))
            async with Running(config) as running, RawClient(running.where) as client:
                assert [(await client.ask(get("/"))).status for _ in range(3)] == [200] * 3

    run(test)
