import asyncio
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from controlplane.stream.handler import MAX_MESSAGE_BYTES
from proxy.core.split import decode
from proxy.model.errors import Problem
from proxy.model.wire import Ack, Hello
from tests.controlplane.support import DOCUMENT, SHOP, TOKEN, Api, Proxy, control


def test_a_change_is_pushed_and_acks_are_shown(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api, api.proxy("p1") as proxy:
            await api.push()
            first = await proxy.snapshot()
            assert (first.revision, first.traffic.services["shop"].weights["canary"]) == (1, 5)
            assert decode(first.tables["shop"]).counts() == {"stable": 9500, "canary": 500}
            await proxy.ack(1)
            await api.set_weights(stable=80, canary=20)
            second = await proxy.snapshot()
            assert (second.revision, second.store) == (2, first.store)
            (info,) = await api.proxies()
            assert (info["instance"], info["connected"]) == ("p1", True)
            assert (info["revision"], info["target"], info["address"]) == (1, 2, "127.0.0.1")
            service = (await api.get("/v1/services/shop")).body
            assert service["proxies"] == {"connected": 1, "on_newest": 0}
            await proxy.ack(2)
            service = (await api.get("/v1/services/shop")).body
            assert service["proxies"] == {"connected": 1, "on_newest": 1}

    asyncio.run(scenario())


def test_a_refusal_is_shown_until_a_newer_revision_is_in_force(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api, api.proxy() as proxy:
            await api.push()
            await proxy.snapshot()
            await proxy.nack(1, Problem("services.shop", "cannot resolve"))
            (info,) = await api.proxies()
            assert (info["revision"], info["refused"]) == (0, 1)
            assert info["problems"][0]["message"] == "cannot resolve"
            await api.set_weights(stable=1)
            await proxy.snapshot()
            await proxy.ack(2)
            (info,) = await api.proxies()
            assert (info["revision"], info["refused"], info["problems"]) == (2, None, [])

    asyncio.run(scenario())


def test_the_same_weights_again_are_not_pushed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            async with api.proxy() as proxy:
                await proxy.snapshot()
                await api.push()
                await api.set_weights(stable=95, canary=5)
                await proxy.settle()  # fails if a snapshot came

    asyncio.run(scenario())


def test_who_reconnects_is_sent_only_what_it_has_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            async with api.proxy() as proxy:
                store = (await proxy.snapshot()).store
            await api.until_proxies(False)
            async with api.proxy(store=store, revision=1) as proxy:
                await proxy.settle()
                (info,) = await api.proxies()
                assert (info["connected"], info["revision"]) == (True, 1)
            await api.set_weights(stable=1)
            async with api.proxy(store=store, revision=1) as proxy:
                assert (await proxy.snapshot()).revision == 2
            async with api.proxy(store="another", revision=2) as proxy:
                assert (await proxy.snapshot()).revision == 2

    asyncio.run(scenario())


def test_one_that_does_not_read_delays_nobody_and_gets_the_newest(tmp_path: Path) -> None:
    """Snapshots of 1.5 MB: far more than the sockets between the two will hold."""
    big = [f"http://{'x' * 60}.{'y' * 60}.{'z' * 60}:{port}" for port in range(1, 8_001)]
    document: dict[str, Any] = {
        "services": {"shop": SHOP, "big": {"versions": {"only": {"endpoints": big}}}}
    }

    def small_buffers(info: Any) -> socket.socket:
        made = socket.socket(info[0], info[1], info[2])
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        return made

    async def scenario() -> None:
        connector = aiohttp.TCPConnector(socket_factory=small_buffers)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            control(tmp_path) as api,
            aiohttp.ClientSession(headers=headers, connector=connector) as session,
            Api(api.url, session).proxy("slow") as slow,
            api.proxy("fast") as fast,
        ):
            await api.push(document)
            assert (await fast.snapshot()).revision == 1
            for canary in range(1, 12):
                number = await api.set_weights(stable=100, canary=canary)
                assert (await fast.snapshot()).revision == number
            seen = [(await slow.snapshot()).revision]
            while seen[-1] != number:
                seen.append((await slow.snapshot()).revision)
            assert seen == sorted(set(seen))
            assert len(seen) < number

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "[]",
        '{"type":"hello"}',
        '{"type":"hello","instance":"","release":"1"}',
        '{"type":"ack","revision":1}',
        '{"type":"nack","revision":1,"problems":[]}',
        '{"type":"snapshot","revision":9,"traffic":{}}',
        "[" * 100_000,
    ],
)
def test_what_is_no_hello_ends_its_own_connection_only(tmp_path: Path, text: str) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api, api.proxy("good") as good, api.stream() as bad:
            await good.settle()
            await bad.socket.send_str(text)
            assert await bad.closed_with() == aiohttp.WSCloseCode.POLICY_VIOLATION
            await api.push()
            assert (await good.snapshot()).revision == 1
            assert [info["instance"] for info in await api.proxies()] == ["good"]

    asyncio.run(scenario())


