"""Owns how the parts are put together: the one file that chooses a store. Never decides anything.

Shutting down, in this order: no new connections, goodbye to every stream, the requests in flight,
the store.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

import msgspec
from aiohttp import web

from controlplane.access.admission import Admission, Verifier
from controlplane.access.book import TokenBook
from controlplane.access.claims import OidcSettings
from controlplane.api.audience import AudienceApi
from controlplane.api.audit import AuditApi
from controlplane.api.config import ConfigApi
from controlplane.api.contract import ContractApi
from controlplane.api.convergence import ConvergenceApi
from controlplane.api.cors import Cors
from controlplane.api.deadlines import KEEP_ALIVE_S, FirstHeads
from controlplane.api.freezes import FreezesApi
from controlplane.api.guard import Known, guard, harden
from controlplane.api.health import HealthApi
from controlplane.api.metrics import MetricsApi
from controlplane.api.middleware import authenticate, problems
from controlplane.api.observe import name_answer, observe
from controlplane.api.operation import Operation, register
from controlplane.api.proxies import ProxiesApi
from controlplane.api.reports import ReportsApi
from controlplane.api.revisions import RevisionsApi
from controlplane.api.rules import ADMITTED, FOLLOW
from controlplane.api.services import ServicesApi
from controlplane.api.tokens import TokensApi
from controlplane.bookkeeping import Bookkeeper
from controlplane.census import Census
from controlplane.fleet import Fleet
from controlplane.following import Follower
from controlplane.intake import Intake
from controlplane.issuing import HERE, IssuedToken, Issuing, TokenRequest
from controlplane.leader import Leader
from controlplane.model import Order
from controlplane.operations import Operations
from controlplane.retention import KEPT, Retention
from controlplane.store.board import SqlBoard
from controlplane.store.database import Database
from controlplane.store.opening import open_database
from controlplane.store.sql import SqlStore
from controlplane.stream.handler import HELLO_S, StreamHandler
from controlplane.stream.hub import Hub
from controlplane.stream.standing import Standing
from controlplane.telemetry import FleetState, Telemetry
from controlplane.tokens import BEYOND_LOOPBACK, GivenToken, TokenError
from proxy import __version__

if TYPE_CHECKING:
    from controlplane.tls import ServerTls

_log = logging.getLogger(__name__)

MAX_BODY_BYTES = 4 << 20
"""What the parser takes at most (``proxy.model.yaml_source``)."""
_BACKLOG = 4096
"""Connections that wait to be accepted: after a restart thousands of proxies come within seconds,
and who finds no room is tried again a second later. The kernel may allow less (``somaxconn``)."""
_AGAIN_S = 1.0
"""Until a part that failed is begun again."""
_SHUTDOWN_S = 5.0
"""For requests and streams that are still open after their goodbye."""


@dataclass(frozen=True)
class Settings:
    """What the command line decides."""

    store: str
    host: str
    port: int
    """0 takes any free one."""
    token: str | None
    """Of the administrator who was given one; the others' are in the store."""
    hello_s: float = HELLO_S
    require_reason: bool = False
    """Refuses changes without one."""
    needs_admin: bool = False
    """Refuses to serve while there is no administrator's token, given or in the store."""
    first: Callable[[str], None] | None = None
    """Is told the token that is made when there never was one; without this none is made."""
    allowed_hosts: tuple[str, ...] = ()
    """Names under which it is asked, beside those it knows (``api.guard``)."""
    allowed_origins: tuple[str, ...] = ()
    """Of pages that may ask, beside its own."""
    oidc: OidcSettings | None = None
    """The identity provider whose people may call."""
    report_every_s: float = 10.0
    """How often each proxy is asked for a report; 0 for never."""
    kept: Mapping[str, timedelta] = field(default_factory=lambda: KEPT)
    """How long their figures are, by level."""


