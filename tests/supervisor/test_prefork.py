"""Real processes, started, killed and replaced."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from proxy.supervisor import prefork
from proxy.supervisor.prefork import Prefork

# Says its pid over the link, then ends when the link does.
CHILD = """
import os, socket, sys
link = socket.socket(fileno=int(sys.argv[1]))
link.sendall(b"%d %s\\n" % (os.getpid(), ",".join(sys.argv[2:]).encode()))
while link.recv(1): pass
"""
STUBBORN = """
import os, signal, socket, sys, threading
signal.signal(signal.SIGTERM, signal.SIG_IGN)
socket.socket(fileno=int(sys.argv[1])).sendall(b"%d \\n" % os.getpid())
threading.Event().wait()
"""
DEAF = """
import os, socket, sys, threading
with socket.socket(fileno=int(sys.argv[1])) as link: link.sendall(b"%d \\n" % os.getpid())
threading.Event().wait()
"""
DIES = "import sys; sys.exit(3)"


class Book:
    """What the children have said."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
        self.links: dict[int, asyncio.StreamWriter] = {}
        self.gone: asyncio.Queue[int] = asyncio.Queue()

    async def serve(self, place: int, ours: socket.socket) -> None:
        ours.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            if line := await reader.readline():
                self.links[place] = writer
                self.said.put_nowait((place, line.decode().strip()))
            await reader.read()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            self.gone.put_nowait(place)

    async def next(self) -> tuple[int, str]:
        return await asyncio.wait_for(self.said.get(), 20)


@asynccontextmanager
async def running(
    code: str, places: list[list[socket.socket]]
) -> AsyncIterator[tuple[Prefork, Book]]:
    book = Book()
    workers = Prefork(("-c", code), places, book.serve)
    workers.start()
    try:
        yield workers, book
    finally:
        for writer in book.links.values():
            writer.close()
        await workers.ended(within_s=0.0)


def test_every_place_has_one_process_and_inherits_its_sockets() -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            async with running(CHILD, [[listener], []]) as (workers, book):
                said = dict([await book.next(), await book.next()])
                assert said[0].split()[1] == str(listener.fileno())
                assert len(said[1].split()) == 1
                assert {int(text.split()[0]) for text in said.values()} == set(
                    workers.pids.values()
                )

    asyncio.run(run())


def test_a_killed_process_is_replaced_and_the_other_stays() -> None:
    async def run() -> None:
        async with running(CHILD, [[], []]) as (workers, book):
            first = dict([await book.next(), await book.next()])
            os.kill(workers.pids[0], signal.SIGKILL)
            assert await asyncio.wait_for(book.gone.get(), 10) == 0
            place, said = await book.next()
            assert place == 0
            assert said != first[0]
            assert str(workers.pids[1]) == first[1]
            assert workers.restarts == 1

    asyncio.run(run())


def test_kill_replaces_a_process_that_hangs() -> None:
    async def run() -> None:
        async with running(STUBBORN, [[]]) as (workers, book):
            _, first = await book.next()
            workers.kill(0)
            workers.kill(5)  # nobody is there
            _, second = await book.next()
            assert first != second

    asyncio.run(run())


def test_leaving_waits_and_then_kills() -> None:
    async def run() -> None:
        async with running(CHILD, [[]]) as (workers, book):
            await book.next()
            ending = asyncio.create_task(workers.ended(within_s=20.0))
            book.links.pop(0).close()
            assert await ending, "it ended by itself"
        async with running(STUBBORN, [[]]) as (workers, book):
            await book.next()
            assert not await workers.ended(within_s=0.05)
            assert workers.pids == {}
            assert workers.restarts == 0

    asyncio.run(run())


def test_one_that_dies_at_once_is_started_with_growing_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prefork, "PAUSE_S", 0.001)
    pauses: list[float] = []
    wait_for = asyncio.wait_for

    async def noted(work: object, timeout: float | None = None) -> object:  # noqa: ASYNC109
        pauses.append(timeout or 0.0)
        return await wait_for(work, timeout)  # type: ignore[arg-type]

    async def run() -> None:
        book = Book()
        workers = Prefork(("-c", DIES), [[]], book.serve)
        monkeypatch.setattr(asyncio, "wait_for", noted)
        workers.start()
        while len(pauses) < 3:
            await wait_for(book.gone.get(), 20)
        await workers.ended(within_s=10.0)
        assert workers.restarts >= 3

    asyncio.run(run())
    assert pauses[:3] == [0.001, 0.002, 0.004]


def test_one_that_cannot_be_started_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(prefork, "PAUSE_S", 0.001)

    async def run() -> None:
        with monkeypatch.context() as broken:
            broken.setattr(sys, "executable", "/nowhere/python")
            book = Book()
            workers = Prefork(("-c", CHILD), [[]], book.serve)
            workers.start()
            while "cannot be started" not in caplog.text:  # noqa: ASYNC110 a log line
                await asyncio.sleep(0)
        await book.next()
        assert workers.restarts == 0
        for writer in book.links.values():
            writer.close()
        await workers.ended(within_s=5.0)

    asyncio.run(run())


def test_a_process_that_lives_on_without_its_link_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prefork, "LAST_S", 0.05)

    async def run() -> None:
        async with running(DEAF, [[]]) as (_, book):
            first = await book.next()
            assert await book.next() != first

    asyncio.run(run())
