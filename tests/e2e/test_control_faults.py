"""Row 9 of the design's table of faults: the control plane is killed, stalls, sends garbage, breaks
off, comes back, comes back older. No request fails, and every proxy ends on what is newest."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from loadtests.demo.children import Child
from tests.support.load import reconcile
from tests.support.relay import Relay
from tests.support.road import die, until
from tests.support.site import Site, site

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

GARBAGE = (
    b"\x00\xff\xfe garbage " * 40,  # no frame
    b'\x81\x0c{"type": 1}\n',  # a frame, no message
    b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff",  # a frame of 2^64 bytes
)


class Scene:
    """A proxy that follows a control plane through a relay."""

    def __init__(self, here: Site, relay: Relay, control: Child, proxy: Child) -> None:
        self.here = here
        self.road = here.road
        self.relay = relay
        self.control = control
        self.proxy = proxy
        self.loads = 0

    async def change(self, canary: int) -> int:
        weights = {"stable": 100 - canary, "canary": canary}
        return await asyncio.to_thread(self.road.control.put_weights, "shop", weights, "test")

    async def revision(self) -> int:
        return int(await self.road.metric("splitway_config_revision"))

    async def follows(self, revision: int) -> None:
        """It does within 5 s of the end of the fault, as is promised; the rest is this machine."""

        async def is_there() -> bool:
            return await self.revision() == revision

        await until(f"revision {revision} is in force", is_there, within_s=10.0)

    async def is_connected(self) -> bool:
        return await self.road.metric("splitway_control_connected") == 1

    async def is_alone(self) -> bool:
        return not await self.is_connected()

    async def unfelt(self, fault: Callable[[], Awaitable[None]]) -> None:
        """The fault happens under load, and nobody notices."""
        self.loads += 1
        load = self.here.load(prefix=f"load{self.loads}")
        await load.run(meanwhile=fault)
        reconcile(load, self.here.journals, may_lose=frozenset())


def keep(folder: Path, name: str, copy: str) -> None:
    """Copy a store that nobody has open, with its log."""
    for more in ("", "-wal", "-shm"):
        (folder / f"{copy}.db{more}").unlink(missing_ok=True)
        if (folder / f"{name}.db{more}").exists():
            shutil.copy(folder / f"{name}.db{more}", folder / f"{copy}.db{more}")


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    async with site(folder) as here:
        road = here.road
        for version in ("stable", "canary"):
            road.samples[version] = await here.backend(version)
        control = await road.start_control()
        async with Relay(road.control_port) as relay:
            text = road.following().replace(f":{road.control_port}", f":{relay.port}")
            proxy = await road.start_proxy(text)
            await asyncio.to_thread(road.control.put_config, road.traffic(stable=90, canary=10))
            await road.ready()
            yield Scene(here, relay, control, proxy)


def test_a_control_plane_is_killed_and_comes_back(tmp_path: Path) -> None:
    """The proxy starts anew meanwhile, by the last good snapshot."""

    async def test() -> None:
        async with scene(tmp_path) as on:
            newest = await on.change(20)
            await on.follows(newest)

            async def kill() -> None:
                await die(on.control)
                await until("the stream is gone", on.is_alone)

            await on.unfelt(kill)
            assert await on.revision() == newest
            on.proxy.process.terminate()
            assert await asyncio.wait_for(on.proxy.process.wait(), 20) == 0
            text = (tmp_path / "proxy.yaml").read_text()
            await on.road.start_proxy(text)
            await on.road.ready()
            assert await on.revision() == newest

            async def return_() -> None:
                await on.road.start_control()
                await on.follows(await on.change(30))

            await on.unfelt(return_)

    asyncio.run(test())


def test_a_control_plane_that_stalls(tmp_path: Path) -> None:
    async def test() -> None:
        async with scene(tmp_path) as on:

            async def stall() -> None:
                on.relay.stall()
                newest = await on.change(20)
                await on.change(25)
                newest = await on.change(30)
                on.relay.go_on()
                await on.follows(newest)

            await on.unfelt(stall)

    asyncio.run(test())


def test_a_control_plane_that_sends_garbage(tmp_path: Path) -> None:
    async def test() -> None:
        async with scene(tmp_path) as on:
            before = await on.revision()

            async def garble() -> None:
                for step, garbage in enumerate(GARBAGE):
                    on.relay.garble(garbage)
                    await on.follows(await on.change(20 + step))
                    await until("the stream is up", on.is_connected)

            await on.unfelt(garble)
            assert await on.revision() == before + len(GARBAGE)
            assert await on.road.metric("splitway_config_rejected_total") == 0

    asyncio.run(test())


def test_a_snapshot_that_is_cut_off(tmp_path: Path) -> None:
    """At several places of its frame; each time the whole one follows."""

    async def test() -> None:
        async with scene(tmp_path) as on:

            async def cut() -> None:
                for step, after_bytes in enumerate((1, 3, 40, 200)):
                    on.relay.cut(after_bytes)
                    await on.follows(await on.change(20 + step))
                    await until("the stream is up", on.is_connected)

            await on.unfelt(cut)

    asyncio.run(test())


def test_an_older_revision_never_replaces_a_newer(tmp_path: Path) -> None:
    """The store is put back from an older copy: the proxy stays until its revision is passed."""

    async def test() -> None:
        async with scene(tmp_path) as on:
            await on.follows(await on.change(11))
            await die(on.control)
            keep(tmp_path, "store", "older")
            control = await on.road.start_control()
            newest = await on.change(12)
            await on.follows(newest)
            await die(control)
            keep(tmp_path, "older", "store")
            seen = set()

            async def older() -> None:
                await on.road.start_control()
                await until("the stream is up", on.is_connected)
                assert await on.change(13) == newest  # numbered again, with another content
                for _ in range(20):
                    seen.add(await on.revision())
                    await asyncio.sleep(0.05)
                await on.follows(await on.change(14))

            await on.unfelt(older)
            assert seen == {newest}

    asyncio.run(test())
