"""Owns which configuration is in force, and telling it: to the workers, and on the admin port.

There is one agent a proxy, however many workers. Its sources are the file, the control plane, and
the last good snapshot on disk. The file always says what the process itself needs; services and
routes come from the control plane once it has sent some, and from the file until then. A
configuration is in force when every worker serves by it, or is refused whole.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol

import msgspec
from aiohttp import web

from proxy import __version__
from proxy.admin import Running, build_admin
from proxy.core.router import Router
from proxy.discovery.following import Discovery
from proxy.model.config import Config, traffic_of
from proxy.model.errors import ConfigError, Problem
from proxy.model.found import sources_of
from proxy.model.parse import parse_config
from proxy.model.wire import Counts, Hello, Install, Snapshot, Taken
from proxy.net.plane import make_router
from proxy.sync.file import FileWatch
from proxy.sync.identity import Identity, identity_in
from proxy.sync.report import Shares, shares_of
from proxy.sync.reporting import Measured, Reporting
from proxy.sync.state import StateFile
from proxy.sync.stream import ControlStream
from proxy.sync.trust import TlsFiles
from proxy.telemetry.exposition import ProxyState

LOG = logging.getLogger("splitway.agent")

FIXED = ("listeners", "admin", "control", "access_log", "discovery")
"""What a running process cannot change: sockets, identities and files it has opened."""

Source = Literal["file", "control", "state"]


class Workers(Protocol):
    """One worker or several: who carries the traffic."""

    @property
    def restarts(self) -> int:
        """How often a worker was started in place of one that died."""

    async def install(self, install: Install) -> tuple[Problem, ...]:
        """Serve by this from now on. Returns why not, if it is refused."""

    async def counts(self) -> Counts:
        """What all workers, past ones too, have counted."""

    async def take(self) -> Taken:
        """What any of them has seen since the last time, where users are split; the first time
        nothing."""

    async def reopen_log(self) -> None:
        """Open the access log anew."""

    async def drain(self, deadline_s: float) -> bool:
        """Finish and end. Returns whether nothing had to be cut."""


def first_snapshot(config: Config) -> tuple[Snapshot, Source]:
    """What to begin with: the last good snapshot of the control plane, else the file."""
    if config.control is not None:
        kept = StateFile(Path(config.control.state_file)).read()
        if kept is not None and _is_usable(config, kept):
            return kept, "state"
    return Snapshot(revision=1, traffic=traffic_of(config)), "file"


def _is_usable(config: Config, kept: Snapshot) -> bool:
    """An earlier release may have kept what this one refuses."""
    try:
        make_router(config, kept)
    except ConfigError as error:
        LOG.warning("last good snapshot refused, the file serves: %s", error)
        return False
    return True


class Agent:
    """The one who decides what is in force (``proxy.admin.AdminState``).

    Args:
        path, text: the configuration file and what was read from it.
        config: the text, parsed.
        snapshot, source: what the workers serve by already.
        discovery: follows the snapshot's sources already.
        leave: begins to end the process.
    """

    def __init__(
        self,
        path: Path,
        text: str,
        config: Config,
        snapshot: Snapshot,
        source: Source,
        discovery: Discovery,
        workers: Workers,
        leave: Callable[[], None],
    ) -> None:
        self._path = path
        self._config = config
        self._snapshot = snapshot
        self._source: Source = source
        self._discovery = discovery
        self._workers = workers
        self._leave = leave
        self._leaving = False
        self._rejected = 0
        self._instance = f"{socket.gethostname()[:64]}-{os.urandom(4).hex()}"
        self._identity = Identity()
        self._changing = asyncio.Lock()
        self._reopening: set[asyncio.Task[None]] = set()
        self._router: Router | None = None
        self._watch = FileWatch(path, text, self.take_file)
        self._watching: list[asyncio.Task[None]] = []
        self._runner: web.AppRunner | None = None
        self._stream: ControlStream | None = None
        self._state: StateFile | None = None
        self._reporting: Reporting | None = None
        self._shares: Shares | None = None
        self._watched = False
        if (control := config.control) is not None:
            self._state = StateFile(Path(control.state_file))
            files = TlsFiles(control.ca_file, control.cert_file, control.key_file)
            self._reporting = Reporting(self._measured)
            self._stream = ControlStream(
                control.url,
                control.token_file,
                self._hello,
                self.take_control,
                files=files,
                reports=self._reporting,
            )

    async def start(self, admin: socket.socket) -> None:
        """Serve the admin port on a bound socket, watch the file, follow the control plane."""
        runner = web.AppRunner(
            build_admin(self, self._config.admin.bind), access_log=None, handle_signals=False
        )
        await runner.setup()
        await web.SockSite(runner, admin).start()
        self._runner = runner
        self._watching = [
            asyncio.create_task(self._watch.run(), name="file watch"),
            asyncio.create_task(self._take_found(), name="discovery"),
        ]
        if self._reporting is not None:
            self._watching.append(asyncio.create_task(self._reporting.run(), name="reporting"))
        if self._stream is not None:
            self._identity = await identity_in(os.environ)
            self._stream.start()

    async def stop(self) -> None:
        """Let go of everything that ``start`` began."""
        if self._stream is not None:
            if self._reporting is not None and self._stream.connected:
                await self._reporting.last()
            await self._stream.stop()
        if self._state is not None:
            await self._state.kept()
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    def hang_up(self) -> None:
        """SIGHUP: read the file again, and open the access log anew."""
        self._watch.reload_now()
        if not self._leaving:
            task = asyncio.create_task(self._reopen())
            self._reopening.add(task)
            task.add_done_callback(self._reopening.discard)

    async def _reopen(self) -> None:
        try:
            await self._workers.reopen_log()
        except Exception:
            LOG.exception("the access log was not opened anew")

    async def leave(self, *, grace: bool) -> bool:
        """Drain: not ready, then still accepting for a moment, then finish what is in hand.

        Args:
            grace: whether load balancers need time to notice (not after Ctrl-C).

        Returns:
            Whether nothing had to be cut.
        """
        self._leaving = True
        drain = self._config.drain
        grace_s = min(drain.grace_s, drain.deadline_s) if grace else 0.0
        LOG.info("leaving: accepting for %g s more, gone within %g s", grace_s, drain.deadline_s)
        await asyncio.sleep(grace_s)
        return await self._workers.drain(drain.deadline_s - grace_s)

    # Changes, one at a time.

    async def take_file(self, text: str) -> None:
        """The file has a new text: put it into force, or say what is wrong and keep the old."""
        async with self._changing:
            try:
                config = parse_config(text, file=str(self._path), env=os.environ)
            except ConfigError as error:
                self._refuse(error.problems)
                return
            fixed = [name for name in FIXED if getattr(config, name) != getattr(self._config, name)]
            if fixed:
                message = "cannot change while the proxy runs; restart it"
                self._refuse([Problem(name, message, file=str(self._path)) for name in fixed])
                return
            snapshot = self._snapshot
            if self._source == "file":
                snapshot = Snapshot(snapshot.revision + 1, traffic_of(config))
            elif traffic_of(config) != traffic_of(self._config):
                LOG.warning(
                    "services and routes of the file wait: the control plane's are in force"
                )
            if problems := await self._install(config, snapshot):
                self._refuse(problems)
                return
            self._put(config, snapshot, self._source)

    async def take_control(self, snapshot: Snapshot) -> tuple[Problem, ...]:
        """The control plane has sent a snapshot. Returns why it is refused, or nothing."""
        async with self._changing:
            if problems := await self._install(self._config, snapshot):
                self._refuse(problems)
                return problems
            self._put(self._config, snapshot, "control")
            if self._state is not None:
                self._state.keep(snapshot)  # nobody waits for the disk: see there
        return ()

    async def _install(self, config: Config, snapshot: Snapshot) -> tuple[Problem, ...]:
        """Have the workers serve by this, once its new sources have answered or taken too long."""
        discovery = self._discovery
        before = set(sources_of(self._snapshot.traffic))
        after = set(sources_of(snapshot.traffic))
        if after - before:
            discovery.follow(sorted(before | after))
            await discovery.tried(config.discovery.timeout_s)
        problems = await self._workers.install(Install(config, snapshot, discovery.found))
        discovery.follow(sorted(before if problems else after))
        return problems

    async def _take_found(self) -> None:
        """Put each change of what is found into force."""
        discovery = self._discovery
        while True:
            await discovery.changed.wait()
            discovery.changed.clear()
            try:
                await self._put_found()
            except Exception:
                LOG.exception("what was found is not in force")

    async def _put_found(self) -> None:
        async with self._changing:
            install = Install(self._config, self._snapshot, self._discovery.found)
            if problems := await self._workers.install(install):
                self._refuse(problems)
            self._router = None

    def _put(self, config: Config, snapshot: Snapshot, source: Source) -> None:
        self._config = config
        self._snapshot = snapshot
        self._source = source
        self._router = None
        self._shares = None
        LOG.info("revision %d is in force (%s)", snapshot.revision, source)

    def _refuse(self, problems: Sequence[Problem]) -> None:
        self._rejected += 1
        LOG.error("configuration refused, the running one stays: %s", "; ".join(map(str, problems)))

    def _hello(self) -> Hello:
        held = self._source != "file"
        return Hello(
            instance=self._instance,
            release=__version__,
            store=self._snapshot.store if held else "",
            revision=self._snapshot.revision if held else 0,
            zone=self._config.zone or self._identity.zone,
            place=self._identity.place,
            reports=True,
        )

    async def _measured(self) -> Measured:
        snapshot = self._snapshot
        if self._shares is None:
            self._shares = shares_of(snapshot.tables)
        shares = self._shares
        # Before the counts, so that the requests of these users are among those.
        watches = self._reporting is not None and self._reporting.watches_splits
        self._watched |= watches
        taken = await self._workers.take() if self._watched else Taken()
        if not watches:  # any more: it would count for an interval that it is not of
            taken = Taken()
        return Measured(
            taken=taken,
            counts=await self._workers.counts(),
            store="" if self._source == "file" else snapshot.store,
            revision=snapshot.revision,
            shares=shares,
        )

    # What the admin port tells.

    async def proxy_state(self) -> ProxyState:
        """See ``AdminState``."""
        reports = self._reporting
        return ProxyState(
            counts=await self._workers.counts(),
            revision=self._snapshot.revision,
            release=__version__,
            rejected=self._rejected,
            control_connected=None if self._stream is None else self._stream.connected,
            reports_waiting=0 if reports is None else reports.waiting,
            report_requests_lost=0 if reports is None else reports.backlog.lost,
            shares={(t.service, t.version): t.share for t in self.router().versions},
            worker_restarts=self._workers.restarts,
            sources=self._discovery.states(),
            shown_segments=frozenset(
                (name, dimension)
                for name, service in self._snapshot.traffic.services.items()
                for dimension, segment in service.segments.items()
                if segment.metrics
            ),
        )

    def running(self) -> Running:
        """See ``AdminState``."""
        traffic = self._snapshot.traffic
        config = msgspec.structs.replace(
            self._config, services=traffic.services, routes=traffic.routes
        )
        return Running(config, self._snapshot.revision, self._snapshot.store, self._source)

    def readiness(self) -> tuple[bool, str]:
        """See ``AdminState``."""
        if self._leaving:
            return False, "leaving"
        if not self._snapshot.traffic.routes:
            return False, "no routes yet: neither the file nor the control plane has any"
        return True, f"revision {self._snapshot.revision} from {self._source}"

    def router(self) -> Router:
        """See ``AdminState``; made when it is first asked for."""
        if self._router is None:
            self._router = make_router(self._config, self._snapshot, self._discovery.found)
        return self._router

    def drain(self) -> None:
        """See ``AdminState``."""
        self._leave()
