"""What may be repeated is, on another endpoint first, within a budget; nothing else ever is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from proxy.core.outcome import Outcome
from proxy.model.config import Config, Match, Retry, Route, Service, Timeouts, Version
from proxy.net.retries import RetryPolicy, compile_retries
from tests.support.raw_backend import RawBackend, Visit, said
from tests.support.raw_client import RawClient, get, post
from tests.support.running import Running, eventually, run

NOW = Retry(backoff_s=0.0)


class Script:
    """A back end that does one thing after another, and the last for ever.

    Attributes:
        heads, bodies: what it was asked.
    """

    def __init__(self, *acts: bytes | None) -> None:
        self._acts = list(acts)
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []

    async def serve(self, visit: Visit) -> None:
        while True:
            head = await visit.head()
            self.heads.append(head)
            size = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            self.bodies.append(await visit.exactly(int(size)) if size else b"")
            act = self._acts.pop(0) if len(self._acts) > 1 else self._acts[0]
            if act is None:
                return
            await visit.send(act)


UP = said(b"fine")
DOWN = said(b"down", status=b"503 Down")
OOPS = said(b"oops", status=b"500 Oops")


@asynccontextmanager
async def scripts(
    *scripts: Script, retry: Retry | None = NOW, timeouts: Timeouts | None = None
) -> AsyncIterator[Running]:
    async with AsyncExitStack() as stack:
        backends = [await stack.enter_async_context(RawBackend(script.serve)) for script in scripts]
        version = Version(endpoints=tuple(backend.endpoint for backend in backends))
        service = Service(versions={"stable": version}, timeouts=timeouts or Timeouts())
        route = Route("shop", match=Match(), retry=retry)
        config = Config(services={"shop": service}, routes=(route,))
        yield await stack.enter_async_context(Running(config))


def test_conditions() -> None:
    policy = RetryPolicy(Retry(conditions=("connect_failure", "503", "520-522")))
    assert policy.outcomes == {Outcome.CONNECT_FAILED, Outcome.CONNECT_TIMEOUT}
    assert policy.statuses == {503, 520, 521, 522}


def test_back_off_doubles_up_to_a_limit() -> None:
    policy = RetryPolicy(Retry(backoff_s=0.1, max_backoff_s=0.35))
    for retry, longest in ((1, 0.1), (2, 0.2), (3, 0.35), (9, 0.35)):
        waits = [policy.delay_s(retry) for _ in range(500)]
        assert max(waits) <= longest
        assert max(waits) > 0.9 * longest
        assert min(waits) < 0.1 * longest


@pytest.mark.parametrize(
    ("retrying", "active", "allowed"),
    [(0, 0, True), (2, 0, True), (3, 0, False), (3, 19, False), (3, 20, True), (19, 100, True),
     (20, 100, False)],
)  # fmt: skip
def test_the_budget(retrying: int, active: int, *, allowed: bool) -> None:
    assert RetryPolicy(Retry()).allows(retrying, active) is allowed


def test_without_a_policy_there_is_nothing() -> None:
    assert compile_retries((Route("shop"), Route("shop"))) == ()
    first, second = compile_retries((Route("shop"), Route("shop", retry=Retry())))
    assert first is None
    assert second is not None


def test_a_refusal_is_repeated_on_the_other_endpoint() -> None:
    async def test() -> None:
        bad, good = Script(DOWN), Script(UP)
        async with scripts(bad, good) as running, RawClient(running.where) as client:
            for _ in range(4):
                answer = await client.ask(get("/a", "X-Id: 7"))
                assert (answer.status, answer.body) == (200, b"fine")
            assert len(bad.heads) == 2
            assert len(good.heads) == 4
            counts = await running.counted({"GET 200": 4})
            assert counts.attempts == {"server_error": 2, "success": 4}

    run(test)


def test_there_is_an_end_to_it() -> None:
    async def test() -> None:
        script = Script(DOWN)
        retry = Retry(retries=3, backoff_s=0.0)
        async with scripts(script, retry=retry) as running, RawClient(running.where) as client:
            answer = await client.ask(get("/"))
            assert (answer.status, answer.body) == (503, b"down")
            assert len(script.heads) == 4

    run(test)


@pytest.mark.parametrize("answer", [OOPS, said(b"no", status=b"404 No")])
def test_other_statuses_are_passed_on(answer: bytes) -> None:
    async def test() -> None:
        script = Script(answer, UP)
        async with scripts(script) as running, RawClient(running.where) as client:
            assert (await client.ask(get("/"))).status in (500, 404)
            assert len(script.heads) == 1

    run(test)


@pytest.mark.parametrize(("methods", "times"), [("repeatable", 1), ("all", 2)])
def test_a_post_is_repeated_only_where_it_may_be(methods: str, times: int) -> None:
    async def test() -> None:
        script = Script(DOWN, UP)
        retry = Retry(methods=methods, backoff_s=0.0)  # type: ignore[arg-type]
        async with scripts(script, retry=retry) as running, RawClient(running.where) as client:
            answer = await client.ask(post(b"all of it"), "POST")
            assert answer.status == (503 if times == 1 else 200)
            assert script.bodies == [b"all of it"] * times

    run(test)


@pytest.mark.parametrize(("size", "times"), [(64, 2), (65, 1)])
def test_a_body_in_pieces_is_kept_up_to_a_limit(size: int, times: int) -> None:
    async def test() -> None:
        script = Script(DOWN, UP)
        retry = Retry(methods="all", backoff_s=0.0, replay_bytes=64)
        body = bytes(range(65))[:size]
        async with scripts(script, retry=retry) as running, RawClient(running.where) as client:
            whole = post(body)
            cut = len(whole) - size
            await client.send(whole[: cut + 5])
            await eventually(lambda: bool(script.heads))
            await client.send(whole[cut + 5 :])
            answer = await client.answer("POST")
            assert answer.status == (200 if times == 2 else 503)
            assert script.bodies == [body] * times

    run(test)


def test_a_connection_that_breaks_off_is_repeated_even_if_it_was_new() -> None:
    async def test() -> None:
        script = Script(None, None, UP)
        retry = Retry(retries=2, backoff_s=0.0)
        async with scripts(script, retry=retry) as running, RawClient(running.where) as client:
            assert (await client.ask(get("/"))).status == 200
            assert len(script.heads) == 3

    run(test)


def test_what_the_client_has_seen_is_not_repeated() -> None:
    async def test() -> None:
        script = Script(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", UP)

        async def serve(visit: Visit) -> None:
            await visit.head()
            script.heads.append(b"")
            await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")

        script.serve = serve  # type: ignore[method-assign]
        async with scripts(script) as running, RawClient(running.where) as client:
            await client.send(get("/"))
            with pytest.raises((OSError, EOFError)):
                await client.answer()
            assert len(script.heads) == 1

    run(test)


def test_an_attempt_that_takes_too_long_is_repeated() -> None:
    async def test() -> None:
        heads = 0

        async def serve(visit: Visit) -> None:
            nonlocal heads
            while True:
                await visit.head()
                heads += 1
                if heads == 1:
                    await visit.end()
                    return
                await visit.send(UP)

        script = Script(UP)
        script.serve = serve  # type: ignore[method-assign]
        retry = Retry(conditions=("timeout",), per_try_s=0.2, backoff_s=0.0)
        async with scripts(script, retry=retry) as running, RawClient(running.where) as client:
            assert (await client.ask(get("/"))).status == 200
            counts = await running.counted({"GET 200": 1})
            assert counts.attempts == {"response_timeout": 1, "success": 1}

    run(test)


def test_the_whole_request_has_an_end_too() -> None:
    async def test() -> None:
        script = Script(DOWN)
        retry = Retry(retries=10, backoff_s=60.0, max_backoff_s=60.0)
        timeouts = Timeouts(request_s=0.3, response_s=0.3)
        async with (
            scripts(script, retry=retry, timeouts=timeouts) as running,
            RawClient(running.where) as client,
        ):
            assert (await client.ask(get("/"))).status == 504

    run(test)


def test_a_client_that_leaves_ends_it() -> None:
    async def test() -> None:
        script = Script(DOWN)
        retry = Retry(retries=10, backoff_s=60.0, max_backoff_s=60.0)
        async with scripts(script, retry=retry) as running:
            async with RawClient(running.where) as client:
                await client.send(get("/"))
                await eventually(lambda: running.plane.runtime.versions[0].retrying == 1)
                client.reset()
            await running.counted({"GET 499": 1})
            version = running.plane.runtime.versions[0]
            assert version.retrying == 0

    run(test)


def test_a_budget_that_is_spent_ends_it() -> None:
    async def test() -> None:
        gate = asyncio.Event()
        heads: list[bytes] = []

        async def serve(visit: Visit) -> None:
            while True:
                heads.append(await visit.head())
                if len(heads) > 6:
                    await gate.wait()
                await visit.send(DOWN)

        script = Script(DOWN)
        script.serve = serve  # type: ignore[method-assign]
        retry = Retry(retries=1, backoff_s=0.0, budget_min=2, budget_percent=0)
        async with scripts(script, retry=retry) as running, AsyncExitStack() as stack:
            version = running.plane.runtime.versions[0]
            version.retrying = 2
            client = await stack.enter_async_context(RawClient(running.where))
            assert (await client.ask(get("/"))).status == 503
            assert len(heads) == 1
            version.retrying = 1
            assert (await client.ask(get("/"))).status == 503
            assert len(heads) == 3
            version.retrying = 0
            gate.set()

    run(test)
