import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from loadtests.sample.content import BLOCK_BYTES, blocks, sha256_of
from loadtests.sample.server import MAX_BLOB_BYTES, Behaviour, build_app

SIZE = 3 * BLOCK_BYTES + 17


@asynccontextmanager
async def sample(behaviour: Behaviour) -> AsyncIterator[aiohttp.ClientSession]:
    runner = web.AppRunner(build_app(behaviour), shutdown_timeout=5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession(f"http://{host}:{port}") as session:
            yield session
    finally:
        await runner.cleanup()


def on_sample(
    ask: Callable[[aiohttp.ClientSession], Awaitable[None]], behaviour: Behaviour | None = None
) -> None:
    async def run() -> None:
        async with sample(behaviour or Behaviour("stable")) as session:
            await ask(session)

    asyncio.run(run())


def test_items_name_the_version_and_whose_request_it_was() -> None:
    async def ask(session: aiohttp.ClientSession) -> None:
        headers = {"X-User-Id": "alice", "X-Request-Id": "r-1"}
        async with session.get("/api/items?page=2", headers=headers) as response:
            assert response.status == 200
            assert response.headers["X-Version"] == "stable"
            assert response.headers["X-Request-Id"] == "r-1"
            assert await response.json() == {
                "version": "stable",
                "user": "alice",
                "query": "page=2",
            }

    on_sample(ask)


def test_no_request_id_is_made_up() -> None:
    async def ask(session: aiohttp.ClientSession) -> None:
        async with session.get("/healthz") as response:
            assert response.status == 200
            assert "X-Request-Id" not in response.headers

    on_sample(ask)


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_is_counted_and_hashed(chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for block in blocks(SIZE):
            yield block

    async def ask(session: aiohttp.ClientSession) -> None:
        data = pieces() if chunked else b"".join(blocks(SIZE))
        async with session.post("/upload", data=data, headers={"X-Request-Id": "r-2"}) as response:
            assert response.headers["X-Request-Id"] == "r-2"
            assert await response.json() == {
                "version": "stable",
                "bytes": SIZE,
                "sha256": sha256_of(SIZE),
            }

    on_sample(ask)


@pytest.mark.parametrize("size", [0, 1, SIZE])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_blob_is_the_known_body(size: int, chunked: bool) -> None:
    async def ask(session: aiohttp.ClientSession) -> None:
        async with session.get(f"/blob?bytes={size}&chunked={int(chunked)}") as response:
            body = await response.read()
            assert response.headers.get("Transfer-Encoding") == ("chunked" if chunked else None)
            assert response.headers.get("Content-Length") == (None if chunked else str(size))
            assert response.headers["X-Version"] == "stable"
            digest = hashlib.sha256(body).hexdigest()
            assert digest == response.headers["X-Content-SHA256"] == sha256_of(size)
            assert len(body) == size

    on_sample(ask)


def test_the_head_of_a_blob_has_no_body() -> None:
    async def ask(session: aiohttp.ClientSession) -> None:
        for _ in range(2):  # a body sent by mistake would break the second on the same connection
            async with session.head(f"/blob?bytes={SIZE}") as response:
                assert response.status == 200
                assert response.headers["Content-Length"] == str(SIZE)
                assert await response.read() == b""

    on_sample(ask)


@pytest.mark.parametrize(
    "query", ["", "?bytes=", "?bytes=-1", "?bytes=1e3", "?bytes=" + "9" * 5000]
)
def test_a_blob_of_no_size_is_refused(query: str) -> None:
    async def ask(session: aiohttp.ClientSession) -> None:
        async with session.get(f"/blob{query}") as response:
            assert response.status == 400
            assert await response.text() == (
                f"bytes: a whole number from 0 to {MAX_BLOB_BYTES} is needed\n"
            )

    on_sample(ask)


@pytest.mark.parametrize(("rate", "status"), [(0.0, 200), (1.0, 500)])
def test_the_error_rate(rate: float, status: int) -> None:
    async def ask(session: aiohttp.ClientSession) -> None:
        async with session.get("/api/items") as response:
            assert response.status == status
            assert json.loads(await response.text())["version"] == "canary"
            assert response.headers["X-Version"] == "canary"

    on_sample(ask, Behaviour("canary", delay_ms=1, error_rate=rate))


def test_many_clients_at_once_each_get_their_own_answer() -> None:
    async def one(session: aiohttp.ClientSession, number: int) -> None:
        headers = {"X-User-Id": f"u{number}", "X-Request-Id": f"r{number}"}
        async with session.get("/api/items", headers=headers) as response:
            assert response.headers["X-Request-Id"] == f"r{number}"
            assert (await response.json())["user"] == f"u{number}"

    async def ask(session: aiohttp.ClientSession) -> None:
        asked: list[Coroutine[Any, Any, None]] = [one(session, number) for number in range(500)]
        await asyncio.gather(*asked)

    on_sample(ask)
