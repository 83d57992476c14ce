"""Owns one process of the data plane: plane, counters and access log put together.

``Worker`` alone serves when one process is enough. With more, ``main`` runs in each child and takes
its orders over the link; it never decides anything, and leaves when its parent is gone.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import time

import uvloop

from proxy.model.config import Config
from proxy.model.errors import ConfigError, Problem
from proxy.model.wire import Ack, Counts, Install, Leave, Nack, Pull, Reopen, Snapshot, ToWorker
from proxy.net.plane import Plane
from proxy.request_log import AccessLogger
from proxy.supervisor.link import Link, LinkClosed
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
        self._log = AccessLog(config.access_log.path) if config.access_log else None
        self._plane = Plane(
            self._registry.version,
            self._registry.unrouted,
            AccessLogger(self._log, time.time) if self._log else None,
        )
        self._flushing = asyncio.create_task(self._flush()) if self._log else None
        self.restarts = 0

    async def install(self, config: Config, snapshot: Snapshot) -> tuple[Problem, ...]:
        """Serve by ``snapshot`` from now on. Returns why not, if it is refused."""
        try:
            self._plane.install(config, snapshot)
        except ConfigError as error:
            return error.problems
        return ()

    async def listen(self, sockets: list[socket.socket]) -> None:
        """Accept connections; there must be a snapshot."""
        await self._plane.listen(sockets)

    async def counts(self) -> Counts:
        """What was counted so far."""
        dropped = self._log.dropped if self._log else 0
        return self._registry.counts(connections=len(self._plane.connections), log_dropped=dropped)

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


async def serve_link(link: Link, sockets: list[socket.socket]) -> None:
    """Follow the parent's orders until it says to leave, or is gone."""
    worker: Worker | None = None
    with contextlib.suppress(LinkClosed):
        while True:
            match await link.receive():
                case Install(config=config, snapshot=snapshot):
                    first = worker is None
                    worker = worker or Worker(config)
                    problems = await worker.install(config, snapshot)
                    if first and not problems:
                        await worker.listen(sockets)
                    revision = snapshot.revision
                    await link.send(Nack(revision, problems) if problems else Ack(revision))
                case Pull():
                    await link.send(await worker.counts() if worker else Counts(versions=()))
                case Reopen():
                    if worker is not None:
                        await worker.reopen_log()
                    await link.send(Counts(versions=()))
                case Leave(deadline_s=deadline_s):
                    if worker is not None:
                        await worker.drain(deadline_s)
                        await link.send(await worker.counts())
                    return
    LOG.error("the first process is gone; leaving")
    if worker is not None:
        await worker.drain(PARENT_GONE_S)


def main() -> None:
    """Run as a child: arguments are the descriptors of the link and of the bound sockets."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(
            number, signal.SIG_IGN
        )  # a terminal signals the whole group; the parent decides
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