@asynccontextmanager
async def running(settings: Settings, tls: "ServerTls | None" = None) -> AsyncIterator[str]:
    """Serves while the block runs; gives the URL.

    Args:
        tls: what is shown over TLS; ``None`` serves plain HTTP.

    Raises: StoreError: the store cannot be opened; TokenError: nobody could call; OSError: the
        address cannot be bound.
    """
    database = await open_database(settings.store)
    try:
        await _admit_somebody(database, settings)
        app, hub = await build(database, settings, tls, lambda: _open_now(runner))
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=_SHUTDOWN_S, keepalive_timeout=KEEP_ALIVE_S
        )
        await runner.setup()
        try:
            site = web.TCPSite(
                runner,
                settings.host,
                settings.port,
                backlog=_BACKLOG,
                ssl_context=tls.context if tls else None,
            )
            await site.start()
            yield _url(runner, "https" if tls else "http")
        finally:
            for each in list(runner.sites):
                await each.stop()  # or those who are told to go would come back to it
            await hub.close()
            await runner.cleanup()
    finally:
        await database.close()


def _open_now(runner: web.AppRunner) -> Iterable[web.RequestHandler]:
    return runner.server.connections if runner.server is not None else ()


async def create_token(store_url: str, wanted: TokenRequest) -> IssuedToken:
    """Makes a token on the store itself, without a server: for the first one, and for when the
    last one is lost.

    Raises: StoreError, ConfigError, NameTakenError.
    """
    database = await open_database(store_url)
    try:
        issuing = _issuing_alone(await SqlStore.on(database))
        order = Order(HERE, wanted.reason or "on the store itself")
        reply = await issuing.create(wanted, order)
    finally:
        await database.close()
    return msgspec.json.decode(reply.body, type=IssuedToken)


async def _admit_somebody(database: Database, settings: Settings) -> None:
    """Sees to it that there is somebody who may call."""
    if settings.token is not None:
        return
    issuing = _issuing_alone(await SqlStore.on(database))
    if settings.needs_admin and not await issuing.has_admin():
        raise TokenError(BEYOND_LOOPBACK)
    if settings.first is not None and (text := await issuing.first()) is not None:
        settings.first(text)
    if not await issuing.has_admin():
        _log.warning(
            "no administrator's token is living; make one: splitway-control tokens create "
            "--role admin --name NAME"
        )


def _issuing_alone(store: SqlStore) -> Issuing:
    async def nobody_to_tell() -> None:
        """The book is read when the server starts."""

    operations = Operations(store, lambda _: None, _utc_now)
    return Issuing(store, operations, _utc_now, nobody_to_tell)


