"""Owns how the parts are put together: the one file that chooses a store. Never decides anything.

Shutting down, in this order: goodbye to every stream, no new connections, the requests in flight,
the store.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web

from controlplane.api.config import ConfigApi
from controlplane.api.health import HealthApi
from controlplane.api.middleware import authenticate, problems
from controlplane.api.proxies import ProxiesApi
from controlplane.api.revisions import RevisionsApi
from controlplane.api.services import ServicesApi
from controlplane.fleet import Fleet
from controlplane.operations import Operations
from controlplane.store.base import Store
from controlplane.store.sql import SqlStore
from controlplane.stream.handler import HELLO_S, StreamHandler
from controlplane.stream.hub import Hub
from controlplane.tokens import Tokens

MAX_BODY_BYTES = 4 << 20
"""What the parser takes at most (``proxy.model.yaml_source``)."""
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


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[str]:
    """Serves while the block runs; gives the URL.

    Raises: StoreError: the store cannot be opened; OSError: the address cannot be bound.
    """
    store = await SqlStore.open(settings.store)
    try:
        app, hub = await build(store, settings)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        try:
            site = web.TCPSite(runner, settings.host, settings.port)
            await site.start()
            yield _url(runner)
        finally:
            hub.close()
            await runner.cleanup()
    finally:
        await store.close()


async def build(store: Store, settings: Settings) -> tuple[web.Application, Hub]:
    """The application on an open store, and the hub whose streams must be closed before it."""
    hub = Hub(store.id, await store.newest())
    fleet = Fleet(_utc_now, time.monotonic)
    operations = Operations(store, hub.publish, _utc_now)
    app = web.Application(
        middlewares=[problems, authenticate(Tokens(settings.token))],
        client_max_size=MAX_BODY_BYTES,
    )
    for noun in (
        HealthApi(store),
        ConfigApi(store, operations),
        ServicesApi(store, operations, fleet),
        RevisionsApi(store),
        ProxiesApi(fleet, lambda: hub.revision),
    ):
        app.add_routes(noun.routes())
    stream = StreamHandler(hub, fleet, settings.hello_s)
    app.router.add_get("/v1/stream", stream.serve, allow_head=False)
    return app, hub


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _url(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
