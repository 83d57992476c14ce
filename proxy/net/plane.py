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
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, cast

from proxy.core.forwarded import TrustedProxies
from proxy.core.router import Router, compile_router
from proxy.core.segments import compile_segments
from proxy.core.slot import SLOTS
from proxy.core.token_bucket import TokenBucket
from proxy.core.user import compile_user
from proxy.http1.forward import Hop
from proxy.model.address import parse_endpoint
from proxy.model.config import Breakers, Downstream, Limits, RateLimit
from proxy.model.found import NOTHING, FoundEndpoints, endpoints_of, has_sources
from proxy.model.wire import Edges, EndpointStates
from proxy.net.acceptor import Acceptor
from proxy.net.deadline import Timers
from proxy.net.downstream import DownstreamConnection
from proxy.net.edits import compile_edits
from proxy.net.endpoints import EndpointSet, is_plain, rules_of
from proxy.net.faults import compile_faults
from proxy.net.health import EndpointWatch
from proxy.net.load import Load
from proxy.net.mirror import Mirrors, MirrorTarget
from proxy.net.outbox import Outbox
from proxy.net.pool import EndpointPool
from proxy.net.retries import compile_retries
from proxy.net.runtime import Idents, Runtime, VersionRuntime
from proxy.net.turns import Turns

