"""Owns a back end that keeps a journal, and goes wrong on purpose. Run as a module.

The journal is written line by line without a buffer, so that what a killed one has seen is there:
``begin ID METHOD`` when a head has come, ``whole ID SHA256`` when the body has.
"""

import argparse
import asyncio
import contextlib
import hashlib
import os
import random
import socket
import struct

import uvloop

MODES = ("well", "hang", "truncate", "stale")
"""``hang`` never answers; ``truncate`` breaks off in the middle of each second answer, by turns
with RST and FIN; ``stale`` closes a kept connection soon after an answer, unannounced."""
BODY = b"x" * 8_192
STALE_S = 0.004


class Backend:
    """One process of it."""

    def __init__(self, name: str, mode: str, journal: int) -> None:
        self._name = name.encode()
        self._mode = mode
        self._journal = journal
        self._answers = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(
                    line.lower().split(b": ", 1)
                    for line in head.split(b"\r\n")[1:-2]
                    if b": " in line
                )
                ident = fields.get(b"x-request-id", b"-").decode()
                self._note(f"begin {ident} {head.split(b' ', 1)[0].decode()}")
                body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
                digest = hashlib.sha256(body).hexdigest()
                self._note(f"whole {ident} {digest}")
                if self._mode == "hang":
                    await asyncio.Event().wait()
                if not await self._answer(writer, digest):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            with contextlib.suppress(ConnectionError):
                writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, digest: str) -> bool:
        """Returns whether the connection goes on."""
        self._answers += 1
        head = (
            (
                f"HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\nX-Body: {digest}\r\nX-Backend: "
            ).encode()
            + self._name
            + b"\r\n\r\n"
        )
        if self._mode == "truncate" and self._answers % 2 == 0:
            writer.write(head + BODY[: len(BODY) // 2])
            await writer.drain()
            await asyncio.sleep(0.005)
            if self._answers % 4 == 0:
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            return False
        writer.write(head + BODY)
        await writer.drain()
        if self._mode == "stale":
            await asyncio.sleep(random.random() * STALE_S)
            return False
        return True

    def _note(self, line: str) -> None:
        os.write(self._journal, line.encode() + b"\n")


async def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--journal", required=True)
    parser.add_argument("--mode", choices=MODES, default="well")
    given = parser.parse_args()
    journal = os.open(given.journal, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    backend = Backend(given.name, given.mode, journal)
    server = await asyncio.start_server(
        backend.serve, "127.0.0.1", given.port, limit=1 << 20, backlog=1_024
    )
    print("serving on", given.port, flush=True)  # noqa: T201 a process of a test
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_main())
