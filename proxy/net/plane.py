"""Owns the data plane of one process: listeners, connections, the runtime in force, draining.

It is given snapshots and never asks where they came from.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import secrets
import socket
from collections.abc import Callable, Coroutine
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, cast

from proxy.core.forwarded import TrustedProxies
from proxy.core.router import Router, compile_router
from proxy.core.slot import SLOTS
from proxy.http1.forward import Hop
from proxy.model.address import parse_endpoint
from proxy.model.config import Downstream, Limits
from proxy.net.acceptor import Acceptor
from proxy.net.deadline import Timers
from proxy.net.downstream import DownstreamConnection
from proxy.net.load import Load
from proxy.net.outbox import Outbox
from proxy.net.pool import EndpointPool
from proxy.net.runtime import Idents, Runtime, VersionRuntime
from proxy.net.turns import Turns

if TYPE_CHECKING:
    from proxy.model.config import Config
    from proxy.model.wire import Snapshot
    from proxy.net.observer import VersionObserver
    from proxy.net.runtime import RequestLog
    from proxy.net.tunnel import Tunnel

SWEEP_S = 0.5
"""How often idle connections to endpoints are looked through."""
DRAIN_IDLE_S = 1.0
"""A draining proxy closes a connection that has been idle this long: a client about to send its
next request has most likely done so by then."""
DRAIN_TICK_S = 0.1
TUNNELS_PART = 0.9
"""Of the time there is for a drain: what is left is for their ends to close."""
LOOK_S = 1.0
"""An idle connection is looked at so soon: it may not have read the answer yet."""
ROOM_S = 0.1
"""How often the connections are looked through for idle ones, once there are too many."""
ROOM_IDLE_S = 1.0
"""A connection that has been idle for less is probably about to be used."""
ROOM_AT_ONCE = 64
"""So many are closed together: looking for each newcomer's own would cost more than serving it."""
KNOWN_PEERS = 4096

LOG = logging.getLogger("splitway.net")


