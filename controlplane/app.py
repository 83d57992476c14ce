"""Owns how the parts are put together: the one file that chooses a store. Never decides anything.

Shutting down, in this order: goodbye to every stream, no new connections, the requests in flight,
the store.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from aiohttp import web

from controlplane.api.audit import AuditApi
from controlplane.api.config import ConfigApi
from controlplane.api.contract import ContractApi
from controlplane.api.convergence import ConvergenceApi
from controlplane.api.freezes import FreezesApi
from controlplane.api.health import HealthApi
from controlplane.api.metrics import MetricsApi
from controlplane.api.middleware import authenticate, problems
from controlplane.api.observe import observe
from controlplane.api.operation import Operation, register
from controlplane.api.proxies import ProxiesApi
from controlplane.api.revisions import RevisionsApi
from controlplane.api.services import ServicesApi
from controlplane.fleet import Fleet
from controlplane.following import Follower
from controlplane.operations import Operations
from controlplane.store.database import Database
from controlplane.store.opening import open_database
from controlplane.store.sql import SqlStore
from controlplane.stream.handler import HELLO_S, StreamHandler
from controlplane.stream.hub import Hub
from controlplane.telemetry import FleetState, Telemetry
from controlplane.tokens import Tokens
from proxy import __version__

_log = logging.getLogger(__name__)

MAX_BODY_BYTES = 4 << 20
"""What the parser takes at most (``proxy.model.yaml_source``)."""
_BACKLOG = 4096
"""Connections that wait to be accepted: after a restart thousands of proxies come within seconds,
and who finds no room is tried again a second later. The kernel may allow less (``somaxconn``)."""
_SHUTDOWN_S = 5.0
"""For requests and streams that are still open after their goodbye."""


@dataclass(frozen=True)
class Settings:
    """What the command line decides."""

    store: str
    host: str
    port: int
    """0 takes any free one."""
    token: str
    hello_s: float = HELLO_S
    require_reason: bool = False
    """Refuses changes without one."""


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[str]:
    """Serves while the block runs; gives the URL.

    Raises: StoreError: the store cannot be opened; OSError: the address cannot be bound.
    """
    database = await open_database(settings.store)
    try:
        app, hub = await build(database, settings)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        try:
            site = web.TCPSite(runner, settings.host, settings.port, backlog=_BACKLOG)
            await site.start()
            yield _url(runner)
        finally:
            hub.close()
            await runner.cleanup()
    finally:
        await database.close()


async def build(database: Database, settings: Settings) -> tuple[web.Application, Hub]:
    """The application on an open database, and the hub whose streams must be closed before it."""
    store = await SqlStore.on(database)
    hub = Hub(store.id, await store.newest())
    follower = Follower(database, store, lambda: hub.revision, hub.publish)
    fleet = Fleet(_utc_now, time.monotonic)
    operations = Operations(store, hub.publish, _utc_now, require_reason=settings.require_reason)
    telemetry = Telemetry(lambda: _state(fleet, hub.revision))
    app = web.Application(
        middlewares=[observe(telemetry), problems, authenticate(Tokens(settings.token))],
        client_max_size=MAX_BODY_BYTES,
    )
    contract = ContractApi(__version__)
    nouns = (
        HealthApi(store),
        ConfigApi(store, operations),
        ServicesApi(store, operations, fleet),
        RevisionsApi(store, operations),
        FreezesApi(store, operations),
        AuditApi(store),
        ProxiesApi(fleet, lambda: hub.revision),
        ConvergenceApi(store, fleet, lambda: hub.revision),
        MetricsApi(telemetry),
        contract,
    )
    declared = [operation for noun in nouns for operation in noun.operations()]
    declared.append(_stream(StreamHandler(hub, fleet, follower.catch_up, settings.hello_s)))
    contract.describe(declared)
    register(app, declared)
    if database.is_shared:
        app.cleanup_ctx.append(_in_background(follower))
    return app, hub


def _state(fleet: Fleet, newest: int) -> FleetState:
    return FleetState(newest, fleet.connected(), fleet.on(newest), fleet.refusing(newest))


def _stream(handler: StreamHandler) -> Operation:
    switching = HTTPStatus.SWITCHING_PROTOCOLS
    return Operation("GET", "/v1/stream", handler.serve, None, status=switching)


def _in_background(follower: Follower) -> Callable[[web.Application], AsyncIterator[None]]:
    async def context(_app: web.Application) -> AsyncIterator[None]:
        following = asyncio.create_task(follower.run(), name="following")
        yield
        following.cancel()
        await asyncio.wait([following])
        if not following.cancelled() and (error := following.exception()):
            _log.error("following other control planes failed", exc_info=error)

    return context


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _url(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
