"""Endpoints found by DNS, at a real server that forgets, stalls and changes its mind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.discovery.names import DnsFinder
from proxy.model.config import Discovery, Endpoint
from proxy.model.source import parse_source
from tests.support.dnsmasq import Dnsmasq, needs_dnsmasq
from tests.support.heard import Heard, hearing, soon
from tests.support.running import run

pytestmark = needs_dnsmasq


@asynccontextmanager
async def finding(url: str, server: str, *, timeout_s: float = 2.0) -> AsyncIterator[Heard]:
    source = parse_source(url)
    assert source is not None
    ending = False
    resting = asyncio.Event()

    async def wait(seconds: float) -> None:
        if ending:  # between two questions: whoever is cut off in one leaves its socket to the GC
            resting.set()
            await asyncio.Event().wait()
        await soon(seconds)

    settings = Discovery(dns_servers=(server,), timeout_s=timeout_s)
    async with hearing(DnsFinder(source, settings, lambda: 0.5, wait=wait)) as heard:
        yield heard
        ending = True
        await resting.wait()


def test_every_address_of_a_name(tmp_path: Path) -> None:
    async def test() -> None:
        hosts = {"shop.test": ("127.0.0.2", "127.0.0.3")}
        async with (
            Dnsmasq(tmp_path, hosts) as dns,
            finding("dns://shop.test:8080", dns.server) as heard,
        ):
            await heard.until(lambda: bool(heard.found))
            assert heard.urls() == ["http://127.0.0.2:8080", "http://127.0.0.3:8080"]
            await dns.set({"shop.test": ("127.0.0.3", "127.0.0.4")})
            await heard.until(lambda: "http://127.0.0.4:8080" in heard.urls())
            assert heard.urls() == ["http://127.0.0.3:8080", "http://127.0.0.4:8080"]
            assert heard.failed == []

    run(test)


def test_ipv6_only_where_there_is_no_ipv4(tmp_path: Path) -> None:
    async def test() -> None:
        hosts = {"both.test": ("127.0.0.2", "::2"), "six.test": ("::3",)}
        async with Dnsmasq(tmp_path, hosts) as dns:
            async with finding("dns://both.test:80", dns.server) as heard:
                await heard.until(lambda: bool(heard.found))
                assert heard.urls() == ["http://127.0.0.2:80"]
            async with finding("dns://six.test:80", dns.server) as heard:
                await heard.until(lambda: bool(heard.found))
                assert heard.urls() == ["http://[::3]:80"]

    run(test)


def test_a_name_that_is_gone_an_empty_answer_and_a_silent_server_are_failures(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        hosts = {"shop.test": ("127.0.0.2",)}
        async with (
            Dnsmasq(tmp_path, hosts, ["txt-record=text.test,hello"]) as dns,
            finding("dns://shop.test:80", dns.server, timeout_s=0.3) as heard,
            finding("dns://text.test:80", dns.server) as empty,
        ):
            await heard.until(lambda: bool(heard.found))
            await dns.set({})
            await heard.until(lambda: "there is no such name" in heard.failed)
            dns.stall()
            await heard.until(lambda: "no answer in time" in heard.failed)
            dns.go_on()
            await dns.set(hosts)
            before = len(heard.found)
            await heard.until(lambda: len(heard.found) > before)
            assert {len(found) for found in heard.found} == {1}
            await empty.until(lambda: "the answer is empty" in empty.failed)
            assert empty.found == []

    run(test)


def test_the_loop_is_free_while_a_server_stalls(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            Dnsmasq(tmp_path, {"shop.test": ("127.0.0.2",)}) as dns,
            finding("dns://shop.test:80", dns.server, timeout_s=0.5) as heard,
        ):
            await heard.until(lambda: bool(heard.found))
            dns.stall()
            turns = 0
            while "no answer in time" not in heard.failed:
                await asyncio.sleep(0.01)
                turns += 1
            assert turns >= 10

    run(test)


def test_service_records(tmp_path: Path) -> None:
    """The lowest priority alone counts; weights are the endpoints'."""

    async def test() -> None:
        hosts = {"a.test": ("127.0.0.2",), "b.test": ("127.0.0.3",), "c.test": ("127.0.0.4",)}
        records = [
            "srv-host=_http._tcp.shop.test,a.test,8001,1,30",
            "srv-host=_http._tcp.shop.test,b.test,8002,1,10",
            "srv-host=_http._tcp.shop.test,c.test,8003,2,10",
        ]
        async with (
            Dnsmasq(tmp_path, hosts, records) as dns,
            finding("dns+srv://_http._tcp.shop.test", dns.server) as heard,
        ):
            await heard.until(lambda: bool(heard.found))
            assert heard.found[0] == (
                Endpoint("http://127.0.0.2:8001", 30),
                Endpoint("http://127.0.0.3:8002", 10),
            )

    run(test)


