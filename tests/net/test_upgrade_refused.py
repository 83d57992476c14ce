"""What only looks like the way to a tunnel: refused upgrades, unwanted 101s, requests that may not
switch. No early byte reaches an endpoint as a request.

Source: RFC 9110 §7.8, design/reliability.md row 22, Pingora CVE-2026-2833, Envoy CVE-2025-64763.
"""

import asyncio

import pytest

from proxy.model.config import Timeouts
from tests.support.raw_backend import OK, RawBackend, Visit, replying, said
from tests.support.raw_client import Answer, RawClient, get
from tests.support.running import Running, config_for, run
from tests.support.tunnels import (
    SWITCHED,
    echoes,
    echoing,
    ended,
    enter,
    switching,
    upgrade,
    values,
)

EARLY = get("/smuggled")
"""What would be a request if it were read as one."""


REFUSALS = {
    "by length": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
    "chunked": b"HTTP/1.1 426 Upgrade Required\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\nno\r\n0\r\n\r\n",
    "none": b"HTTP/1.1 204 No Content\r\n\r\n",
    "with upgrade": b"HTTP/1.1 403 Forbidden\r\nConnection: upgrade\r\nUpgrade: echo\r\n"
    b"Content-Length: 2\r\n\r\nno",
}


async def refused(answer: bytes, client: RawClient, first: bytes, then: bytes) -> Answer:
    """The answer to an upgrade that the endpoint does not follow."""
    client.write(first)
    if then:
        assert b" 103 " in await client.head()
        client.write(then)
    got = await client.answer()
    assert got.status == int(answer[9:12])
    assert got.body == (b"" if got.status == 204 else b"no")
    assert not got.head.headers(b"upgrade")
    return got


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("answer", REFUSALS.values(), ids=REFUSALS)
def test_early_bytes_of_a_refused_upgrade_reach_no_one(answer: bytes, at_once: bool) -> None:
    async def script(visit: Visit) -> None:
        while True:
            await visit.head()
            if not at_once:
                await visit.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            # The 0.1 s is for the early bytes to do harm; a proxy that is right needs none.
            await asyncio.sleep(0.1)
            await visit.send(answer)

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            first, then = (upgrade() + EARLY, b"") if at_once else (upgrade(), EARLY)
            got = await refused(answer, client, first, then)
            assert got.head.headers(b"connection") == [b"close"]
            assert await ended(client) == "closed"
            code = answer[9:12].decode()
            await running.counted({f"GET {code}": 1})
            assert not any(b"smuggled" in visit.received for visit in backend.visits)
            assert len(backend.visits) == 1

    run(test)


@pytest.mark.parametrize("answer", REFUSALS.values(), ids=REFUSALS)
def test_a_refused_upgrade_ends_the_clients_connection_alone(answer: bytes) -> None:
    """Early bytes may be on their way: whether they come before the answer is chance."""

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(answer)
        await switching(echoing)(visit)

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
            RawClient(running.where) as other,
        ):
            got = await refused(answer, client, upgrade(), b"")
            assert not got.head.reusable
            assert await ended(client) == "closed"
            await enter(other)
            assert await echoes(other, b"hi")
            assert len(backend.visits) == 1

    run(test)


@pytest.mark.parametrize("early", [b"", EARLY])
@pytest.mark.parametrize("fault", ["silent", "closed", "garbage"])
def test_an_endpoint_that_fails_an_upgrade(fault: str, early: bytes) -> None:
    async def script(visit: Visit) -> None:
        await visit.head()
        if fault == "garbage":
            await visit.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        if fault != "closed":
            await visit.end()

    async def test() -> None:
        short = Timeouts(response_s=0.2)
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint, timeouts=short)) as running,
            RawClient(running.where) as client,
        ):
            answer = await client.ask(upgrade() + early)
            assert answer.status == (504 if fault == "silent" else 502)
            assert not answer.head.reusable
            assert await ended(client) == "closed"
            assert not any(b"smuggled" in visit.received for visit in backend.visits)

    run(test)


