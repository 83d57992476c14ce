"""An outbox on one end of a real socket, whose other end reads when the test says so."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from controlplane.stream.outbox import STALLED_S, Outbox

BIG = 4 << 20
"""More than the sockets between the two will hold."""


class _Server(asyncio.Protocol):
    def __init__(self) -> None:
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.lost = asyncio.Event()

    def pause_writing(self) -> None:
        self.may_write.clear()

    def resume_writing(self) -> None:
        self.may_write.set()

    async def drained(self) -> None:
        await self.may_write.wait()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.lost.set()


@asynccontextmanager
async def pair(
    stalled_s: float = STALLED_S,
) -> AsyncIterator[tuple[Outbox, asyncio.StreamReader, _Server]]:
    ours, theirs = socket.socketpair()
    for each in (ours, theirs):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_connection(_Server, sock=ours)
    reader, writer = await asyncio.open_connection(sock=theirs, limit=2**16)
    outbox = Outbox(transport, server.drained, "p1", stalled_s)
    try:
        yield outbox, reader, server
    finally:
        await outbox.leave()
        transport.abort()
        writer.transport.abort()


def test_what_can_go_goes_at_once() -> None:
    async def scenario() -> None:
        async with pair() as (outbox, reader, _):
            outbox.put(b"first")
            outbox.put(b"second")
            assert await reader.readexactly(11) == b"firstsecond"

    asyncio.run(scenario())


def test_of_those_that_wait_only_the_newest_is_sent() -> None:
    async def scenario() -> None:
        async with pair() as (outbox, reader, server):
            outbox.put(b"a" * BIG)
            for letter in (b"b", b"c", b"d"):
                outbox.put(letter * BIG)
            assert not server.may_write.is_set()
            assert await reader.readexactly(2 * BIG) == b"a" * BIG + b"d" * BIG
            outbox.put(b"e")
            assert await reader.readexactly(1) == b"e"

    asyncio.run(scenario())


def test_one_that_takes_nothing_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with pair(stalled_s=0.01) as (outbox, _, server):
            outbox.put(b"a" * BIG)
            outbox.put(b"b")
            await asyncio.wait_for(server.lost.wait(), 20)
            outbox.put(b"c")  # nobody is there any more: nothing happens

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    assert "proxy 'p1' took nothing for 0.01 s: cut" in caplog.text


def test_nothing_follows_a_goodbye() -> None:
    async def scenario() -> None:
        async with pair() as (outbox, reader, _):
            outbox.goodbye(1001, "stop")
            outbox.put(b"late")
            outbox.goodbye(1001, "again")
            assert await reader.readexactly(8) == b"\x88\x06\x03\xe9stop"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await reader.readexactly(1)

    asyncio.run(scenario())


def test_what_is_short_is_said_at_once_unless_much_is_on_its_way() -> None:
    async def scenario() -> None:
        async with pair() as (outbox, reader, _):
            outbox.say(b"one")
            outbox.put(b"two")
            outbox.say(b"three")
            assert await reader.readexactly(11) == b"onetwothree"
            outbox.put(b"a" * BIG)
            outbox.say(b"never")
            outbox.goodbye(1001, "stop")
            outbox.say(b"late")
            assert await reader.readexactly(BIG + 8) == b"a" * BIG + b"\x88\x06\x03\xe9stop"

    asyncio.run(scenario())


def test_a_goodbye_takes_the_place_of_what_waits() -> None:
    async def scenario() -> None:
        async with pair() as (outbox, reader, _):
            outbox.put(b"a" * BIG)
            outbox.put(b"b" * BIG)
            outbox.goodbye(1001, "stop")
            assert await reader.readexactly(BIG + 8) == b"a" * BIG + b"\x88\x06\x03\xe9stop"

    asyncio.run(scenario())
