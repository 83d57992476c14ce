"""What the attacked proxy stands in front of."""

import asyncio
import shutil
from pathlib import Path

import aiohttp
import pytest

from loadtests.demo.children import Children
from loadtests.slow import backend
from loadtests.slow.attacks import BLOB_BYTES
from loadtests.slow.run import environment, free_port


@pytest.mark.parametrize(
    "nginx",
    [
        False,
        pytest.param(
            True, marks=pytest.mark.skipif(shutil.which("nginx") is None, reason="no nginx here")
        ),
    ],
)
def test_both_back_ends_have_the_paths_of_the_attacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nginx: bool
) -> None:
    if not nginx:
        monkeypatch.setattr(backend, "find", lambda _: None)

    async def test() -> None:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        async with Children(tmp_path) as children, aiohttp.ClientSession() as session:
            command = backend.backend_command(tmp_path, port, 1_000)
            child = await children.start("backend", command, environment())
            async with asyncio.timeout(20):
                while True:
                    try:
                        async with session.get(f"{url}/api/items") as response:
                            assert response.status == 200, child.tail()
                            break
                    except aiohttp.ClientConnectorError:
                        await asyncio.sleep(0.05)
            async with session.get(f"{url}/blob?bytes={BLOB_BYTES}") as response:
                assert len(await response.read()) == BLOB_BYTES
            async with session.post(f"{url}/upload", data=b"x" * 100_000) as response:
                assert response.status == 200

    asyncio.run(test())