PLAIN_101 = b"HTTP/1.1 101 Switching Protocols\r\n"
UNWANTED = {
    "not asked for": (get(), SWITCHED),
    "not asked for, bare": (get(), PLAIN_101 + b"\r\n"),
    "no connection: upgrade": (get("/", "Upgrade: echo"), SWITCHED),
    "HTTP/1.0": (get("/", "Connection: upgrade", "Upgrade: echo", minor=0), SWITCHED),
    "with a body": (upgrade("/", "Content-Length: 2", method="POST") + b"hi", SWITCHED),
    "h2c": (upgrade(to="h2c"), SWITCHED.replace(b"echo", b"h2c")),
    "no upgrade field": (upgrade(), PLAIN_101 + b"Connection: upgrade\r\n\r\n"),
    "empty upgrade field": (upgrade(), PLAIN_101 + b"Connection: upgrade\r\nUpgrade:\r\n\r\n"),
    "another protocol": (upgrade(), SWITCHED.replace(b"echo", b"h2c")),
}


@pytest.mark.parametrize("behind", [b"", OK])
@pytest.mark.parametrize(("request_", "answer"), UNWANTED.values(), ids=UNWANTED)
def test_a_101_that_was_not_asked_for_is_502(request_: bytes, answer: bytes, behind: bytes) -> None:
    async def script(visit: Visit) -> None:
        if visit.number:
            await replying(OK)(visit)
        await visit.head()
        await visit.send(answer + behind)
        await visit.end()

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
            RawClient(running.where) as other,
        ):
            got = await client.ask(request_)
            assert (got.status, got.informational) == (502, [])
            assert (await other.ask(get())).body == b"ok"
            assert len(backend.visits) == 2
            assert running.counts().attempts == {"bad_response": 1, "success": 1}

    run(test)


BODY = "Content-Length: 2"
ORDINARY = {
    "a body": (upgrade("/", BODY, method="POST") + b"hi", b"hi"),
    "a chunked body": (
        upgrade("/", "Transfer-Encoding: chunked", method="POST") + b"2\r\nhi\r\n0\r\n\r\n",
        b"hi",
    ),
    "a GET with a body": (upgrade("/", BODY) + b"hi", b"hi"),
    "h2c": (upgrade(to="h2c"), b""),
    "h2c with settings": (
        get("/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
        b"",
    ),
    "H2C": (upgrade(to="H2C"), b""),
    "HTTP/2.0": (upgrade(to="HTTP/2.0"), b""),
    "TLS": (upgrade(to="TLS/1.2"), b""),
    "no connection: upgrade": (get("/", "Upgrade: echo"), b""),
    "connection: close": (get("/", "Upgrade: echo", "Connection: x-upgrade"), b""),
    "no protocol": (upgrade(to=""), b""),
    "HTTP/1.0": (
        get("/", "Connection: upgrade, keep-alive", "Upgrade: echo", minor=0),
        b"",
    ),
}


@pytest.mark.parametrize("behind", [b"", get("/next")])
@pytest.mark.parametrize(("request_", "body"), ORDINARY.values(), ids=ORDINARY)
def test_what_may_not_switch_is_an_ordinary_request(
    request_: bytes, body: bytes, behind: bytes
) -> None:
    async def script(visit: Visit) -> None:
        head = await visit.head()
        assert not values(head, "upgrade")
        assert not values(head, "http2-settings")
        assert not any("upgrade" in value.lower() for value in values(head, "connection"))
        if values(head, "transfer-encoding"):
            assert await visit.until(b"\r\n0\r\n\r\n") == b"2\r\n%b\r\n0\r\n\r\n" % body
        else:
            assert await visit.exactly(len(body)) == body
        await visit.send(said(b"first"))
        assert (await visit.head()).startswith(b"GET /next ")
        await visit.send(said(b"second"))

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            await client.send(request_ + behind)
            first = await client.answer()
            assert (first.body, first.head.reusable) == (b"first", True)
            if not behind:
                await client.send(get("/next"))
            assert (await client.answer()).body == b"second"
            assert len(backend.visits) == 1

    run(test)


def test_connect_is_refused_with_all_behind_it() -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            raw = b"CONNECT shop.test:443 HTTP/1.1\r\nHost: shop.test:443\r\n\r\n" + EARLY
            answer = await client.ask(raw)
            assert (answer.status, answer.head.reusable) == (501, False)
            assert await ended(client) == "closed"
            assert not backend.visits

    run(test)
