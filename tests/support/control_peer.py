"""Owns a control plane that tests script, connection by connection, on a real socket.

Pure play: nothing of ``controlplane`` is used, so that it can break every rule of the stream.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
from aiohttp import WSMsgType, web

from proxy.core.backoff import Backoff
from proxy.model.config import Traffic
from proxy.model.errors import Problem
from proxy.model.wire import Ack, Hello, Nack, Report, ReportAck, Reporting, Snapshot
from proxy.sync.stream import ControlStream

STORE = "store-1"
FROM_PROXY = msgspec.json.Decoder(Hello | Ack | Nack | Report)


class Peer:
    """One connection as the control plane sees it."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self.request = request
        self.socket = socket

    async def hear(self) -> Hello | Ack | Nack | Report:
        frame = await self.socket.receive()
        assert frame.type is WSMsgType.TEXT, frame
        message: Hello | Ack | Nack | Report = FROM_PROXY.decode(frame.data)
        return message

    async def say(self, revision: int, store: str = STORE) -> None:
        await self.socket.send_str(text_of(revision, store))

    async def hear_report(self) -> Report:
        message = await self.hear()
        assert isinstance(message, Report), message
        return message

    async def tell(self, message: Reporting | ReportAck) -> None:
        await self.socket.send_str(msgspec.json.encode(message).decode())

    async def closed_with(self) -> int | None:
        """Waits until the proxy has closed; the code it gave."""
        async for frame in self.socket:
            raise AssertionError(frame)
        return self.socket.close_code

    def abort(self) -> None:
        assert self.request.transport is not None
        self.request.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


def text_of(revision: int, store: str = STORE) -> str:
    return msgspec.json.encode(Snapshot(revision=revision, traffic=Traffic(), store=store)).decode()


class Proxy:
    """What the stream is wired to, and what came of it."""

    def __init__(self, store: str = "", revision: int = 0) -> None:
        self.store = store
        self.revision = revision
        self.greeted = 0
        """How often the stream has asked how to present itself."""
        self.applied: list[int] = []
        self.problems: tuple[Problem, ...] = ()
        self.failure: Exception | None = None

    def hello(self) -> Hello:
        self.greeted += 1
        return Hello(instance="proxy-1", release="1.2.3", store=self.store, revision=self.revision)

    async def apply(self, snapshot: Snapshot) -> tuple[Problem, ...]:
        self.applied.append(snapshot.revision)
        if self.failure:
            raise self.failure
        if not self.problems:
            self.store, self.revision = snapshot.store, snapshot.revision
        return self.problems


async def serve_on(port: int, app: web.Application) -> tuple[web.AppRunner, int]:
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner, runner.addresses[0][1]


@asynccontextmanager
async def control_plane(*scripts: Script, **options: Any) -> AsyncIterator[str]:
    """Plays one script a connection, the last one for all further ones. Yields the URL. A script
    that fails fails the test."""
    failures: list[BaseException] = []
    left = list(scripts)

    async def stream(request: web.Request) -> web.StreamResponse:
        script = left.pop(0) if len(left) > 1 else left[0]
        socket = web.WebSocketResponse(**options)
        await socket.prepare(request)
        try:
            await script(Peer(request, socket))
        except (AssertionError, msgspec.MsgspecError) as error:
            failures.append(error)
        return socket

    app = web.Application()
    app.router.add_get("/v1/stream", stream)
    runner, port = await serve_on(0, app)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()
    assert failures == []


def follow(url: str, proxy: Proxy, token_file: Path | None = None, **more: Any) -> ControlStream:
    return ControlStream(
        url,
        str(token_file) if token_file else None,
        proxy.hello,
        proxy.apply,
        backoff=Backoff(lambda: 1.0, base_s=0.001, cap_s=0.01),
        **more,
    )


def play(*scripts: Script, proxy: Proxy, times: int = 1, **more: Any) -> None:
    """Runs a proxy's stream against the scripts until the last one has ended ``times`` times."""
    over = asyncio.Event()
    ends: list[int] = []

    async def last(peer: Peer) -> None:
        try:
            await scripts[-1](peer)
        finally:
            ends.append(1)
            if len(ends) == times:
                over.set()

    async def run() -> None:
        async with control_plane(*scripts[:-1], last) as url, asyncio.timeout(20):
            stream = follow(url, proxy, **more)
            stream.start()
            try:
                await over.wait()
            finally:
                await stream.stop()
            assert not stream.connected

    asyncio.run(run())


async def good(peer: Peer) -> None:
    """A session that works."""
    assert isinstance(await peer.hear(), Hello)
    await peer.say(100)
    assert await peer.hear() == Ack(100)


def raw_frame(text: str) -> bytes:
    """A text frame of up to 64 KiB as a server sends it (RFC 6455 §5.2)."""
    return struct.pack("!BBH", 0x81, 126, len(text)) + text.encode()


def write_raw(peer: Peer, data: bytes) -> None:
    cast("asyncio.Transport", peer.request.transport).write(data)


def refusing(status: int, tries: int) -> tuple[web.Application, asyncio.Event]:
    """An application that answers every attempt with a status; the event: so many came."""
    seen, enough = [], asyncio.Event()

    async def refuse(_: web.Request) -> web.Response:
        seen.append(1)
        if len(seen) == tries:
            enough.set()
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/v1/stream", refuse)
    return app, enough
