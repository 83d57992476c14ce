"""How a tunnel is asked for and opened, and that nothing passes before it is.

Source: RFC 9110 §7.8, RFC 9112 §9.6, design/reliability.md row 22, Pingora CVE-2026-2833, Envoy
CVE-2025-64763.
"""

import asyncio

import pytest

from proxy.model.config import Config, GeneratedId, KeyFrom, Route, Service, Sticky, Version
from tests.support.raw_backend import RawBackend, Script, Visit, said
from tests.support.raw_client import RawClient, get
from tests.support.running import Running, config_for, eventually, run
from tests.support.tunnels import (
    SWITCHED,
    all_over,
    echoes,
    echoing,
    ended,
    enter,
    switched,
    switching,
    upgrade,
    values,
)

EARLY = get("/smuggled")
"""What would be a request if it were read as one."""


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("options", ["Upgrade", "keep-alive, Upgrade, X-Hop", "UPGRADE,X-Hop"])
def test_the_endpoint_is_asked_to_switch(method: str, options: str) -> None:
    key = "dGhlIHNhbXBsZSBub25jZQ=="

    async def script(visit: Visit) -> None:
        head = await visit.head()
        assert [value.lower() for value in values(head, "connection")] == ["upgrade"]
        assert values(head, "upgrade") == ["websocket"]
        assert values(head, "sec-websocket-key") == [key]
        assert values(head, "sec-websocket-version") == ["13"]
        assert values(head, "x-forwarded-for") == ["127.0.0.1"]
        assert values(head, "host") == ["shop.test"]
        assert head.startswith(f"{method} /chat?room=1 HTTP/1.1\r\n".encode())
        assert b"gone" not in head or "X-Hop" not in options
        await visit.send(switched("websocket"))
        await echoing(visit)

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            lines = ("Upgrade: websocket", f"Connection: {options}", "X-Hop: gone",
                     f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13")  # fmt: skip
            await enter(client, get("/chat?room=1", *lines, method=method))
            assert await echoes(client, b"\x81\x02hi")

    run(test)


def test_a_body_of_no_bytes_is_none() -> None:
    """As Docker's client asks to attach to a container."""

    async def test() -> None:
        async with (
            RawBackend(switching(echoing, switched("tcp"))) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            await enter(client, upgrade("/attach", "Content-Length: 0", method="POST", to="tcp"))
            assert await echoes(client, b"stdin")

    run(test)


def test_the_fields_of_the_101_reach_the_client() -> None:
    answer = (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: X-Hop, upgrade\r\n"
        b"X-Hop: gone\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"Sec-WebSocket-Protocol: chat\r\nX-Splitway-Decision: forged\r\nX-A: b\r\n\r\n"
    )

    async def test() -> None:
        async with (
            RawBackend(switching(echoing, answer)) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            head = await enter(client, upgrade(to="websocket"))
            assert [value.lower() for value in values(head, "connection")] == ["upgrade"]
            assert values(head, "upgrade") == ["websocket"]
            assert values(head, "sec-websocket-accept") == ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]
            assert values(head, "sec-websocket-protocol") == ["chat"]
            assert values(head, "x-a") == ["b"]
            for name in ("content-length", "transfer-encoding", "x-hop", "x-splitway-decision"):
                assert not values(head, name)
            assert await echoes(client, b"hi")

    run(test)


@pytest.mark.parametrize("behind", [b"", b"welcome"])
@pytest.mark.parametrize("size", [1, 200_000])
def test_no_byte_passes_before_the_101(size: int, behind: bytes) -> None:
    early = EARLY + b"e" * size
    gate = asyncio.Event()

    async def script(visit: Visit) -> None:
        assert (await visit.head()).endswith(b"\r\n\r\n")
        await visit.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await gate.wait()
        await visit.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        assert visit.received.endswith(b"\r\n\r\n")
        await visit.send(SWITCHED + behind)
        assert await visit.exactly(len(early) + 4) == early + b"late"
        await visit.send(b"got")

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            client.write(upgrade() + early[:20])
            assert b" 103 " in await client.head()
            client.write(early[20:])
            gate.set()
            assert b" 103 " in await client.head()
            assert b" 101 " in await client.head()
            assert await client.exactly(len(behind)) == behind
            await client.send(b"late")
            assert await client.exactly(3) == b"got"
            assert await ended(client) == "closed"
            client.finish()
            await all_over(running)

    run(test)


def test_early_bytes_are_not_piled_up() -> None:
    early = b"e" * 32_000_000
    gate = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        await gate.wait()
        assert visit.received.endswith(b"\r\n\r\n")
        await visit.send(SWITCHED)
        await visit.skip(len(early))
        await visit.send(b"got")

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            sending = asyncio.ensure_future(client.send(upgrade() + early))
            done, _ = await asyncio.wait((sending,), timeout=0.5)
            assert not done
            gate.set()
            assert b" 101 " in await client.head()
            assert await client.exactly(3) == b"got"
            await sending

    run(test)


@pytest.mark.parametrize("step", [1, 10_000])
def test_an_upgrade_behind_other_requests_waits_its_turn(step: int) -> None:
    async def script(visit: Visit) -> None:
        assert (await visit.head()).startswith(b"GET /1 ")
        await visit.send(said(b"one"))
        await switching(echoing)(visit)

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            raw = get("/1") + upgrade("/2") + b"early"
            for at in range(0, len(raw), step):
                await client.send(raw[at : at + step])
            assert (await client.answer()).body == b"one"
            await enter(client, b"")
            assert await client.exactly(5) == b"early"
            await running.counted({"GET 200": 1, "GET 101": 1})

    run(test)


def test_a_stale_connection_is_no_reason_to_fail_an_upgrade() -> None:
    async def script(visit: Visit) -> None:
        if visit.number:
            await switching(echoing)(visit)
        await visit.head()
        await visit.send(said(b"one"))
        await visit.head()  # and closes without a word

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            assert (await client.ask(get())).body == b"one"
            await enter(client, upgrade() + b"early")
            assert await client.exactly(5) == b"early"
            assert b"early" not in backend.visits[0].received

    run(test)


def test_a_client_that_leaves_before_the_101_is_let_go() -> None:
    over = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.end()
        over.set()

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            await client.send(upgrade())
            await eventually(lambda: bool(backend.visits and backend.visits[0].received))
            client.reset()
            await over.wait()
            await running.counted({"GET 499": 1})

    run(test)


def named(name: str) -> Script:
    """A version that says who it is, in answers and in tunnels."""

    async def script(visit: Visit) -> None:
        while not values(await visit.head(), "upgrade"):
            await visit.send(said(name.encode()))
        await visit.send(SWITCHED + b"%-6b" % name.encode())

    return script


def two_versions(stable: str, canary: str, sticky: Sticky) -> Config:
    service = Service(
        versions={"stable": Version(endpoints=(stable,)), "canary": Version(endpoints=(canary,))},
        weights={"stable": 50, "canary": 50},
        sticky=sticky,
    )
    return Config(services={"shop": service}, routes=(Route(service="shop"),))


async def version_of_tunnel(running: Running, *lines: str) -> tuple[str, bytes]:
    """Who answers in a user's tunnel, and the head of the 101."""
    async with RawClient(running.where) as client:
        head = await enter(client, upgrade("/", *lines))
        return (await client.exactly(6)).decode().strip(), head


def test_tunnels_lead_to_the_users_version() -> None:
    async def test() -> None:
        async with RawBackend(named("stable")) as stable, RawBackend(named("canary")) as canary:
            sticky = Sticky(key=(KeyFrom(header="X-User-Id"),))
            config = two_versions(stable.endpoint, canary.endpoint, sticky)
            async with Running(config) as running, RawClient(running.where) as client:
                seen = set()
                for number in range(30):
                    line = f"X-User-Id: user-{number}"
                    version = (await client.ask(get("/", line))).body.decode()
                    assert (await version_of_tunnel(running, line))[0] == version
                    seen.add(version)
                assert seen == {"stable", "canary"}

    run(test)


def test_a_101_brings_the_id_cookie() -> None:
    async def test() -> None:
        async with RawBackend(named("stable")) as stable, RawBackend(named("canary")) as canary:
            sticky = Sticky(key=(KeyFrom(generated=GeneratedId(cookie="who")),))
            config = two_versions(stable.endpoint, canary.endpoint, sticky)
            async with Running(config) as running, RawClient(running.where) as client:
                for _ in range(10):
                    version, head = await version_of_tunnel(running)
                    (cookie,) = values(head, "set-cookie")
                    line = "Cookie: " + cookie.partition(";")[0]
                    assert (await client.ask(get("/", line))).body.decode() == version

    run(test)
