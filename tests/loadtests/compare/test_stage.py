"""Processes are ready when they answer, and none is left, whatever happens."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from loadtests.compare.stage import (
    Cores,
    NotReady,
    Stage,
    ToolFailed,
    cores_of,
    free_ports,
    pinned,
    until_ready,
)
from loadtests.demo.children import ChildDied
from tests.support.road import ROOT, until

ALONE = Cores(None, None)
LASTING = [sys.executable, "-c", "import signal; signal.pause()"]


def staged(folder: Path, test: Callable[[Stage], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30), Stage(folder, ALONE, ROOT) as stage:
            await test(stage)

    asyncio.run(bounded())


def ended(pid: int) -> bool:
    """Gone, or a zombie that nobody has looked after yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_what_is_left_of_a_group_is_ended_too(tmp_path: Path) -> None:
    pids: list[int] = []

    async def test(stage: Stage) -> None:
        script = "sleep 600 & echo $! $$; wait"
        child = await stage.start("master", ["sh", "-c", script])

        async def told() -> bool:
            return len(child.log.read_text().split()) == 2

        await until("it tells its worker", told)
        pids[:] = map(int, child.log.read_text().split())
        assert not ended(pids[0])

    staged(tmp_path, test)

    async def both() -> bool:
        return all(map(ended, pids))

    asyncio.run(until("master and worker are ended", both))


def test_an_error_ends_what_runs(tmp_path: Path) -> None:
    pids: list[int] = []

    async def test(stage: Stage) -> None:
        pids.append((await stage.start("one", LASTING)).process.pid)
        raise LookupError("on the way")

    with pytest.raises(LookupError):
        staged(tmp_path, test)
    assert ended(pids[0])


def test_at_once_for_those_who_cannot_wait(tmp_path: Path) -> None:
    async def test(stage: Stage) -> None:
        stubborn = await stage.start("stubborn", ["sh", "-c", "trap '' TERM; while :; do :; done"])
        stage.kill_all()
        assert await stubborn.process.wait() == -9

    staged(tmp_path, test)


def test_ready_is_the_first_200(tmp_path: Path) -> None:
    async def test(stage: Stage) -> None:
        ports = free_ports(2)
        command = [sys.executable, "-m", "loadtests.compare.backend", *map(str, ports)]
        child = await stage.start("backend", command)
        for port in ports:
            await until_ready(child, port)

    staged(tmp_path, test)


def test_a_process_that_ends_is_never_ready(tmp_path: Path) -> None:
    async def test(stage: Stage) -> None:
        child = await stage.start("broken", ["sh", "-c", "echo wrong file; exit 3"])
        with pytest.raises(ChildDied, match=r"exit code 3[^$]*wrong file"):
            await until_ready(child, free_ports(1)[0])

    staged(tmp_path, test)


def test_a_process_that_never_answers_is_told(tmp_path: Path) -> None:
    async def test(stage: Stage) -> None:
        child = await stage.start("mute", LASTING)
        with pytest.raises(NotReady, match="mute did not answer in 0 s"):
            await until_ready(child, free_ports(1)[0], within_s=0)

    staged(tmp_path, test)


def test_a_tool_gives_what_it_printed(tmp_path: Path) -> None:
    async def test(stage: Stage) -> None:
        assert await stage.tool("echo", ["echo", "figures"]) == "figures\n"
        with pytest.raises(ToolFailed, match=r"exit code 4:\nwhy"):
            await stage.tool("broken", ["sh", "-c", "echo why; exit 4"])

    staged(tmp_path, test)


def test_figures_of_a_proxy_that_died_are_not_taken(tmp_path: Path) -> None:
    async def test(stage: Stage) -> None:
        proxy = await stage.start("proxy", ["sh", "-c", "exit 5"])
        await proxy.process.wait()
        with pytest.raises(ChildDied, match="exit code 5"):
            await stage.tool("load", ["true"], proxy)

    staged(tmp_path, test)


def test_proxy_and_load_have_a_cpu_each_where_there_are_two() -> None:
    assert cores_of({5, 3, 4}) == Cores(3, 4)
    assert cores_of({7}) == Cores(None, None)
    assert pinned(["wrk"], None) == ["wrk"]
    assert pinned(["wrk"], 4)[-3:] == ["--cpu-list", "4", "wrk"]


def test_ports_are_different() -> None:
    assert len(set(free_ports(20))) == 20