class Plane:
    """The data plane of one process.

    Args:
        observe: the observer of a version, by service and version; the same one each time.
        nobody: observes requests that reached no service.
        log: the access log, if one is wanted.
        load: what clients use of this process.

    Attributes:
        downstream, limits, idle_s, look_s: what of the configuration each connection looks at.
    """

    def __init__(
        self,
        observe: Callable[[str, str], VersionObserver],
        nobody: VersionObserver,
        log: RequestLog | None,
        load: Load | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.timers = Timers(self.loop)
        self.turns = Turns(self.loop)
        self.outbox = Outbox(self.loop)
        self.connections: set[DownstreamConnection] = set()
        self.tunnels: set[Tunnel] = set()
        self.draining = False
        self.load = load or Load(open_files=1 << 20, memory=lambda _: (0, 0))
        self.downstream = Downstream()
        self.limits = Limits()
        self.idle_s = 75.0
        self.look_s = LOOK_S
        self.runtime: Runtime
        self._observe = observe
        self._nobody = nobody
        self._log = log
        self._pools: dict[str, EndpointPool] = {}
        self._acceptors: list[Acceptor] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._idents = Idents(os.urandom(8).hex().encode())
        self._trusted = TrustedProxies(())
        self._hops: dict[str, Hop] = {}
        self._room_at = 0.0
        self._tunnel_s = 10.0
        self._upstream_s = 4.0
        self._sweep: asyncio.TimerHandle = self.loop.call_later(SWEEP_S, self._sweep_pools)

    def install(self, config: Config, snapshot: Snapshot) -> None:
        """Serve from now on by ``snapshot``, and by what ``config`` says of this process.

        Requests in hand finish on the revision they began with.

        Raises:
            ConfigError: nothing has changed.
        """
        router = make_router(config, snapshot)
        pools: dict[str, EndpointPool] = {}
        versions = []
        for target in router.versions:
            for name in target.endpoints:
                pools[name] = pools.get(name) or self._pool(name)
            versions.append(
                VersionRuntime(
                    [pools[name] for name in target.endpoints],
                    self._observe(target.service, target.version),
                    self.timers,
                    random.randrange(len(target.endpoints)),
                )
            )
        self.runtime = Runtime(
            revision=snapshot.revision,
            router=router,
            versions=versions,
            nobody=self._nobody,
            idents=self._idents,
            spawn=self.spawn,
            log=self._log,
            debug=config.debug_header,
        )
        gone = [pool for name, pool in self._pools.items() if name not in pools]
        self._pools = pools
        self._trusted = TrustedProxies(config.trusted_proxies)
        self._hops = {}
        self._tunnel_s = config.drain.tunnel_s
        self.downstream = config.downstream
        self.limits = config.limits
        self.load.limit(config.limits)
        self.idle_s = config.keepalive.downstream_s
        self.look_s = min(self.idle_s, LOOK_S)
        self._upstream_s = config.keepalive.upstream_s
        for pool in gone:
            pool.close()

    async def listen(self, sockets: list[socket.socket]) -> None:
        """Accept connections on bound sockets; owns them from now on."""
        for sock in sockets:
            # They have what a protocol has, but not its class (ADR 9).
            make = cast("Callable[[], asyncio.Protocol]", partial(DownstreamConnection, self))
            acceptor = Acceptor(make, sock)
            self._acceptors.append(acceptor)
            await acceptor.open()

    async def drain(self, deadline_s: float) -> bool:
        """Stop accepting, finish what is in hand, close.

        Responses from now on say ``Connection: close``. Connections on which nothing was asked for
        a second are closed, tunnels after ``drain.tunnel_s``.

        Returns:
            Whether everything was finished within ``deadline_s``; what was not is cut.
        """
        self.draining = True
        for acceptor in self._acceptors:
            acceptor.close()
        for connection in self.connections:
            connection.announce_close()
        start = self.loop.time()
        end = start + deadline_s
        tunnels_end = start + min(self._tunnel_s, deadline_s * TUNNELS_PART)
        while self.connections and (now := self.loop.time()) < end:
            for connection in list(self.connections):
                if connection.is_idle(now - DRAIN_IDLE_S):
                    connection.close_idle()
            if now >= tunnels_end:  # whenever they were opened
                for tunnel in list(self.tunnels):
                    tunnel.close()
            await asyncio.sleep(DRAIN_TICK_S)
        clean = not self.connections
        await self.close()
        return clean

    async def close(self) -> None:
        """Cut everything."""
        self.outbox.flush()
        self._sweep.cancel()
        for acceptor in self._acceptors:
            acceptor.close()
        for tunnel in list(self.tunnels):
            tunnel.abort()
        for connection in list(self.connections):
            connection.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        for pool in self._pools.values():
            pool.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # lets connection_lost be called
        self.timers.close()

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run ``work``; whatever it raises is logged."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def hop(self, peer: str) -> Hop:
        """What the requests of a client at ``peer`` are told."""
        hop = self._hops.get(peer)
        if hop is None:
            if len(self._hops) >= KNOWN_PEERS:
                self._hops.clear()
            hop = self._hops[peer] = Hop(peer, trusted=self._trusted.contains(peer))
        return hop

    def make_room(self) -> bool:
        """Close connections that have been idle for a while. Returns whether there were any."""
        now = self.loop.time()
        if now < self._room_at:
            return False
        idle = (c for c in self.connections if c.is_idle(now - ROOM_IDLE_S))
        found = list(islice(idle, ROOM_AT_ONCE))
        for connection in found:
            connection.close_idle()
        if len(found) < ROOM_AT_ONCE:  # there are no more of them
            self._room_at = now + ROOM_S
        return bool(found)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.error("a request failed inside the proxy", exc_info=error)

    def _pool(self, name: str) -> EndpointPool:
        pool = self._pools.get(name)
        return pool or EndpointPool(parse_endpoint(name), name, self.timers, self.outbox)

    def _sweep_pools(self) -> None:
        for pool in self._pools.values():
            pool.sweep(self._upstream_s)
        self.load.look()
        self._sweep = self.loop.call_later(SWEEP_S, self._sweep_pools)


def make_router(config: Config, snapshot: Snapshot) -> Router:
    """The pure router of a snapshot, given this process's randomness.

    Raises:
        ConfigError: the snapshot contradicts itself.
    """
    return compile_router(
        snapshot,
        TrustedProxies(config.trusted_proxies),
        draw_slot=partial(random.randrange, SLOTS),
        new_id=partial(secrets.token_urlsafe, 16),
        ambiguous_paths=config.ambiguous_paths,
    )
