"""The control stream with a control plane that is slow, garbled, hung, killed or not there."""

import asyncio
import base64
import hashlib
import logging

import pytest
from aiohttp import web

from proxy.model.wire import Ack, Hello
from proxy.sync import stream as stream_module
from proxy.sync.stream import ControlStream
from tests.support.control_peer import (
    Peer,
    Proxy,
    Script,
    control_plane,
    follow,
    good,
    play,
    raw_frame,
    refusing,
    serve_on,
    text_of,
    write_raw,
)

WS_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 §1.3."""


def test_a_frame_that_comes_byte_by_byte_is_taken_whole() -> None:
    async def script(peer: Peer) -> None:
        await peer.hear()
        for byte in raw_frame(text_of(1)):
            write_raw(peer, bytes([byte]))
            await asyncio.sleep(0)
        assert await peer.hear() == Ack(1)

    play(script, proxy=Proxy())


async def garbage(peer: Peer) -> None:
    await peer.hear()
    await peer.socket.send_str("garbage")
    assert await peer.closed_with() == 1007


async def binary(peer: Peer) -> None:
    await peer.hear()
    await peer.socket.send_bytes(b"{}")
    assert await peer.closed_with() == 1003


async def oversized(peer: Peer) -> None:
    await peer.hear()
    await peer.socket.send_str(" " * 70_000 + text_of(1))
    assert await peer.closed_with() == 1009


async def broken_frame(peer: Peer) -> None:
    await peer.hear()
    write_raw(peer, b"\xff\xff\xff\xff")
    assert await peer.closed_with() == 1002


async def truncated(peer: Peer) -> None:
    await peer.hear()
    write_raw(peer, raw_frame(text_of(1))[:-10])
    peer.abort()


async def killed(peer: Peer) -> None:
    await peer.hear()
    peer.abort()


async def goodbye(peer: Peer) -> None:
    await peer.hear()
    await peer.socket.close(code=1001, message=b"the control plane is stopping")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (garbage, "sent what is no message of the stream"),
        (binary, "sent a binary message"),
        (oversized, "the stream broke"),
        (broken_frame, "the stream broke"),
        (truncated, "closed the stream"),
        (killed, "closed the stream"),
        (goodbye, "closed the stream (1001: 'the control plane is stopping')"),
    ],
)
def test_a_session_that_breaks_is_told_and_followed_by_another(
    caplog: pytest.LogCaptureFixture, fault: Script, words: str
) -> None:
    caplog.set_level(logging.INFO)
    proxy = Proxy()
    play(fault, fault, good, proxy=proxy, max_frame_bytes=65_536)
    assert proxy.applied == [100]
    told = [record.message for record in caplog.records if words in record.message]
    assert len(told) == 1, caplog.text
    assert "traffic flows on as configured" in told[0]
    assert "connected again" in caplog.text


def test_a_peer_that_hangs_is_left(caplog: pytest.LogCaptureFixture) -> None:
    proxy = Proxy()

    async def run() -> None:
        released = asyncio.Event()

        async def hang(peer: Peer) -> None:
            await peer.hear()
            await released.wait()  # reads nothing, so no ping is answered

        async def then(peer: Peer) -> None:
            await good(peer)
            released.set()

        async with control_plane(hang, then) as url, asyncio.timeout(20):
            stream = follow(url, proxy, heartbeat_s=0.02)
            stream.start()
            await released.wait()
            await stream.stop()

    asyncio.run(run())
    assert proxy.applied == [100]
    assert "No PONG received" in caplog.text


def test_it_connects_once_the_control_plane_is_there(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    proxy = Proxy()

    async def run() -> None:
        app, _ = refusing(503, tries=1)
        runner, port = await serve_on(0, app)
        await runner.cleanup()  # a port where nobody listens
        waits: list[float] = []
        tried = asyncio.Event()

        def draw() -> float:
            waits.append(1)
            if len(waits) == 5:
                tried.set()
            return 0.001

        stream = ControlStream(
            f"http://127.0.0.1:{port}/", None, proxy.hello, proxy.apply, draw=draw
        )
        stream.start()
        over = asyncio.Event()

        async def handler(request: web.Request) -> web.StreamResponse:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await good(Peer(request, socket))
            assert stream.connected
            over.set()
            return socket

        async with asyncio.timeout(20):
            await tried.wait()
            back = web.Application()
            back.router.add_get("/v1/stream", handler)
            runner, _ = await serve_on(port, back)
            await over.wait()
        await stream.stop()
        await runner.cleanup()

    asyncio.run(run())
    assert proxy.applied == [100]
    assert caplog.text.count("Cannot connect to host") == 1
    assert caplog.text.count("connected again") == 1


def test_a_server_that_speaks_no_http_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        enough, seen = asyncio.Event(), []

        async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(1)
            writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
            writer.close()
            if len(seen) == 3:
                enough.set()

        server = await asyncio.start_server(speak, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        stream = follow(f"http://127.0.0.1:{port}", Proxy())
        stream.start()
        async with asyncio.timeout(20):
            await enough.wait()
        await stream.stop()
        server.close()
        await server.wait_closed()

    asyncio.run(run())
    assert "traffic flows on as configured" in caplog.text


def test_a_server_that_accepts_and_says_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stream_module, "CONNECT_S", 0.05)

    async def run() -> None:
        seen: list[asyncio.StreamWriter] = []
        again = asyncio.Event()

        async def listen(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(writer)
            if len(seen) == 2:
                again.set()

        server = await asyncio.start_server(listen, "127.0.0.1", 0)
        stream = follow(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", Proxy())
        stream.start()
        async with asyncio.timeout(20):
            await again.wait()
        await stream.stop()
        for writer in seen:
            writer.close()
        server.close()
        await server.wait_closed()

    asyncio.run(run())
    assert "no answer within 0.05 s" in caplog.text


def test_a_peer_that_stops_reading_cannot_hold_up_the_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_module, "CLOSE_S", 0.05)

    async def run() -> None:
        asked = asyncio.Event()

        class Big(Proxy):
            def hello(self) -> Hello:
                asked.set()  # sending follows at once
                return super().hello()

        async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            key = head.lower().partition(b"sec-websocket-key: ")[2].partition(b"\r\n")[0]
            # The key is base64: its case matters, so it is cut from the head as it came.
            at = head.lower().index(key)
            digest = hashlib.sha1(head[at : at + len(key)] + WS_KEY, usedforsecurity=False).digest()
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
                + base64.b64encode(digest)
                + b"\r\n\r\n"
            )
            writers.append(writer)  # and nothing is read from here on

        writers: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(upgrade, "127.0.0.1", 0, limit=1024)
        proxy = Big(store="x" * 32_000_000)  # more than the sockets' buffers take
        stream = follow(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", proxy)
        stream.start()
        async with asyncio.timeout(20):
            await asked.wait()
            await stream.stop()
        for writer in writers:
            writer.transport.abort()
        server.close()
        await server.wait_closed()

    asyncio.run(run())


def test_a_mistake_of_ours_does_not_end_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    class Clumsy(Proxy):
        def hello(self) -> Hello:
            if self.greeted == 0:
                self.greeted += 1
                raise RuntimeError("boom")
            return super().hello()

    async def ended(peer: Peer) -> None:
        assert await peer.closed_with() == 1001

    proxy = Clumsy()
    play(ended, good, proxy=proxy)
    assert proxy.applied == [100]
    assert "unforeseen error" in caplog.text


def test_a_stream_that_fails_for_good_is_told(caplog: pytest.LogCaptureFixture) -> None:
    def draw() -> float:
        raise RuntimeError("no randomness")

    async def run() -> None:
        proxy = Proxy()
        stream = ControlStream("http://127.0.0.1:1", None, proxy.hello, proxy.apply, draw=draw)
        stream.start()
        assert stream._task is not None
        await asyncio.wait([stream._task])
        await stream.stop()

    asyncio.run(run())
    assert "control stream: failed for good" in caplog.text
