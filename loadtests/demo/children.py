"""Owns the processes that the demo starts: their logs, their deaths, their ends.

Never knows what a process does. Each is ended by its own id: SIGTERM, and SIGKILL if it has not
left in time. Each is its own session, so that Ctrl-C reaches the demo alone, which ends them in
order.
"""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

STOP_S = 8.0
TAIL_LINES = 20


class ChildDied(Exception):
    """A process ended that should not have; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Child:
    """One process and its log."""

    name: str
    process: Process
    log: Path

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def death(self) -> ChildDied:
        """How it ended, in words."""
        code = self.process.returncode or 0
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return ChildDied(
            f"{self.name} (pid {self.process.pid}) ended {how}; {self.log} ends with:\n"
            + (self.tail() or "(nothing)")
        )

    async def end(self, within_s: float = STOP_S) -> bool:
        """Ends it; False if it had to be killed."""
        if self.process.returncode is not None:
            return True
        self._send(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), within_s)
        except TimeoutError:
            self.kill()
            await self.process.wait()
            return False
        except asyncio.CancelledError:
            self.kill()
            raise
        return True

    def kill(self) -> None:
        """Ends it at once."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        # Not process.send_signal: it first reaps who has died meanwhile, and the loop's watcher,
        # coming too late, then knows no exit code.
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, number)


class Children:
    """Every process of one run; leaving the context ends them, the last started first."""

    def __init__(self, folder: Path, cwd: Path | None = None) -> None:
        self._folder = folder
        self._cwd = cwd
        self._running: list[Child] = []
        self._watchers: list[asyncio.Task[None]] = []
        self._death: asyncio.Future[ChildDied] = asyncio.get_running_loop().create_future()
        self._ending = False
        self.killed: list[str] = []
        """Processes that did not leave in time and were killed."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end_all()

    async def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        lasting: bool = True,
    ) -> Child:
        """Starts a process; its output goes to ``NAME.log`` in the run's folder.

        A ``lasting`` one is expected to stay: its end is a death (``first_death``).
        """
        log = self._folder / f"{name}.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=DEVNULL,
                stdout=output,
                stderr=STDOUT,
                env=environment,
                cwd=self._cwd,
                start_new_session=True,
            )
        child = Child(name, process, log)
        self._running.append(child)
        if lasting:
            self._watchers.append(asyncio.create_task(self._watch(child)))
        return child

    async def _watch(self, child: Child) -> None:
        await child.process.wait()
        if not self._ending and not self._death.done():
            self._death.set_result(child.death())

    async def first_death(self) -> ChildDied:
        """Waits until a lasting process ends unasked."""
        return await asyncio.shield(self._death)

    async def end(self, child: Child) -> None:
        """Ends one process that was not lasting."""
        if not await child.end():
            self.killed.append(child.name)

    async def end_all(self) -> None:
        """Ends every process, the last started first."""
        self._ending = True
        while self._running:
            await self.end(self._running[-1])
            self._running.pop()
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)

    def kill_all(self) -> None:
        """Ends every process at once, for those who cannot wait."""
        self._ending = True
        for child in self._running:
            child.kill()
