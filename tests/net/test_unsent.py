"""What the other side has not taken yet, and the last segment of a connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from proxy.net.downstream import MANY
from proxy.net.unsent import LITTLE_BYTES, send_corked, unsent_bytes
from tests.support.raw_backend import RawBackend, Visit, replying, said
from tests.support.raw_client import RawClient, get
from tests.support.running import Running, config_for, eventually, run


@asynccontextmanager
async def to_nobody() -> AsyncIterator[asyncio.Transport]:
    """A connection to someone who reads nothing."""
    done = asyncio.Event()

    async def script(_visit: Visit) -> None:
        await done.wait()

    async with RawBackend(script, receive_bytes=4_096) as backend:
        host, port = backend.endpoint.removeprefix("http://").split(":")
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(asyncio.Protocol, host, int(port))
        yield transport
        transport.abort()
        done.set()


def test_what_is_not_acknowledged_counts_though_the_transport_has_none_of_it() -> None:
    async def test() -> None:
        async with to_nobody() as transport:
            assert unsent_bytes(transport) == 0
            transport.write(b"x" * 1_000_000)
            await eventually(lambda: unsent_bytes(transport) > 0)
            assert unsent_bytes(transport) >= transport.get_write_buffer_size()

    run(test)


def test_a_corked_answer_and_the_end_arrive_at_once_and_whole() -> None:
    body = bytes(range(256)) * 200

    async def test() -> None:
        async with (
            RawBackend(replying(said(body))) as backend,
            Running(config_for(backend.endpoint)) as running,
        ):
            for _ in range(20):
                async with RawClient(running.where) as client:
                    answer = await client.ask(get("/", "Connection: close"))
                    assert answer.body == body
                    assert await client.rest() == b""  # a clean end, not a reset

    run(test)


def test_what_the_kernel_does_not_take_is_given_back() -> None:
    async def test() -> None:
        async with to_nobody() as transport:
            left = data = b"x" * 20_000_000
            while left := send_corked(transport, left):
                if len(left) == len(data):
                    break
                data = left
            assert 0 < len(left) < 20_000_000
            transport.abort()
            sock = transport.get_extra_info("socket")
            await eventually(lambda: sock.fileno() == -1)
            assert send_corked(transport, b"late") == b"late"

    run(test)


READ_BYTES = 256_000
"""The most that uvloop reads at once."""


@pytest.mark.parametrize("size", [300_000, 8_000_000])
def test_among_many_little_is_held_for_a_reader_that_takes_nothing(size: int) -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(said(b"x" * size))) as backend,
            Running(config_for(backend.endpoint)) as running,
            AsyncExitStack() as others,
        ):
            for _ in range(MANY):
                await others.enter_async_context(RawClient(running.where))
            await eventually(lambda: len(running.plane.connections) == MANY)
            before = set(running.plane.connections)
            async with RawClient(running.where, receive_bytes=4_096) as client:
                await client.send(get("/"))
                await eventually(lambda: len(running.plane.connections) > MANY)
                (connection,) = running.plane.connections - before
                transport = connection.transport
                await eventually(lambda: transport.get_write_buffer_size() > LITTLE_BYTES)
                # One piece beyond the mark at which no more is read, and in the kernel what its
                # acknowledgements let through; else it takes all of the smaller answer.
                assert transport.get_write_buffer_size() <= LITTLE_BYTES + READ_BYTES
                assert unsent_bytes(transport) - transport.get_write_buffer_size() < 150_000
                assert (await client.answer()).body == b"x" * size

    run(test)
