"""What the other side has not taken yet, and the last segment of a connection."""

import asyncio

from proxy.net.unsent import send_corked, unsent_bytes
from tests.support.raw_backend import RawBackend, Visit, replying, said
from tests.support.raw_client import RawClient, get
from tests.support.running import Running, config_for, eventually, run


def test_what_is_not_acknowledged_counts_though_the_transport_has_none_of_it() -> None:
    async def test() -> None:
        received = asyncio.Event()

        async def script(_visit: Visit) -> None:
            await received.wait()

        async with RawBackend(script, receive_bytes=4_096) as backend:
            host, port = backend.endpoint.removeprefix("http://").split(":")
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_connection(asyncio.Protocol, host, int(port))
            assert unsent_bytes(transport) == 0
            transport.write(b"x" * 1_000_000)
            await eventually(lambda: unsent_bytes(transport) > 0)
            assert unsent_bytes(transport) >= transport.get_write_buffer_size()
            transport.abort()
            received.set()

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
        done = asyncio.Event()

        async def script(_visit: Visit) -> None:
            await done.wait()

        async with RawBackend(script, receive_bytes=4_096) as backend:
            host, port = backend.endpoint.removeprefix("http://").split(":")
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_connection(asyncio.Protocol, host, int(port))
            left = data = b"x" * 20_000_000
            while left := send_corked(transport, left):
                if len(left) == len(data):
                    break
                data = left
            assert 0 < len(left) < 20_000_000
            transport.abort()
            assert send_corked(transport, b"late") == b"late"
            done.set()

    run(test)