if TYPE_CHECKING:
    from proxy.core.decision import Target
    from proxy.model.config import Config, Route, Service, Sticky
    from proxy.model.wire import Snapshot
    from proxy.net.edits import Edits
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
        observe_copies: as ``observe``, of mirrored requests.

    Attributes:
        downstream, limits, idle_s, look_s: what of the configuration each connection looks at.
    """

    # With as many attributes as these, an instance without slots is a dictionary, and slower.
    __slots__ = (
        "_acceptors", "_buckets", "_edges", "_hops", "_idents", "_log", "_nobody", "_observe",
        "_observe_copies", "_pools", "_room_at", "_secret", "_sticky", "_sweep", "_tasks",
        "_trusted", "_tunnel_s", "_upstream_s", "_watches", "_watches_splits", "connections",
        "downstream", "draining", "idle_s", "limits", "load", "look_s", "loop", "mirrors",
        "outbox", "runtime", "timers", "tunnels", "turns",
    )  # fmt: skip

    def __init__(
        self,
        observe: Callable[[str, str], VersionObserver],
        nobody: VersionObserver,
        log: RequestLog | None,
        load: Load | None = None,
        observe_copies: Callable[[str, str], VersionObserver] | None = None,
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
        self.mirrors = Mirrors(self.spawn)
        self._observe_copies = observe_copies or observe
        self._acceptors: list[Acceptor] = []
        self._buckets: dict[tuple[int, RateLimit], TokenBucket] = {}
        self._watches: dict[tuple[str, str], EndpointWatch] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._idents = Idents(os.urandom(8).hex().encode())
        self._trusted = TrustedProxies(())
        self._watches_splits = False
        self._secret = b""
        self._edges: dict[str, Edges] = {}
        self._sticky: list[Sticky] = []
        self._hops: dict[str, Hop] = {}
        self._room_at = 0.0
        self._tunnel_s = 10.0
        self._upstream_s = 4.0
        self._sweep: asyncio.TimerHandle = self.loop.call_later(SWEEP_S, self._sweep_pools)

    def watch_splits(self) -> None:
        """Look from now on whose requests are, and what endpoints do, where users are split between
        versions; until this is asked, nobody does."""
        if self._watches_splits:
            return
        self._watches_splits = True
        self._watch_versions()

    def _watch_versions(self) -> None:
        targets = self.runtime.router.versions
        shares = Counter(target.service for target in targets if target.share)
        for target, version, sticky in zip(
            targets, self.runtime.versions, self._sticky, strict=True
        ):
            if shares[target.service] > 1:
                version.find_user = compile_user(sticky, self._trusted, self._secret)
                version.edges = self._edges.get(target.service, ())

    def install(self, config: Config, snapshot: Snapshot, found: FoundEndpoints = NOTHING) -> None:
        """Serve from now on by ``snapshot``, and by what ``config`` says of this process.

        Requests in hand finish on the revision they began with.

        Raises:
            ConfigError: nothing has changed.
        """
        router = make_router(config, snapshot, found)
        pools: dict[str, EndpointPool] = {}
        versions = []
        watches: dict[tuple[str, str], EndpointWatch] = {}
        for target in router.versions:
            for name in target.endpoints:
                pools[name] = pools.get(name) or self._pool(name)
            own = [pools[name] for name in target.endpoints]
            service = snapshot.traffic.services[target.service]
            watch = self._watch(service, target, own, config.zone, found)
            if watch is not None:
                watches[target.service, target.version] = watch
            versions.append(
                VersionRuntime(
                    own,
                    self._observe(target.service, target.version),
                    self.timers,
                    random.randrange(max(1, len(target.endpoints))),
                    None if watch is None else watch.endpoints,
                    None if service.breakers == Breakers() else service.breakers,
                )
            )
        trusted = TrustedProxies(config.trusted_proxies)
        for target, version in zip(router.versions, versions, strict=True):
            segments = snapshot.traffic.services[target.service].segments
            version.find_segments = compile_segments(segments, trusted)
        # Random, and known to nobody who has no token (``proxy.core.user``).
        self._secret = snapshot.store.encode()[:64]
        self._edges = snapshot.edges
        self._sticky = [snapshot.traffic.services[each.service].sticky for each in router.versions]
        _set_fallbacks(snapshot.traffic.services, router.versions, versions)
        edits = compile_edits(router.routes, snapshot.traffic.services, router.versions)
        self.runtime = Runtime(
            revision=snapshot.revision,
            router=router,
            versions=versions,
            nobody=self._nobody,
            idents=self._idents,
            edits=edits,
            retries=compile_retries(router.routes),
            buckets=self._rate_limits(router.routes),
            faults=compile_faults(router.routes, trusted),
            mirrors=self._mirror_targets(router, versions, edits),
            spawn=self.spawn,
            log=self._log,
            debug=config.debug_header,
        )
        gone = [pool for name, pool in self._pools.items() if name not in pools]
        self._pools = pools
        self._trusted = trusted
        if self._watches_splits:
            self._watch_versions()
        self._hops = {}
        self._tunnel_s = config.drain.tunnel_s
        self.downstream = config.downstream
        self.limits = config.limits
        self.load.limit(config.limits)
        self.idle_s = config.keepalive.downstream_s
        self.look_s = min(self.idle_s, LOOK_S)
        self._upstream_s = config.keepalive.upstream_s
        kept = set(watches.values())
        for watch in self._watches.values():
            if watch not in kept:
                self.spawn(watch.close())
        self._watches = watches
        for pool in gone:
            pool.close()

    def endpoint_states(self) -> tuple[EndpointStates, ...]:
        """What is known of every endpoint of the revision in force."""
        found = []
        for target in self.runtime.router.versions:
            watch = self._watches.get((target.service, target.version))
            for index, name in enumerate(target.endpoints):
                states = EndpointStates(target.service, target.version, name)
                state = "used" if watch is None else watch.endpoints.state_of(index)
                setattr(states, state, 1)
                states.busy = self._pools[name].busy
                found.append(states)
        return tuple(found)

    async def checked(self) -> None:
        """Every endpoint that is to be checked was checked once."""
        for watch in list(self._watches.values()):
            await watch.known()

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
        for watch in self._watches.values():
            await watch.close()
        self._watches = {}
        for acceptor in self._acceptors:
            acceptor.close()
        for tunnel in list(self.tunnels):
            tunnel.abort()
        for connection in list(self.connections):
            connection.transport.abort()
        for copy in list(self.mirrors.active):
            copy.cut()
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

    def _rate_limits(self, routes: Sequence[Route]) -> tuple[TokenBucket | None, ...]:
        """A bucket for each route that is limited; the same as before where its limit is."""
        before, self._buckets = self._buckets, {}
        for index, route in enumerate(routes):
            limit = route.rate_limit
            if limit is not None:
                key = (index, limit)
                self._buckets[key] = before.get(key) or TokenBucket(
                    limit.per_s, limit.burst, self.loop.time()
                )
        if not self._buckets:
            return ()
        found = {index: bucket for (index, _), bucket in self._buckets.items()}
        return tuple(found.get(index) for index in range(len(routes)))

    def _mirror_targets(
        self,
        router: Router,
        versions: Sequence[VersionRuntime],
        edits: Mapping[tuple[int, int], Edits],
    ) -> tuple[tuple[MirrorTarget, ...], ...]:
        """Who gets copies, by route."""
        if not any(route.mirror for route in router.routes):
            return ()
        by_name = {(target.service, target.version): target.index for target in router.versions}
        return tuple(
            tuple(
                MirrorTarget(
                    mirror,
                    self.mirrors,
                    by_name[route.service or "", mirror.version],
                    versions[by_name[route.service or "", mirror.version]],
                    self._observe_copies(route.service or "", mirror.version),
                    router.timeouts[index],
                    edits.get((index, by_name[route.service or "", mirror.version])),
                )
                for mirror in route.mirror
            )
            for index, route in enumerate(router.routes)
        )

    def _watch(
        self,
        service: Service,
        target: Target,
        pools: list[EndpointPool],
        zone: str,
        found: FoundEndpoints,
    ) -> EndpointWatch | None:
        """Who looks after a version's endpoints; the same as before where nothing has changed."""
        version = service.versions[target.version]
        endpoints = endpoints_of(version, found)
        if is_plain(service, endpoints) and not has_sources(version):
            return None
        before = self._watches.get((target.service, target.version))
        rules = rules_of(service, endpoints, zone)
        if before is not None and before.endpoints.rules == rules:
            return before
        observer = self._observe(target.service, target.version)
        made = EndpointSet(service, endpoints, pools, self.timers, zone, observer.ejected)
        if before is not None:
            made.adopt(before.endpoints)
        return EndpointWatch(service, made)

    def _sweep_pools(self) -> None:
        for pool in self._pools.values():
            pool.sweep(self._upstream_s)
        self.load.look()
        self._sweep = self.loop.call_later(SWEEP_S, self._sweep_pools)


def _set_fallbacks(
    services: Mapping[str, Service], targets: Sequence[Target], versions: Sequence[VersionRuntime]
) -> None:
    by_name = {(target.service, target.version): target.index for target in targets}
    for target, version in zip(targets, versions, strict=True):
        fallback = services[target.service].fallback
        if fallback is not None and fallback.version != target.version:
            version.fallback = versions[by_name[target.service, fallback.version]]


def make_router(config: Config, snapshot: Snapshot, found: FoundEndpoints = NOTHING) -> Router:
    """The pure router of a snapshot, given this process's randomness.

    Raises:
        ConfigError: the snapshot contradicts itself.
    """
    return compile_router(
        snapshot,
        TrustedProxies(config.trusted_proxies),
        draw_slot=partial(random.randrange, SLOTS),
        new_id=partial(secrets.token_urlsafe, 16),
        clock=time.time,
        ambiguous_paths=config.ambiguous_paths,
        found=found,
    )
