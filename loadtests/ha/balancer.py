"""Owns what a load balancer does for control planes: a connection goes to the next one that takes
it. Never looks at a byte.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

PIECE_BYTES = 65_536
_Pipe = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def balancing(port: int, behind: Sequence[int]) -> AsyncIterator[None]:
    """Serves a port of loopback, whose connections go to the ports behind it, in turn."""
    serving = set[asyncio.StreamWriter]()
    turn = itertools.count()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(writer)
        first = next(turn)
        try:
            other = await _first_of([behind[(first + n) % len(behind)] for n in range(len(behind))])
            if other:
                await _join((reader, writer), other)
        finally:
            serving.discard(writer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        for writer in serving:
            writer.transport.abort()  # its reader then comes to an end, and so does all else


async def _first_of(ports: Sequence[int]) -> _Pipe | None:
    for port in ports:
        with suppress(OSError):
            return await asyncio.open_connection("127.0.0.1", port)
    return None


async def _join(one: _Pipe, other: _Pipe) -> None:
    """Until either side ends."""
    tasks = [
        asyncio.create_task(_copy(one[0], other[1])),
        asyncio.create_task(_copy(other[0], one[1])),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        other[1].close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
