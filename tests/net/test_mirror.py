"""Copies go to other versions, and nobody waits for them."""

import asyncio
from contextlib import AsyncExitStack

import msgspec
import pytest

from proxy.model.config import (
    Config,
    DirectResponse,
    Endpoint,
    Fallback,
    Fault,
    HeaderChanges,
    HealthCheck,
    Mirror,
    Rewrite,
    Route,
    RouteTimeouts,
    Service,
    TextMatch,
    Version,
)
from proxy.model.validate import check_config
from tests.support.raw_backend import OK, RawBackend, Visit, said
from tests.support.raw_client import RawClient, get, post
from tests.support.running import Running, eventually, run


class Shadow:
    """A back end that keeps what it was asked.

    Attributes:
        asked: heads and bodies.
        open: it answers once this is set.
    """

    def __init__(self, answer: bytes = OK) -> None:
        self._answer = answer
        self.asked: list[tuple[bytes, bytes]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def serve(self, visit: Visit) -> None:
        while True:
            head = await visit.head()
            lower = head.lower()
            size = lower.partition(b"content-length: ")[2].partition(b"\r\n")[0]
            body = await visit.exactly(int(size)) if size else b""
            self.asked.append((head, body))
            await self.open.wait()
            await visit.send(self._answer)


class Pair:
    """A stable version, and a shadow that gets copies."""

    def __init__(self, mirror: Mirror, shadow: Shadow, **route: object) -> None:
        self.stable = Shadow(said(b"stable"))
        self.shadow = shadow
        self._mirror = mirror
        self._route = route
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Running:
        one = await self._stack.enter_async_context(RawBackend(self.stable.serve))
        two = await self._stack.enter_async_context(RawBackend(self.shadow.serve))
        service = Service(
            versions={
                "stable": Version(endpoints=(one.endpoint,)),
                "shadow": Version(endpoints=(two.endpoint,)),
            },
            weights={"stable": 1, "shadow": 0},
        )
        route = Route("shop", mirror=(self._mirror,), **self._route)  # type: ignore[arg-type]
        config = Config(services={"shop": service}, routes=(route,))
        self.running = await self._stack.enter_async_context(Running(config))
        return self.running

    async def __aexit__(self, *_: object) -> None:
        await eventually(lambda: not self.running.plane.mirrors.active)
        await self._stack.aclose()


def copies(running: Running) -> dict[str, int]:
    (counts,) = running.registry.counts().copies
    assert (counts.service, counts.version) == ("shop", "shadow")
    return counts.requests


def test_a_copy_is_what_the_endpoint_gets_and_its_answer_is_only_counted() -> None:
    async def test() -> None:
        pair = Pair(Mirror("shadow"), Shadow(said(b"x" * 50_000, status=b"500 Oops")))
        async with pair as running, RawClient(running.where) as client:
            for _ in range(3):
                answer = await client.ask(post(b"all of it", "X-Id: 7"), "POST")
                assert (answer.status, answer.body) == (200, b"stable")
            await eventually(lambda: copies(running) == {"POST 500": 3})
            assert running.counts("shadow").requests == {}
            assert running.counts("shadow").attempts == {}
            for (head, body), (copied, copied_body) in zip(
                pair.stable.asked, pair.shadow.asked, strict=True
            ):
                assert body == copied_body == b"all of it"
                without_host = [line for line in head.split(b"\r\n") if line[:5] != b"Host:"]
                assert without_host == [
                    line for line in copied.split(b"\r\n") if line[:5] != b"Host:"
                ]

    run(test)


def test_a_shadow_that_hangs_is_not_felt_and_its_copies_are_bounded() -> None:
    async def test() -> None:
        shadow = Shadow()
        shadow.open.clear()
        pair = Pair(Mirror("shadow", max_active=2), shadow)
        async with pair as running, RawClient(running.where) as client:
            for _ in range(6):
                assert (await client.ask(get("/"))).status == 200
            assert len(running.plane.mirrors.active) == 2
            assert running.plane.mirrors.dropped == 4
            shadow.open.set()

    run(test)


def test_a_shadow_that_is_not_there() -> None:
    async def test() -> None:
        pair = Pair(Mirror("shadow"), Shadow())
        async with pair as running, RawClient(running.where) as client:
            service = running._config.services["shop"]
            gone = Service(
                versions={
                    **service.versions,
                    "shadow": Version(endpoints=(Endpoint("http://127.0.0.1:1"),)),
                },
                weights=service.weights,
            )
            running.install(Config(services={"shop": gone}, routes=running._config.routes))
            assert (await client.ask(get("/"))).status == 200
            await eventually(lambda: copies(running) == {"GET 502": 1})

    run(test)


def test_long_bodies_are_not_copied_and_pieces_are_put_together() -> None:
    async def test() -> None:
        pair = Pair(Mirror("shadow", body_bytes=10), Shadow())
        async with pair as running, RawClient(running.where) as client:
            whole = post(b"0123456789")
            await client.send(whole[:-4])
            await eventually(lambda: running.plane.runtime.versions[0].observer.in_flight == 1)
            await client.send(whole[-4:])
            assert (await client.answer("POST")).status == 200
            assert (await client.ask(post(b"0123456789+"), "POST")).status == 200
            await eventually(lambda: copies(running) == {"POST 200": 1})
            assert [body for _, body in pair.shadow.asked] == [b"0123456789"]
            assert running.plane.mirrors.dropped == 1

    run(test)


def test_host_and_path_of_a_copy() -> None:
    async def test() -> None:
        pair = Pair(Mirror("shadow", host_suffix="-shadow"), Shadow(), rewrite=Rewrite(path="/new"))
        async with pair as running, RawClient(running.where) as client:
            await client.ask(b"GET /old?q=1 HTTP/1.1\r\nHost: shop.example:8080\r\n\r\n")
            await eventually(lambda: bool(pair.shadow.asked))
            head = pair.shadow.asked[0][0]
            assert head.startswith(b"GET /new?q=1 HTTP/1.1\r\n")
            assert b"\r\nHost: shop.example-shadow:8080\r\n" in head

    run(test)


def test_nobody_is_copied_at_fraction_0() -> None:
    async def test() -> None:
        pair = Pair(Mirror("shadow", fraction=0.0), Shadow())
        async with pair as running, RawClient(running.where) as client:
            for _ in range(5):
                await client.ask(get("/"))
            assert pair.shadow.asked == []

    run(test)


# Faults on purpose.


async def struck(fault: Fault, *requests: bytes) -> tuple[list[int], Running]:
    shadow = Shadow()
    async with RawBackend(shadow.serve) as backend:
        service = Service(versions={"stable": Version(endpoints=(backend.endpoint,))})
        route = Route("shop", fault=fault)
        config = Config(services={"shop": service}, routes=(route,))
        async with Running(config) as running, RawClient(running.where) as client:
            statuses = []
            for request in requests:
                method = request.partition(b" ")[0].decode()
                statuses.append((await client.ask(request, method)).status)
            assert len(shadow.asked) == statuses.count(200)
            return statuses, running


def test_aborts() -> None:
    async def test() -> None:
        fault = Fault(abort_status=418, abort_percent=100)
        statuses, _ = await struck(fault, get("/"), post(b"body"), get("/"))
        assert statuses == [418, 418, 418]
        statuses, _ = await struck(Fault(abort_status=418), get("/"), get("/"))
        assert statuses == [200, 200]

    run(test)


def test_only_who_asks_for_it() -> None:
    async def test() -> None:
        headers = {"X-Fault": TextMatch(exact="yes")}
        fault = Fault(abort_status=503, abort_percent=100, headers=headers)
        statuses, _ = await struck(fault, get("/"), get("/", "X-Fault: yes"), get("/"))
        assert statuses == [200, 503, 200]

    run(test)


def test_delays_end_and_are_bounded() -> None:
    async def test() -> None:
        fault = Fault(delay_s=0.2, delay_percent=100, max_active=1)
        shadow = Shadow()
        async with RawBackend(shadow.serve) as backend:
            service = Service(versions={"stable": Version(endpoints=(backend.endpoint,))})
            config = Config(services={"shop": service}, routes=(Route("shop", fault=fault),))
            async with (
                Running(config) as running,
                RawClient(running.where) as first,
                RawClient(running.where) as second,
            ):
                await first.send(post(b"body"))
                policy = running.plane.runtime.faults[0]
                assert policy is not None
                await eventually(lambda: policy.active == 1)
                assert (await second.ask(get("/"))).status == 200  # one too many to be delayed
                assert policy.active == 1
                assert (await first.answer("POST")).status == 200
                assert policy.active == 0
                await second.send(get("/"))
                await eventually(lambda: policy.active == 1)
                second.reset()
                await eventually(lambda: policy.active == 0)
                assert [body for _, body in shadow.asked] == [b"", b"body"]

    run(test)


def test_a_delay_and_then_an_abort() -> None:
    async def test() -> None:
        fault = Fault(delay_s=0.05, delay_percent=100, abort_status=500, abort_percent=100)
        statuses, running = await struck(fault, get("/"), post(b"body"))
        assert statuses == [500, 500]
        assert running.counts().requests == {"GET 500": 1, "POST 500": 1}
        assert running.counts().latency_sum_s > 0.09

    run(test)


def test_a_route_that_answers_by_itself_has_no_copies() -> None:
    route = Route(respond=DirectResponse(), mirror=(Mirror("x"),), fault=Fault())
    problems = check_config(Config(routes=(route,), services={}))
    fields = {problem.field for problem in problems}
    assert {"routes[0].mirror", "routes[0].fault"} <= fields


@pytest.mark.parametrize("status", [299, 418, 499, 520, 599])
@pytest.mark.parametrize("delay_s", [0.0, 0.02])
def test_every_status_that_may_be_given_keeps_the_connection_whole(
    status: int, delay_s: float
) -> None:
    async def test() -> None:
        fault = Fault(delay_s, 100, status, 100)
        statuses, _ = await struck(fault, get("/"), post(b"body"), get("/"))
        assert statuses == [status] * 3

    run(test)


@pytest.mark.parametrize("status", [204, 205, 304])
def test_an_abort_has_a_body(status: int) -> None:
    route = Route("shop", fault=Fault(abort_status=status, abort_percent=1))
    service = Service(versions={"stable": Version(endpoints=("http://a",))})
    (problem,) = check_config(Config(routes=(route,), services={"shop": service}))
    assert problem.field == "routes[0].fault.abort_status"


def test_what_no_endpoint_gets_is_not_copied() -> None:
    async def test() -> None:
        pair = Pair(Mirror("shadow"), Shadow(), fault=Fault(abort_status=503, abort_percent=100))
        async with pair as running, RawClient(running.where) as client:
            for _ in range(3):
                assert (await client.ask(get("/"))).status == 503
            assert not running.plane.mirrors.active
            assert pair.stable.asked == pair.shadow.asked == []

    run(test)


def test_the_version_that_serves_gets_no_copy_of_its_own_requests() -> None:
    async def test() -> None:
        pair = Pair(Mirror("stable"), Shadow())
        async with pair as running, RawClient(running.where) as client:
            for _ in range(3):
                assert (await client.ask(post(b"once"), "POST")).status == 200
            assert len(pair.stable.asked) == 3
            assert not running.plane.mirrors.active

    run(test)


def test_a_copy_never_falls_back_to_the_version_that_serves() -> None:
    async def test() -> None:
        pair = Pair(Mirror("shadow"), Shadow(said(b"", status=b"500 Oops")))
        async with pair as running, RawClient(running.where) as client:
            service = msgspec.structs.replace(
                running._config.services["shop"], health=HealthCheck(), fallback=Fallback("stable")
            )
            running.install(Config(services={"shop": service}, routes=running._config.routes))
            await running.plane.checked()  # the shadow has failed its first, and gets nothing
            assert (await client.ask(post(b"once"), "POST")).status == 200
            await eventually(lambda: copies(running) == {"POST 502": 1})
            posts = [head for head, _ in pair.stable.asked if head.startswith(b"POST")]
            assert len(posts) == 1
            assert running.counts("shadow").attempts == {}

    run(test)


def test_a_copy_is_changed_as_the_request_of_its_version_would_be() -> None:
    async def test() -> None:
        pair = Pair(
            Mirror("shadow"), Shadow(), request_headers=HeaderChanges(remove=("Authorization",))
        )
        async with pair as running, RawClient(running.where) as client:
            await client.ask(get("/", "Authorization: Bearer secret"))
            await eventually(lambda: bool(pair.shadow.asked))
            assert b"secret" not in pair.shadow.asked[0][0]

    run(test)


def test_copies_end_with_their_time_and_with_the_proxy() -> None:
    async def test() -> None:
        shadow = Shadow(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        pair = Pair(Mirror("shadow", max_active=1), shadow, timeouts=RouteTimeouts(request_s=0.2))
        async with pair as running, RawClient(running.where) as client:
            assert (await client.ask(get("/"))).status == 200
            await eventually(lambda: bool(shadow.asked))
            await eventually(lambda: not running.plane.mirrors.active)
            assert copies(running) == {"GET 200": 1}
            shadow.open.clear()
            assert (await client.ask(get("/"))).status == 200
            await eventually(lambda: len(shadow.asked) == 2)
            await running.plane.close()
            assert not running.plane.mirrors.active

    run(test)
