"""One revision in force: endpoints in turn, what it adds to answers, whom it tells of requests."""

import pytest

from proxy.core.local_reply import LocalReply
from proxy.http1.errors import BadRequest
from proxy.http1.request import RequestHead
from proxy.model.config import Config, GeneratedId, KeyFrom, Route, Service, Sticky, Version
from proxy.net.exchange import Exchange
from proxy.net.runtime import Idents
from tests.support.raw_backend import OK, RawBackend, Visit, replying, said
from tests.support.raw_client import RawClient, get, post
from tests.support.running import Running, config_for, eventually, run


class Journal:
    """Keeps what it hears (``RequestLog``)."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, int, str, int]] = []

    def over(self, exchange: Exchange, head: RequestHead, client: str, revision: int) -> None:
        assert exchange.seconds >= 0
        assert exchange.ident
        self.entries.append((head.method, exchange.status, client, revision))

    def unserved(
        self, head: RequestHead, answer: LocalReply | None, client: str, ident: bytes, revision: int
    ) -> None:
        assert ident
        status = 404 if answer is None else answer.status
        self.entries.append((head.method, status, client, revision))

    def refused(self, refusal: BadRequest, client: str, ident: bytes, revision: int) -> None:
        assert ident
        self.entries.append(("", refusal.status, client, revision))


def test_every_request_is_logged_once() -> None:
    async def test() -> None:
        journal = Journal()
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config_for(backend.endpoint, path="/yes"), log=journal) as running,
            RawClient(running.where) as client,
        ):
            await client.ask(get("/yes"))
            running.install(config_for(backend.endpoint, path="/yes"))
            await client.ask(get("/yes", "Connection: x"))
            await client.ask(post(b"abc", path="/no"))
            await client.ask(b"bad\r\n\r\n")
            assert journal.entries == [
                ("GET", 200, "127.0.0.1", 1),
                ("GET", 200, "127.0.0.1", 2),
                ("POST", 404, "127.0.0.1", 2),
                ("", 400, "127.0.0.1", 2),
            ]

    run(test)


def test_endpoints_are_asked_in_turn() -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(said(b"0"))) as first,
            RawBackend(replying(said(b"1"))) as second,
            RawBackend(replying(said(b"2"))) as third,
            Running(config_for(first.endpoint, second.endpoint, third.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            asked = [int((await client.ask(get())).body) for _ in range(9)]
            start = asked[0]
            assert asked == [(start + turn) % 3 for turn in range(9)]

    run(test)


def test_a_generated_id_is_set_once_and_followed() -> None:
    async def test() -> None:
        async def script(visit: Visit) -> None:
            while True:
                await visit.head()
                await visit.send(said(b"", b"Set-Cookie: theirs=1"))

        async with RawBackend(script) as backend:
            sticky = Sticky(key=(KeyFrom(generated=GeneratedId(cookie="uid")),))
            service = Service(
                versions={"stable": Version(endpoints=(backend.endpoint,))}, sticky=sticky
            )
            config = Config(services={"shop": service}, routes=(Route(service="shop"),))
            async with Running(config) as running, RawClient(running.where) as client:
                cookies = (await client.ask(get())).head.headers(b"set-cookie")
                assert cookies[0] == b"theirs=1"
                assert cookies[1].startswith(b"uid=")
                assert b"HttpOnly" in cookies[1]
                again = f"Cookie: {cookies[1].split(b';')[0].decode()}"
                answer = await client.ask(get("/", again))
                assert answer.head.headers(b"set-cookie") == [b"theirs=1"]
                counts = await running.counted({"GET 200": 2})
                assert counts.assignments == {"generated": 2}

    run(test)


@pytest.mark.parametrize("status", [200, 404, 500, 503, 599, 700])
def test_the_endpoints_status_is_passed_on_and_judged(status: int) -> None:
    async def test() -> None:
        answer = said(b"x", status=b"%d Whatever" % status)
        async with (
            RawBackend(replying(answer)) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            got = await client.ask(get())
            assert (got.status, got.body, got.head.reusable) == (status, b"x", True)
            outcome = "success" if status < 500 else "server_error"
            await eventually(lambda: running.counts().attempts == {outcome: 1})

    run(test)


def test_ids_differ_across_the_table_s_end() -> None:
    idents = Idents(b"5eed")
    made = [idents.next() for _ in range(600)]
    assert len(set(made)) == 600
    assert made[0] == b"5eed-000"
    assert made[599] == b"5eed-257"
