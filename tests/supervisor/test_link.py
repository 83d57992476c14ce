"""Messages over a real socket pair."""

import asyncio
import socket
from typing import Any

import pytest

from proxy.model.config import Config, Listener, traffic_of
from proxy.model.wire import Ack, Counts, FromWorker, Install, Pull, Snapshot, ToWorker
from proxy.supervisor.link import Link, LinkClosed


async def pair() -> tuple[Link, Link]:
    ours, theirs = socket.socketpair()
    return await Link.over(ours, FromWorker), await Link.over(theirs, ToWorker)


def test_messages_arrive_whole_and_in_order() -> None:
    async def run() -> None:
        parent, worker = await pair()
        config = Config(listeners=(Listener(name="web", bind="127.0.0.1:0"),))
        install = Install(config, Snapshot(revision=7, traffic=traffic_of(config), store="s"))
        await parent.send(install)
        await parent.send(Pull())
        received = await worker.receive()
        assert isinstance(received, Install)
        assert received.config == config
        assert received.snapshot.revision == 7
        assert await worker.receive() == Pull()
        await worker.send(Ack(7))
        await worker.send(Counts(versions=(), connections=3))
        assert await parent.receive() == Ack(7)
        assert (await parent.receive()).connections == 3
        await parent.close()
        await worker.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\x00",
        b"\x00\x00\x00\x05abc",
        b"\xff\xff\xff\xffrest",
        b"\x00\x00\x00\x03abc",
        b"\x00\x00\x00\x01\xc0",
    ],
    ids=["closed", "half a length", "half a message", "too long", "no MessagePack", "no message"],
)
def test_what_is_no_message_closes_the_link(raw: bytes) -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        link = await Link.over(ours, FromWorker)
        theirs.sendall(raw)
        theirs.close()
        with pytest.raises(LinkClosed):
            await link.receive()
        await link.close()

    asyncio.run(run())


def test_sending_to_the_dead_says_so() -> None:
    async def send_for_ever(link: Link, message: Any) -> None:
        while True:
            await link.send(message)

    async def run() -> None:
        ours, theirs = socket.socketpair()
        link = await Link.over(ours, FromWorker)
        theirs.close()
        with pytest.raises(LinkClosed):
            await asyncio.wait_for(send_for_ever(link, Pull()), 10)
        await link.close()

    asyncio.run(run())
