"""Endpoints that die, hang, break off, vanish and come back under load: nothing is lost.

The rows are those of "Nothing lost" in the design's table of faults. Each runs load L, small here
and real by hand (``tests.support.load``), and reconciles the clients' journal with the back ends'.
"""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from tests.support.dnsmasq import Dnsmasq, needs_dnsmasq
from tests.support.load import CONNECTIONS, Load, begun_in, reconcile
from tests.support.road import die, free_port, until
from tests.support.site import Site, site

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(0 if "LOAD_SECONDS" in os.environ else 120)]

BY_HAND = "LOAD_SECONDS" in os.environ
"""Times are judged only by hand, on a machine with nothing else to do."""
OURS = frozenset((502, 503))
CLOCK_S = 0.01
"""A loop's clock stands still during a turn: what began late in one seems to have taken less."""


def traffic(*endpoints: str, of_service: str = "", of_route: str = "") -> str:
    listed = ", ".join(f'"{url}"' for url in endpoints)
    return (
        f"services:\n  shop:\n    versions: {{stable: {{endpoints: [{listed}]}}}}\n{of_service}"
        f"routes:\n  - {{service: shop{of_route}}}\n"
    )


def test_an_endpoint_is_killed(tmp_path: Path) -> None:
    """Row 3: one of three. Safe requests are tried again, and no client notices; POSTs that were
    under way fail visibly, and none is sent twice; the dead one is out within 2 s."""

    async def test() -> None:
        async with site(tmp_path) as here:
            urls = [await here.backend(name) for name in ("a", "b", "c")]
            outliers = "    outliers: {base_ejection_s: 300, interval_s: 1}\n"
            await here.proxy(traffic(*urls, of_service=outliers, of_route=", retry: {retries: 2}"))
            ejected_s = 0.0

            async def kill() -> None:
                nonlocal ejected_s
                await asyncio.sleep(1)
                loop = asyncio.get_running_loop()
                await die(here.backends["a"])
                killed = loop.time()

                async def is_out() -> bool:
                    return (await here.states())[urls[0]]["ejected"] == 1

                await until("the dead endpoint is ejected", is_out)
                ejected_s = loop.time() - killed

            load = here.load()
            await load.run(meanwhile=kill)
            reconcile(load, here.journals, may_lose=OURS)
            assert set(load.statuses("GET")) == {200}
            failed = [each for each in load.sent if each.status in OURS]
            assert len(failed) <= CONNECTIONS
            assert ejected_s <= 2.0
            after = here.load(prefix="after")
            await after.run(0.5)
            assert set(after.statuses()) == {200}
            await until("nothing is in hand", lambda: _is_zero(here))

    asyncio.run(test())


def test_an_endpoint_hangs(tmp_path: Path) -> None:
    """Row 4: 504 when the time is over; another route does not notice."""

    async def test() -> None:
        async with site(tmp_path) as here:
            hanging, well = await here.backend("hanging", "hang"), await here.backend("well")
            await here.proxy(
                "services:\n"
                f'  slow: {{versions: {{v1: {{endpoints: ["{hanging}"]}}}}, '
                "timeouts: {response_s: 0.5}}\n"
                f'  shop: {{versions: {{v1: {{endpoints: ["{well}"]}}}}}}\n'
                "routes:\n"
                "  - {match: {path: {prefix: /slow}}, service: slow}\n"
                "  - {service: shop}\n"
            )
            alone = here.load(prefix="alone")
            await alone.run()
            slow, fast = here.load("/slow", "slow"), here.load(prefix="fast")
            await asyncio.gather(slow.run(rate=30), fast.run())
            assert set(slow.statuses()) == {504}
            assert all(each.took_s >= 0.5 - CLOCK_S for each in slow.sent)
            journals = here.journals
            assert max(begun_in(journals).values()) == 1
            reconcile(slow, journals[:1], may_lose=frozenset((504,)))
            assert set(fast.statuses()) == set(alone.statuses()) == {200}
            if BY_HAND:
                late = sorted(each.took_s for each in slow.sent)
                before, beside = _p99(alone), _p99(fast)
                print(f"504 after {late[0]:.3f} to {late[-1]:.3f} s; p99 of the other route"  # noqa: T201
                      f" {beside * 1e3:.2f} ms beside, {before * 1e3:.2f} ms alone")  # fmt: skip
                assert late[-1] <= 0.6
            await until("nothing is in hand", lambda: _is_zero(here))

    asyncio.run(test())


def test_answers_break_off(tmp_path: Path) -> None:
    """Row 5, as a neighbour of row 7: the client sees that the rest is missing."""

    async def test() -> None:
        async with site(tmp_path) as here:
            await here.proxy(traffic(await here.backend("cutting", "truncate")))
            load = here.load()
            await load.run()
            cut = [each for each in load.sent if not each.whole]
            assert len(cut) >= len(load.sent) // 3
            assert all(each.status in (0, 200) for each in cut)
            assert all(each.intact for each in load.sent if each.whole)
            begun = begun_in(here.journals)
            assert all(count == 1 for (_, method), count in begun.items() if method == "POST")
            await until("nothing is in hand", lambda: _is_zero(here))

    asyncio.run(test())


