"""The whole road: weights move through the API while users are served; parts are killed."""

import asyncio
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Self

import pytest

from proxy.core.slot import seed_of, slot_of
from proxy.core.split import canonical_table
from tests.support.road import Road, die, road, until, worker_pids

pytestmark = pytest.mark.e2e

USERS = [f"user-{number}" for number in range(300)]


def expected(user: str, weights: dict[str, int]) -> str:
    return canonical_table(weights).version_at(slot_of(user.encode(), seed_of("shop")))


class Load:
    """Requests without a pause until it is left; every answer must be a success."""

    def __init__(self, built: Road) -> None:
        self._built = built
        self._task: asyncio.Task[None] | None = None
        self.seen: dict[str, list[str]] = {user: [] for user in USERS}
        self.sent = 0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        failed = self._task.done()
        self._task.cancel()
        result = (await asyncio.gather(self._task, return_exceptions=True))[0]
        assert not failed, result

    async def another(self, requests: int) -> None:
        """Wait until so many more requests were answered."""
        goal = self.sent + requests

        async def reached() -> bool:
            assert self._task is not None
            if self._task.done():
                self._task.result()
            return self.sent >= goal

        await until(f"{requests} more requests", reached)

    async def _run(self) -> None:
        while True:
            for user in USERS:
                version = await self._built.version_of(user)
                self.sent += 1
                if self.seen[user][-1:] != [version]:
                    self.seen[user].append(version)


def test_weights_move_live_and_only_who_must_moves(tmp_path: Path) -> None:
    async def run() -> None:
        async with road(tmp_path, "stable", "canary") as built:
            await built.start_control()
            await built.start_proxy(built.following())
            assert not await built.answers(built.admin + "/readyz"), "nothing to serve yet"
            control = built.control
            await asyncio.to_thread(control.put_config, built.traffic(stable=99, canary=1))
            await built.ready()
            async with Load(built) as load:
                await load.another(len(USERS))
                for canary in (20, 50):
                    weights = {"stable": 100 - canary, "canary": canary}
                    revision = await asyncio.to_thread(control.put_weights, "shop", weights, "test")
                    await asyncio.to_thread(control.await_settled, revision)
                    await load.another(2 * len(USERS))
            for user, versions in load.seen.items():
                first, last = (
                    expected(user, {"stable": 100 - share, "canary": share}) for share in (1, 50)
                )
                assert versions == ([first, last] if first != last else [first]), user
            assert await built.metric("splitway_config_rejected_total") == 0

    asyncio.run(run())


def test_every_part_may_die_and_users_stay_where_they_are(tmp_path: Path) -> None:
    async def run() -> None:
        async with road(tmp_path, "stable", "canary") as built:
            control_plane = await built.start_control()
            proxy = await built.start_proxy(built.following(), workers=2)
            await asyncio.to_thread(built.control.put_config, built.traffic(stable=60, canary=40))
            await built.ready()
            before = await built.versions_of(USERS)
            assert set(before.values()) == {"stable", "canary"}
            counted = await built.metric("splitway_requests_total")

            await die(control_plane)
            assert await built.versions_of(USERS) == before

            os.kill(worker_pids(proxy)[0], signal.SIGKILL)

            async def replaced() -> bool:
                return await built.metric("splitway_worker_restarts_total") == 1

            await until("the worker is replaced", replaced)
            assert await built.metric("splitway_requests_total") >= counted
            assert await built.versions_of(USERS) == before

            # The proxy starts anew while there is no control plane.
            proxy.process.terminate()
            assert await asyncio.wait_for(proxy.process.wait(), 20) == 0
            proxy = await built.start_proxy(built.following())
            await built.ready()
            assert await built.versions_of(USERS) == before
            assert await built.metric("splitway_control_connected") == 0

            await built.start_control()

            async def connected() -> bool:
                return await built.metric("splitway_control_connected") == 1

            await until("the proxy is back on the stream", connected)
            assert await built.versions_of(USERS) == before

    asyncio.run(run())


def test_a_killed_worker_takes_no_other_connection_with_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with road(tmp_path, "stable", "canary") as built:
            proxy = await built.start_proxy(
                built.config(built.traffic(stable=50, canary=50)), workers=2
            )
            await built.ready()
            for pid in worker_pids(proxy):
                os.kill(pid, signal.SIGKILL)
            # What waits in a dead worker's queue is served by its successor.
            await asyncio.gather(*(built.version_of(user) for user in USERS[:40]))

    asyncio.run(run())


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here")
def test_promtool_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    async def run() -> None:
        async with road(tmp_path, "stable", "canary") as built:
            await built.start_proxy(built.config(built.traffic(stable=50, canary=50)), workers=2)
            await built.ready()
            await built.versions_of(USERS[:20])
            metrics = await built.metrics()
            checked = await asyncio.to_thread(
                subprocess.run,
                ["promtool", "check", "metrics"],
                input=metrics.encode(),
                capture_output=True,
                check=False,
            )
            assert checked.returncode == 0, checked.stdout + checked.stderr
            assert checked.stdout + checked.stderr == b""

    asyncio.run(run())
