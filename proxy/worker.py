"""Owns one process of the data plane: plane, counters and access log put together.

``Worker`` alone serves when one process is enough. With more, ``main`` runs in each child and takes
its orders over the link; it never decides anything, and leaves when its parent is gone.
"""

import asyncio
import logging
import signal
import socket
import sys
import time

import uvloop

from proxy.model.config import Config
from proxy.model.errors import ConfigError, Problem
from proxy.model.wire import (
    Ack,
    Counts,
    Install,
    Leave,
    Left,
    Nack,
    Pull,
    Reopen,
    Take,
    Taken,
    ToWorker,
)
from proxy.net.load import Load
from proxy.net.plane import Plane
from proxy.request_log import AccessLogger
from proxy.supervisor.link import Link, LinkClosed
from proxy.supervisor.memory import keep_buffers, spare_what_lasts
from proxy.supervisor.room import memory_reader, raise_open_files
from proxy.telemetry.access_log import AccessLog
from proxy.telemetry.metrics import Registry

LOG = logging.getLogger("splitway.worker")

FLUSH_S = 0.5
PARENT_GONE_S = 10.0


class Worker:
    """The data plane of this process.

    Raises:
        OSError: the access log cannot be opened.
    """

    def __init__(self, config: Config) -> None:
        self._registry = Registry()
        self._log = _opened(config.access_log.path) if config.access_log else None
        self._plane = Plane(
            self._registry.version,
            self._registry.unrouted,
            AccessLogger(self._log, time.time) if self._log else None,
            Load(raise_open_files(), memory_reader()),
            self._registry.copies,
        )
        self._flushing = asyncio.create_task(self._flush()) if self._log else None
        self.restarts = 0

    async def install(self, install: Install) -> tuple[Problem, ...]:
        """Serve by this from now on. Returns why not, if it is refused."""
        try:
            self._plane.install(install.config, install.snapshot, install.found)
        except ConfigError as error:
            return error.problems
        except Exception as error:
            # Nothing has changed; to end instead would leave requests unanswered.
            LOG.exception("revision %d cannot be installed", install.snapshot.revision)
            return (Problem("", f"cannot be installed: {error}"),)
        return ()

    async def listen(self, sockets: list[socket.socket]) -> None:
        """Accept connections, once the endpoints are checked that are to be; there must be a
        snapshot."""
        await self._plane.checked()
        await self._plane.listen(sockets)
        spare_what_lasts()

    async def counts(self) -> Counts:
        """What was counted so far."""
        dropped = self._log.dropped if self._log else 0
        return self._registry.counts(
            connections=len(self._plane.connections),
            log_dropped=dropped,
            shed=self._plane.load.shed,
            endpoints=self._plane.endpoint_states(),
            copies_dropped=self._plane.mirrors.dropped,
        )

    async def take(self) -> Taken:
        """What was seen since the last time, where users are split; the first time nothing."""
        self._plane.watch_splits()
        return self._registry.take()

    async def reopen_log(self) -> None:
        """Open the access log anew, after it was rotated."""
        if self._log:
            self._log.reopen()

    async def drain(self, deadline_s: float) -> bool:
        """Finish and close. Returns whether nothing had to be cut."""
        clean = await self._plane.drain(deadline_s)
        if self._flushing is not None and self._log is not None:
            self._flushing.cancel()
            await asyncio.gather(self._flushing, return_exceptions=True)
            self._log.close()
        return clean

    async def _flush(self) -> None:
        while self._log is not None:
            await asyncio.sleep(FLUSH_S)
            self._log.flush()


def _opened(path: str) -> AccessLog:
    try:
        return AccessLog(path)
    except OSError as error:
        raise OSError(f"access_log.path: {path}: {error.strerror or error}") from error


async def serve_link(link: Link, sockets: list[socket.socket]) -> None:
    """Follow the parent's orders until it says to leave, or is gone."""
    child = _Child(sockets)
    try:
        while not isinstance(order := await link.receive(), Leave):
            await link.send(await child.obey(order))
        await child.leave(link, order.deadline_s)
    except LinkClosed:
        LOG.warning("the first process is gone; leaving")
        await child.drain(PARENT_GONE_S)


class _Child:
    """A worker under a parent; there is none before the first ``Install``."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        self._sockets = sockets
        self._worker: Worker | None = None

    async def obey(self, order: Install | Pull | Take | Reopen) -> Ack | Nack | Counts | Taken:
        """Do it; returns the answer."""
        if isinstance(order, Install):
            problems = await self._install(order)
            revision = order.snapshot.revision
            return Nack(revision, problems) if problems else Ack(revision)
        if isinstance(order, Take):
            return await self.take()
        if isinstance(order, Reopen) and self._worker is not None:
            await self._worker.reopen_log()
        return await self.counts()

    async def leave(self, link: Link, deadline_s: float) -> None:
        """Drain, still answering meanwhile, then say the last words."""
        draining = asyncio.create_task(self.drain(deadline_s))
        obeying = asyncio.create_task(self._obey_until_hurried(link))
        await asyncio.wait((draining, obeying), return_when=asyncio.FIRST_COMPLETED)
        hurried = obeying.done() and not obeying.cancelled() and obeying.result()
        clean = await self.drain(0.0) if hurried else True
        clean &= await draining
        obeying.cancel()
        await asyncio.wait((obeying,))
        taken = await self.take()
        await link.send(Left(await self.counts(), clean, taken))

    async def drain(self, deadline_s: float) -> bool:
        """Finish and close. Returns whether nothing had to be cut."""
        return await self._worker.drain(deadline_s) if self._worker is not None else True

    async def counts(self) -> Counts:
        """What was counted so far."""
        return await self._worker.counts() if self._worker is not None else Counts(versions=())

    async def take(self) -> Taken:
        """What was seen since the last time, where users are split."""
        return await self._worker.take() if self._worker is not None else Taken()

    async def _install(self, install: Install) -> tuple[Problem, ...]:
        if self._worker is not None:
            return await self._worker.install(install)
        try:
            worker = Worker(install.config)
        except OSError as error:
            return (Problem("", str(error)),)
        if problems := await worker.install(install):
            await worker.drain(0.0)
            return problems
        await worker.listen(self._sockets)
        self._worker = worker
        return ()

    async def _obey_until_hurried(self, link: Link) -> bool:
        """Returns whether the parent asks to cut; not so if it is gone: then the deadline holds."""
        try:
            while not isinstance(order := await link.receive(), Leave):
                await link.send(await self.obey(order))
        except LinkClosed:
            return False
        return True


def main() -> None:
    """Run as a child: arguments are the descriptors of the link and of the bound sockets."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    # A terminal signals the whole group; the parent decides what follows.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    keep_buffers()
    link_fd, *listening = map(int, sys.argv[1:])

    async def run() -> None:
        link = await Link.over(socket.socket(fileno=link_fd), ToWorker)
        try:
            await serve_link(link, [socket.socket(fileno=fd) for fd in listening])
        finally:
            await link.close()

    uvloop.run(run())


if __name__ == "__main__":
    main()