async def _second_hello(bad: Proxy) -> None:
    await bad.say(Hello("p2", "1.0"))


async def _ack_of_the_future(bad: Proxy) -> None:
    await bad.say(Ack(7))


async def _ack_of_nothing(bad: Proxy) -> None:
    await bad.say(Ack(0))


async def _binary(bad: Proxy) -> None:
    await bad.socket.send_bytes(b"\x00\x01")


async def _too_long(bad: Proxy) -> None:
    await bad.socket.send_str("x" * (MAX_MESSAGE_BYTES + 1))


async def _not_utf8(bad: Proxy) -> None:
    await bad.socket.send_frame(b"\xff\xfe", aiohttp.WSMsgType.TEXT)


@pytest.mark.parametrize(
    ("misbehave", "code"),
    [
        (_second_hello, aiohttp.WSCloseCode.POLICY_VIOLATION),
        (_ack_of_the_future, aiohttp.WSCloseCode.POLICY_VIOLATION),
        (_ack_of_nothing, aiohttp.WSCloseCode.POLICY_VIOLATION),
        (_binary, aiohttp.WSCloseCode.UNSUPPORTED_DATA),
        (_too_long, aiohttp.WSCloseCode.MESSAGE_TOO_BIG),
        (_not_utf8, aiohttp.WSCloseCode.INVALID_TEXT),
    ],
)
def test_breaking_the_rules_ends_ones_own_connection_only(
    tmp_path: Path, misbehave: Any, code: int
) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            async with api.proxy("good") as good, api.proxy("bad") as bad:
                await good.snapshot()
                await bad.snapshot()
                await misbehave(bad)
                assert await bad.closed_with() == code
                await api.until_proxies(True, False)
                await api.set_weights(stable=1)
                assert (await good.snapshot()).revision == 2

    asyncio.run(scenario())


def test_a_connection_cut_without_goodbye_is_noticed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push(DOCUMENT)
            async with api.proxy("p1") as proxy:
                await proxy.snapshot()
                transport = proxy.socket.get_extra_info("socket")
                transport.shutdown(socket.SHUT_RDWR)
                (info,) = await api.until_proxies(False)
                assert info["disconnected_at"] is not None

    asyncio.run(scenario())


def test_who_says_nothing_is_sent_away(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path, hello_s=0.05) as api, api.stream() as silent:
            assert await silent.closed_with() == aiohttp.WSCloseCode.POLICY_VIOLATION
            assert await api.proxies() == []

    asyncio.run(scenario())


def test_who_leaves_before_hello_leaves_nothing_behind(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            async with api.stream():
                pass
            assert await api.proxies() == []

    asyncio.run(scenario())


def test_a_stopping_control_plane_says_goodbye(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"})
            proxy = await session.ws_connect(f"{api.url}/v1/stream")
            await proxy.send_str('{"type":"hello","instance":"p1","release":"1"}')
            await proxy.receive_str()
            goodbye = asyncio.create_task(proxy.receive())
        assert (await goodbye).type is aiohttp.WSMsgType.CLOSE
        assert proxy.close_code == aiohttp.WSCloseCode.GOING_AWAY
        await session.close()

    asyncio.run(scenario())


def test_one_that_has_not_said_hello_hears_the_goodbye_and_holds_up_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"})
        async with control(tmp_path, hello_s=3600.0) as api:
            await api.push()
            silent = await session.ws_connect(f"{api.url}/v1/stream")
            goodbye = asyncio.create_task(silent.receive())
        assert (await goodbye).type is aiohttp.WSMsgType.CLOSE
        assert silent.close_code == aiohttp.WSCloseCode.GOING_AWAY
        await session.close()

    asyncio.run(scenario())
