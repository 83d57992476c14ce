import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from loadtests.demo.children import Child, Children

UP = "print('up', flush=True); import signal; signal.pause()"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('up', flush=True); signal.pause()"
)
POLITE = (
    "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0));"
    "print('up', flush=True); signal.pause()"
)

pytestmark = pytest.mark.e2e


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def on_children(tmp_path: Path, work: Callable[[Children], Awaitable[None]]) -> None:
    async def run() -> None:
        async with Children(tmp_path) as children:
            await work(children)

    asyncio.run(run())


async def until_up(child: Child) -> None:
    while "up" not in child.tail():  # noqa: ASYNC110 - a growing file is no event
        await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_death_is_told_with_the_end_of_the_log(tmp_path: Path) -> None:
    async def work(children: Children) -> None:
        await children.start("steady", python(UP))
        await children.start("faller", python("print('last words'); raise SystemExit(3)"))
        death = await children.first_death()
        assert str(death).startswith("faller (pid ")
        assert "ended with exit code 3" in str(death)
        assert str(death).endswith("last words")

    on_children(tmp_path, work)


def test_a_death_by_signal_is_named(tmp_path: Path) -> None:
    async def work(children: Children) -> None:
        child = await children.start("victim", python(UP))
        child.kill()
        assert "ended by SIGKILL" in str(await children.first_death())

    on_children(tmp_path, work)


def test_the_end_of_a_process_that_is_not_lasting_is_no_death(tmp_path: Path) -> None:
    async def work(children: Children) -> None:
        death = asyncio.create_task(children.first_death())
        passing = await children.start("passing", python("pass"), lasting=False)
        await passing.process.wait()
        faller = await children.start("faller", python("pass"))
        assert "faller" in str(await death)
        assert faller.process.returncode == 0

    on_children(tmp_path, work)


def test_leaving_ends_every_process_and_leaves_none_behind(tmp_path: Path) -> None:
    async def run() -> tuple[list[Child], list[str]]:
        async with Children(tmp_path) as children:
            started = [await children.start(f"c{n}", python(POLITE)) for n in range(3)]
            for child in started:
                await until_up(child)
        return started, children.killed

    started, killed = asyncio.run(run())
    assert [child.process.returncode for child in started] == [0, 0, 0]
    assert killed == []
    assert not any(is_alive(child.process.pid) for child in started)


def test_who_does_not_leave_in_time_is_killed(tmp_path: Path) -> None:
    async def work(children: Children) -> None:
        child = await children.start("stubborn", python(STUBBORN), lasting=False)
        await until_up(child)
        assert not await child.end(within_s=0.05)
        assert child.process.returncode == -signal.SIGKILL
        assert await child.end()

    on_children(tmp_path, work)


def test_the_impatient_can_kill_all(tmp_path: Path) -> None:
    async def run() -> list[Child]:
        async with Children(tmp_path) as children:
            started = [await children.start(f"c{n}", python(STUBBORN)) for n in range(2)]
            for child in started:
                await until_up(child)
            children.kill_all()
        return started

    assert [child.process.returncode for child in asyncio.run(run())] == [-9, -9]


def test_ctrl_c_in_the_terminal_reaches_only_the_demo(tmp_path: Path) -> None:
    async def work(children: Children) -> None:
        child = await children.start("apart", python(UP))
        assert os.getpgid(child.process.pid) != os.getpgid(0)

    on_children(tmp_path, work)


def test_environment_and_output(tmp_path: Path) -> None:
    async def work(children: Children) -> None:
        code = "import os, sys; print(os.environ['X']); print('err', file=sys.stderr)"
        child = await children.start("teller", python(code), {"X": "told"}, lasting=False)
        await child.process.wait()
        assert sorted(child.tail().split()) == ["err", "told"]
        assert child.log == tmp_path / "teller.log"

    on_children(tmp_path, work)
