import asyncio
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from loadtests.demo.children import Child, Children
from loadtests.sample.__main__ import parse_arguments

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        ["--version=a", "--port=http"],
        ["--version=a", "--delay-ms=-1"],
        ["--version=a", "--delay-ms=nan"],
        ["--version=a", "--error-rate=2"],
    ],
)
def test_wrong_arguments_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(wrong)
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_arguments_are_read() -> None:
    given = ["--version=a", "--port=1", "--delay-ms=2.5", "--error-rate=0.5"]
    read = parse_arguments(given)
    assert (read.version, read.port, read.delay_ms, read.error_rate) == ("a", 1, 2.5, 0.5)


async def started(children: Children, *arguments: str) -> tuple[Child, str]:
    command = [sys.executable, "-m", "loadtests.sample", "--version=stable", *arguments]
    child = await children.start("sample", command, lasting=False)
    while "http://" not in child.tail():
        assert child.process.returncode is None, child.tail()
        await asyncio.sleep(0.02)
    return child, child.tail().split()[-1]


@pytest.mark.e2e
def test_sigterm_lets_a_request_under_way_finish_and_exits_0(tmp_path: Path) -> None:
    async def run() -> None:
        async with Children(tmp_path, ROOT) as children, aiohttp.ClientSession() as session:
            child, url = await started(children, "--delay-ms=300")
            sent = asyncio.Event()

            async def tell(*_: object) -> None:
                sent.set()

            trace = aiohttp.TraceConfig()
            trace.on_request_headers_sent.append(tell)
            async with aiohttp.ClientSession(trace_configs=[trace]) as watched:
                under_way = asyncio.create_task(watched.get(f"{url}/api/items"))
                await sent.wait()
                async with session.get(f"{url}/healthz") as response:  # what was sent has arrived
                    assert response.status == 200
                child.process.send_signal(signal.SIGTERM)
                async with await under_way as response:
                    assert response.status == 200
                    assert (await response.json())["version"] == "stable"
            assert await child.process.wait() == 0
            assert "Traceback" not in child.tail()

    asyncio.run(run())