def test_an_endpoint_is_a_black_hole(tmp_path: Path) -> None:
    """Row 6: connecting ends in time, another endpoint serves, nothing stays behind."""

    async def test() -> None:
        # Its queue is full, so that the kernel drops what would open a connection.
        with socket.create_server(("127.0.0.1", 0), backlog=0) as hole:
            where = hole.getsockname()
            plugs = [socket.socket() for _ in range(4)]
            for plug in plugs:
                plug.setblocking(False)
                plug.connect_ex(where)
            async with site(tmp_path) as here:
                well = await here.backend("well")
                black = f"http://127.0.0.1:{where[1]}"
                await here.proxy(
                    "services:\n"
                    f'  shop: {{versions: {{v1: {{endpoints: ["{black}", "{well}"]}}}}, '
                    "timeouts: {connect_s: 0.3}, outliers: {base_ejection_s: 300}}\n"
                    f'  lost: {{versions: {{v1: {{endpoints: ["{black}"]}}}}, '
                    "timeouts: {connect_s: 0.3}}\n"
                    "routes:\n"
                    "  - {match: {path: {prefix: /lost}}, service: lost}\n"
                    "  - {service: shop}\n"
                )
                load, lost = here.load(), here.load("/lost", "lost")
                await asyncio.gather(load.run(), lost.run(rate=20))
                reconcile(load, here.journals, may_lose=frozenset())
                assert set(lost.statuses()) == {504}
                assert all(each.took_s >= 0.3 - CLOCK_S for each in lost.sent)
                states = await here.states()
                assert states[well]["used"] == 1
                assert await here.metric("splitway_endpoint_ejections_total") == 1
                await until("nothing is in hand", lambda: _is_zero(here))
            for plug in plugs:
                plug.close()

    asyncio.run(test())


def test_endpoints_close_kept_connections_unannounced(tmp_path: Path) -> None:
    """Row 7: no error for what may be repeated; no POST twice."""

    async def test() -> None:
        async with site(tmp_path) as here:
            urls = [await here.backend(name, "stale") for name in ("a", "b")]
            await here.proxy(traffic(*urls))
            load = here.load()
            await load.run()
            reconcile(load, here.journals, may_lose=frozenset((502,)))
            assert set(load.statuses("GET")) == {200}
            await until("nothing is in hand", lambda: _is_zero(here))

    asyncio.run(test())


@needs_dnsmasq
def test_names_flap(tmp_path: Path) -> None:
    """Row 8: no such name, silence and an empty answer leave what was found last in use."""

    async def test() -> None:
        port = free_port()
        hosts = {"shop.test": ("127.0.0.1",)}
        async with site(tmp_path) as here, Dnsmasq(tmp_path, hosts) as dns:
            here.ports["a"] = port
            await here.backend("a")
            await here.proxy(
                traffic(f"dns://shop.test:{port}"),
                f'discovery: {{dns_servers: ["{dns.server}"], timeout_s: 0.5}}\n',
            )

            async def failures() -> float:
                return await here.metric("splitway_discovery_failures_total")

            async def is_told(trouble: str) -> bool:
                (source,) = await here.sources()
                return source["trouble"] == trouble and source["endpoints"] == 1

            async def flap() -> None:
                await dns.set({})
                await until("the name is gone", lambda: is_told("there is no such name"))
                dns.stall()
                await until("the server is silent", lambda: is_told("no answer in time"))
                dns.go_on()
                await dns.set({"shop.test": ("127.0.0.1",)})
                await until("it answers again", lambda: is_told(""))

            load = here.load()
            await load.run(meanwhile=flap)
            reconcile(load, here.journals, may_lose=frozenset())
            assert await failures() >= 2
            if BY_HAND:
                worst = max(each.took_s for each in load.sent)
                print(f"worst request {worst * 1e3:.1f} ms")  # noqa: T201

    asyncio.run(test())


@pytest.mark.parametrize("workers", [1, 2])
def test_endpoints_come_and_go(tmp_path: Path, workers: int) -> None:
    """They are found in a file; each is there for a while, and no request is lost."""

    async def test() -> None:
        async with site(tmp_path) as here:
            urls = [await here.backend(name) for name in ("a", "b", "c")]
            listed = tmp_path / "endpoints.yaml"

            def write(*chosen: str) -> None:
                new = tmp_path / "new.yaml"
                new.write_text("endpoints:\n" + "".join(f"  - {url}\n" for url in chosen))
                new.replace(listed)

            write(urls[0])
            await here.proxy(traffic(f"file://{listed}"), workers=workers)

            async def change() -> None:
                for chosen in ((urls[0], urls[1]), (urls[1],), (urls[1], urls[2]), (urls[2],)):
                    write(*chosen)

                    async def is_in_force(chosen: tuple[str, ...] = chosen) -> bool:
                        return set(await here.states()) == set(chosen)

                    await until(f"{chosen} are in force", is_in_force)

            load = here.load()
            await load.run(meanwhile=change)
            reconcile(load, here.journals, may_lose=frozenset())
            assert {each.backend for each in load.sent} == {"a", "b", "c"}
            after = here.load(prefix="after")
            await after.run(0.5)
            assert {each.backend for each in after.sent} == {"c"}
            await until("nothing is in hand", lambda: _is_zero(here))

    asyncio.run(test())


async def _is_zero(here: Site) -> bool:
    return await here.in_flight() == 0


def _p99(load: Load) -> float:
    took = sorted(each.took_s for each in load.sent)
    return took[int(0.99 * len(took))]
