"""How long a control plane waits for its callers: real connections that say too little."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from controlplane.api import audit, deadlines
from tests.controlplane.support import PATIENCE_S, SHOP_WEIGHTS, TOKEN, Api, control

WEIGHTS = b'{"weights": {"stable": 1}}'


class Slow:
    """A connection whose every byte the test sends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def to(cls, api: Api) -> AsyncIterator["Slow"]:
        url = urlsplit(api.url)
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        yield cls(reader, writer)
        writer.close()

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def head(self, method: str, path: str, token: str, length: int) -> None:
        lines = (
            f"{method} {path} HTTP/1.1",
            "Host: localhost",
            f"Authorization: Bearer {token}",
            "Content-Type: application/json",
            f"Content-Length: {length}",
        )
        await self.send("\r\n".join((*lines, "", "")).encode())

    async def answer(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self._reader.readuntil(b"\r\n\r\n")

    async def rest(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self._reader.read()


def test_a_token_that_ends_while_the_body_comes_changes_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            eve = await api.token("eve", "admin")
            async with Slow.to(api) as slow:
                await slow.head("PUT", SHOP_WEIGHTS, eve["token"], len(WEIGHTS))
                await slow.send(WEIGHTS[:10])
                async with Api.at(api.url, eve["token"]) as theirs:
                    assert (await theirs.get("/v1/config")).status == 200  # the head was read
                assert (await api.change("DELETE", f"/v1/tokens/{eve['id']}")).status == 200
                await slow.send(WEIGHTS[10:])
                assert (await slow.answer()).startswith(b"HTTP/1.1 401 ")
            weights = (await api.get(SHOP_WEIGHTS)).body["weights"]
            assert weights == {"stable": 95, "canary": 5}
            async with Slow.to(api) as slow:
                await slow.head("PUT", SHOP_WEIGHTS, TOKEN, len(WEIGHTS))
                await slow.send(WEIGHTS)
                assert (await slow.answer()).startswith(b"HTTP/1.1 200 ")

    asyncio.run(scenario())


def test_a_body_that_does_not_come_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "BODY_S", 0.1)

    async def scenario() -> None:
        async with control(tmp_path) as api, Slow.to(api) as slow:
            await slow.head("PUT", "/v1/config", TOKEN, 100)
            await slow.send(b"{")
            assert (await slow.answer()).startswith(b"HTTP/1.1 408 ")
            assert b"the body did not come within 0.1 s" in await slow.rest()

    asyncio.run(scenario())


def test_a_connection_without_a_whole_head_is_closed_and_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "HEAD_S", 0.2)
    monkeypatch.setattr(deadlines, "_LOOK_S", 0.05)

    async def scenario() -> None:
        async with control(tmp_path) as api, Slow.to(api) as silent, Slow.to(api) as slow:
            await api.push()
            async with api.proxy() as proxy, Slow.to(api) as idle:
                assert (await proxy.snapshot()).revision == 1
                await idle.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert (await idle.answer()).startswith(b"HTTP/1.1 200 ")
                await slow.send(b"GET /healthz HTTP/1.1\r\nHost: loc")
                assert await silent.rest() == b""
                assert await slow.rest() == b""
                await idle.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert b"HTTP/1.1 200 " in await idle.answer()
                await api.set_weights(stable=1)
                assert (await proxy.snapshot()).revision == 2

    asyncio.run(scenario())


def test_an_export_ends_with_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_BATCH", 1)

    async def scenario() -> None:
        async with control(tmp_path) as api:
            eve = await api.token("eve", "viewer")
            for _ in range(3):
                await api.push()
            after = audit.AuditApi._after
            asked = 0

            async def revoking(self: audit.AuditApi, number: int) -> list[tuple[int, str]]:
                nonlocal asked
                asked += 1
                if asked == 2:
                    await api.change("DELETE", f"/v1/tokens/{eve['id']}")
                return await after(self, number)

            monkeypatch.setattr(audit.AuditApi, "_after", revoking)
            async with Slow.to(api) as slow:
                await slow.head("GET", "/v1/audit/export", eve["token"], 0)
                assert (await slow.answer()).startswith(b"HTTP/1.1 200 ")
                try:
                    rest = await slow.rest()
                except ConnectionResetError:
                    rest = b""
                assert not rest.endswith(b"0\r\n\r\n")  # what is cut does not look whole
            assert asked == 2

    asyncio.run(scenario())
