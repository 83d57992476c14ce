"""Owns a number of worker processes: started, watched, started again. Knows nothing of HTTP.

Each place has one process at a time. A worker that dies is replaced at once; one that dies within
seconds of its start is given a growing pause, so that a fault at start is no busy loop.
"""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

LOG = logging.getLogger("splitway.supervisor")

SHORT_LIFE_S = 5.0
PAUSE_S = 0.2
MAX_PAUSE_S = 5.0
LAST_S = 2.0
"""Between the end of a process and of its link, whichever is first: time for what is on its way."""


class Prefork:
    """Keeps one process running in each of several places.

    Args:
        command: arguments behind the interpreter; the link's file descriptor and those of the
            place's sockets follow them.
        places: what each place's process inherits.
        serve: called with the place's number and our end of its socket pair each time a process
            was started. It returns when the link is closed, and the process is then ended; it is
            cancelled when the process is gone and it does not return.
        environment: of the processes; ours by default.
    """

    def __init__(
        self,
        command: Sequence[str],
        places: Sequence[Sequence[socket.socket]],
        serve: Callable[[int, socket.socket], Coroutine[Any, Any, None]],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = command
        self._environment = environment
        self._places = places
        self._serve = serve
        self._leaving = asyncio.Event()
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.restarts = 0

    @property
    def pids(self) -> dict[int, int]:
        """The process of each place, those running now."""
        return {place: process.pid for place, process in self._processes.items()}

    def start(self) -> None:
        """Start every place's process."""
        self._tasks = [
            asyncio.create_task(self._keep(place, sockets), name=f"worker-{place}")
            for place, sockets in enumerate(self._places)
        ]

    def kill(self, place: int) -> None:
        """End a process that no longer does what it is told; another takes its place."""
        process = self._processes.get(place)
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    def leave(self) -> None:
        """Start nothing again from now on."""
        self._leaving.set()

    async def ended(self, within_s: float) -> bool:
        """Wait for every process to end by itself; kill what is left after ``within_s``."""
        self.leave()
        _, late = await asyncio.wait(self._tasks, timeout=within_s)
        for place in list(self._processes):
            self.kill(place)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return not late

    async def _keep(self, place: int, sockets: Sequence[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        pause_s = PAUSE_S
        while not self._leaving.is_set():
            begun = loop.time()
            try:
                status = await self._live(place, sockets)
            except OSError as error:  # out of descriptors, processes or memory: that passes
                LOG.warning("worker %d cannot be started, trying again: %s", place, error)
            else:
                if self._leaving.is_set():
                    return
                self.restarts += 1
                LOG.error("worker %d ended with status %s; starting another", place, status)
            if loop.time() - begun > SHORT_LIFE_S:
                pause_s = PAUSE_S
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), pause_s)
            pause_s = min(pause_s * 2, MAX_PAUSE_S)

    async def _live(self, place: int, sockets: Sequence[socket.socket]) -> int | None:
        """One process from its start to its end.

        Raises:
            OSError: it cannot be started.
        """
        ours, theirs = socket.socketpair()
        try:
            process = await self._spawn(theirs, sockets)
        except BaseException:
            ours.close()
            raise
        self._processes[place] = process
        if self._leaving.is_set():  # too late to be told so
            self.kill(place)
        serving = asyncio.create_task(self._serve(place, ours))
        ending = asyncio.create_task(process.wait())
        try:
            await asyncio.wait((serving, ending), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((serving, ending), timeout=LAST_S)
            if not ending.done():
                self.kill(place)
            return await ending
        finally:
            del self._processes[place]
            serving.cancel()
            await asyncio.wait((serving,))
            if not serving.cancelled() and (error := serving.exception()) is not None:
                LOG.error("worker %d: its link failed", place, exc_info=error)

    async def _spawn(
        self, theirs: socket.socket, sockets: Sequence[socket.socket]
    ) -> asyncio.subprocess.Process:
        with theirs:
            descriptors = [theirs.fileno(), *(sock.fileno() for sock in sockets)]
            return await asyncio.create_subprocess_exec(
                sys.executable,
                *self._command,
                *map(str, descriptors),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=descriptors,
                env=self._environment,
            )