async def build(
    database: Database,
    settings: Settings,
    tls: "ServerTls | None" = None,
    connections: Callable[[], Iterable[web.RequestHandler]] = tuple,
) -> tuple[web.Application, Hub]:
    """The application on an open database, and the hub whose streams must be closed before it."""
    store = await SqlStore.on(database)
    hub = Hub(store.id, await store.newest())
    book, standing = TokenBook(_utc_now), Standing(_utc_now)
    bookkeeper = Bookkeeper(store, book)
    await bookkeeper.refresh()
    follower = Follower(database, store, lambda: hub.revision, hub.publish, told=bookkeeper.tell)
    fleet = Fleet(_utc_now, time.monotonic)
    census = Census(fleet, SqlBoard(database) if database.is_shared else None)
    await census.look()  # whoever asks first is told of all
    operations = Operations(store, hub.publish, _utc_now, require_reason=settings.require_reason)
    telemetry = Telemetry(
        lambda: _state(fleet, hub.revision, intake.pending),
        lambda: tls.ends_at.timestamp() if tls else None,
    )
    intake = Intake(store, _utc_now, telemetry)
    leader = Leader(database.session_lock("reports"), time.monotonic)
    retention = Retention(store, lambda: leader.leads, _utc_now, settings.kept)
    issuing = Issuing(store, operations, _utc_now, bookkeeper.changed)
    contract = ContractApi(__version__)
    nouns = (
        HealthApi(store),
        ConfigApi(store, operations),
        ServicesApi(store, operations, census),
        RevisionsApi(store, operations),
        FreezesApi(store, operations),
        AuditApi(store),
        TokensApi(store, issuing),
        ProxiesApi(census, lambda: hub.revision),
        ConvergenceApi(store, census, lambda: hub.revision, follower.catch_up),
        ReportsApi(store),
        AudienceApi(store, _utc_now),
        MetricsApi(telemetry),
        contract,
    )
    declared = [operation for noun in nouns for operation in noun.operations()]
    stream = StreamHandler(
        hub,
        fleet,
        standing,
        lambda request: request[ADMITTED],
        follower.catch_up,
        settings.hello_s,
        intake,
        settings.report_every_s,
    )
    declared.append(_stream(stream))
    contract.describe(declared)
    known = Known(
        settings.host, settings.allowed_hosts, settings.allowed_origins, is_tls=tls is not None
    )
    cors = Cors(known.origins)
    cors.describe(declared)
    parts: list[_Part] = [bookkeeper, standing]
    verifiers = list[Verifier]()
    if settings.oidc is not None:
        verifier, issuer = _identity_provider(settings.oidc)
        verifiers.append(verifier)
        parts.append(issuer)
    given = GivenToken(settings.token) if settings.token is not None else None
    admission = Admission(book, given, verifiers, time.monotonic)
    public = frozenset(operation.path for operation in declared if operation.public)
    heads = FirstHeads(connections, time.monotonic)
    parts.append(heads)
    app = web.Application(
        middlewares=[
            heads.note(),
            observe(telemetry, public),
            problems,
            guard(known),
            cors.preflights(),
            authenticate(admission, public, time.monotonic),
        ],
        client_max_size=MAX_BODY_BYTES,
    )
    app.on_response_prepare.append(name_answer)
    app.on_response_prepare.append(harden)
    app.on_response_prepare.append(cors.mark)
    register(app, declared)
    if database.is_shared:
        parts += [follower, census]
    parts += [intake, leader, retention]
    if tls is not None:
        parts.append(tls)
    for part in parts:
        app.cleanup_ctx.append(_in_background(part))
    return app, hub


def _identity_provider(settings: OidcSettings) -> tuple[Verifier, "_Part"]:
    # Its library is an extra: imported only where it is asked for.
    from controlplane.access.issuer import Issuer
    from controlplane.access.oidc import Oidc

    issuer = Issuer(settings.issuer, time.monotonic)
    return Oidc(settings, issuer), issuer


def _state(fleet: Fleet, newest: int, reports: int) -> FleetState:
    connected, on_newest = fleet.connected(), fleet.on(newest)
    return FleetState(newest, connected, on_newest, fleet.refusing(newest), reports)


def _stream(handler: StreamHandler) -> Operation:
    switching = HTTPStatus.SWITCHING_PROTOCOLS
    return Operation("GET", "/v1/stream", handler.serve, None, status=switching, rule=FOLLOW)


class _Part(Protocol):
    """What runs beside the requests."""

    async def run(self) -> None:
        """Until it is cancelled."""


def _in_background(part: _Part) -> Callable[[web.Application], AsyncIterator[None]]:
    async def context(_app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(_keep_running(part), name=type(part).__name__)
        yield
        task.cancel()
        await asyncio.wait([task])

    return context


async def _keep_running(part: _Part) -> None:
    """A part that fails for what nobody thought of is told at once and begun again: a control
    plane that runs on without one would look well and not be."""
    name, task = type(part).__name__, asyncio.current_task()
    while True:
        try:
            return await part.run()
        except Exception:  # noqa: BLE001 - it is logged with all there is to know
            _log.exception("%s failed", name)
        if task is not None and task.cancelling():
            return None
        await asyncio.sleep(_AGAIN_S)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _url(runner: web.AppRunner, scheme: str) -> str:
    host, port = runner.addresses[0][:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
