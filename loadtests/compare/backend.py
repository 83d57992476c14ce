"""Owns the back end for machines without nginx: ``python -m loadtests.compare.backend``.

It answers as ``configs/backend.conf`` does, at several times its cost: it is for trying the
comparison out, not for figures. It trusts its clients and never refuses anything.
"""

import argparse
import asyncio
import signal
import sys
from typing import cast

import uvloop

from loadtests.compare.wire import complete

BODY = b'{"items": [%s]}' % b", ".join(b"%d" % number for number in range(40))
FILE_BYTES = 1 << 20


def answer(version: str, body: bytes) -> bytes:
    """A 200."""
    head = f"HTTP/1.1 200 OK\r\nX-Version: {version}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Backend(asyncio.Protocol):
    """One connection to one version."""

    def __init__(self, version: str) -> None:
        self._small = answer(version, BODY)
        self._big = answer(version, b"\0" * FILE_BYTES)
        self._request = bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accepted."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer when a request is whole; its next one comes only after that."""
        self._request += data
        if complete(self._request):
            target = self._request.split(b" ", 2)[1]
            self._request.clear()
            self._transport.write(self._big if target == b"/1m.bin" else self._small)


async def serve(ports: list[int]) -> None:
    """Serve versions v1, v2, … until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    servers = [
        await loop.create_server(lambda name=f"v{place}": Backend(name), "127.0.0.1", port)  # type: ignore[misc]
        for place, port in enumerate(ports, 1)
    ]
    await stop.wait()
    for server in servers:
        server.close()


def main() -> int:
    """Serve on the ports given."""
    parser = argparse.ArgumentParser(description="A small back end on several ports.")
    parser.add_argument("ports", type=int, nargs="+")
    uvloop.run(serve(parser.parse_args().ports))
    return 0


if __name__ == "__main__":
    sys.exit(main())
