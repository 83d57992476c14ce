"""Bodies far larger than the process: whole, equal, and never held in memory."""

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.road import Road, road

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

BODY_BYTES = int(os.environ.get("BIG_BODY_BYTES", 100_000_000))
"""1,000,000,000 by hand: ``BIG_BODY_BYTES=1000000000``."""
MAX_PSS_BYTES = 64_000_000
PIECE = bytes(range(256)) * 1024


async def pieces(size: int, digest: "hashlib._Hash") -> AsyncIterator[bytes]:
    while size > 0:
        piece = PIECE[: min(size, len(PIECE))]
        digest.update(piece)
        size -= len(piece)
        yield piece


def pss_bytes(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    match = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
    assert match
    return int(match[1]) * 1024


class Peak:
    """The largest PSS of a process while something runs."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.bytes = 0

    async def watch(self) -> None:
        while True:
            self.bytes = max(self.bytes, await asyncio.to_thread(pss_bytes, self._pid))
            await asyncio.sleep(0.1)


async def upload(built: Road, *, chunked: bool) -> None:
    digest = hashlib.sha256()
    headers = {} if chunked else {"Content-Length": str(BODY_BYTES)}
    async with built.client.post(
        built.url + "/upload", data=pieces(BODY_BYTES, digest), headers=headers, timeout=None
    ) as response:
        assert response.status == 200, await response.text()
        answer = await response.json()
    assert answer["bytes"] == BODY_BYTES
    assert answer["sha256"] == digest.hexdigest()


async def download(built: Road, origin: str, *, chunked: bool) -> str:
    digest, size = hashlib.sha256(), 0
    url = f"{origin}/blob?bytes={BODY_BYTES}" + ("&chunked=1" if chunked else "")
    async with built.client.get(url, timeout=None) as response:
        assert response.status == 200
        async for piece in response.content.iter_any():
            digest.update(piece)
            size += len(piece)
    assert size == BODY_BYTES
    return digest.hexdigest()


def test_big_bodies_stream_both_ways(tmp_path: Path) -> None:
    async def run() -> None:
        async with road(tmp_path, "stable") as built:
            proxy = await built.start_proxy(built.config(built.traffic(stable=1)))
            await built.ready()
            peak = Peak(proxy.process.pid)
            watching = asyncio.create_task(peak.watch())
            await upload(built, chunked=False)
            await upload(built, chunked=True)
            sent = await download(built, built.samples["stable"], chunked=False)
            assert await download(built, built.url, chunked=False) == sent
            assert await download(built, built.url, chunked=True) == sent
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            print(  # noqa: T201 - the figure that the issue asks for
                f"peak PSS {peak.bytes / 1e6:.1f} MB with bodies of {BODY_BYTES / 1e6:.0f} MB"
            )
            assert peak.bytes < MAX_PSS_BYTES

    asyncio.run(run())