def test_one_target_without_an_address_does_not_spoil_the_others(tmp_path: Path) -> None:
    async def test() -> None:
        records = [f"srv-host=_http._tcp.shop.test,{name}.test,80,0,1" for name in ("a", "gone")]
        async with (
            Dnsmasq(tmp_path, {"a.test": ("127.0.0.2",)}, records) as dns,
            finding("dns+srv://_http._tcp.shop.test", dns.server) as heard,
        ):
            await heard.until(lambda: bool(heard.found))
            assert heard.urls() == ["http://127.0.0.2:80"]
            assert heard.failed == []

    run(test)


def test_heavy_weights_keep_their_proportion(tmp_path: Path) -> None:
    async def test() -> None:
        hosts = {"a.test": ("127.0.0.2",), "b.test": ("127.0.0.3",), "c.test": ("127.0.0.4",)}
        records = [
            f"srv-host=_http._tcp.shop.test,{name}.test,80,0,{weight}"
            for name, weight in (("a", 60_000), ("b", 3_000), ("c", 0))
        ]
        async with (
            Dnsmasq(tmp_path, hosts, records) as dns,
            finding("dns+srv://_http._tcp.shop.test", dns.server) as heard,
        ):
            await heard.until(lambda: bool(heard.found))
            assert [each.weight for each in heard.found[0]] == [1_000, 50, 1]

    run(test)


def test_weights_of_zero_are_equal_shares(tmp_path: Path) -> None:
    async def test() -> None:
        hosts = {"a.test": ("127.0.0.2",), "b.test": ("127.0.0.3",)}
        records = [f"srv-host=_http._tcp.shop.test,{name}.test,80,0,0" for name in "ab"]
        async with (
            Dnsmasq(tmp_path, hosts, records) as dns,
            finding("dns+srv://_http._tcp.shop.test", dns.server) as heard,
        ):
            await heard.until(lambda: bool(heard.found))
            assert [each.weight for each in heard.found[0]] == [1, 1]

    run(test)


def test_pauses_follow_the_ttl_within_bounds(tmp_path: Path) -> None:
    async def test() -> None:
        source = parse_source("dns://shop.test:80")
        assert source is not None
        pauses: list[float] = []
        enough = asyncio.Event()

        async def wait(seconds: float) -> None:
            pauses.append(seconds)
            enough.set()
            await asyncio.Event().wait()

        for ttl, most, expected in ((30, 60.0, 31.5), (300, 60.0, 63.0), (0, 60.0, 1.05)):
            pauses.clear()
            enough.clear()
            records = [f"host-record=shop.test,127.0.0.2,{ttl}"]
            async with Dnsmasq(tmp_path, {}, records) as dns:
                settings = Discovery(dns_servers=(dns.server,), max_ttl_s=most)
                async with hearing(DnsFinder(source, settings, lambda: 0.5, wait=wait)) as heard:
                    await enough.wait()
            assert heard.failed == []
            assert pauses == [pytest.approx(expected)]

    run(test)
