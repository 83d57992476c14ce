"""Owns the admin server's HTTP: /metrics /healthz /readyz /config /explain /drain. Never decides.

Everything it tells comes from an injected ``AdminState``; errors are problem+json (RFC 9457). It
has no authentication of its own and is meant for loopback; ``admin_guard`` keeps browsers out.
"""

import asyncio
import logging
import re
from http import HTTPStatus
from typing import Any, Final, Literal, Protocol

import msgspec
from aiohttp import web

from proxy.admin_guard import Handler, guard, own_hosts
from proxy.core.question import ParameterError, question_of
from proxy.core.router import Router, explain
from proxy.model.config import Config, to_plain
from proxy.telemetry.exposition import ProxyState, render

LOG = logging.getLogger("splitway.admin")


class Running(msgspec.Struct, frozen=True):
    """The configuration in force."""

    config: Config
    revision: int
    store: str
    source: Literal["file", "control", "state"]
    """Where its traffic came from; ``state``: the last good snapshot on disk."""


class AdminState(Protocol):
    """What the admin server shows; the worker or the supervisor implements it."""

    async def proxy_state(self) -> ProxyState:
        """Everything that /metrics tells, summed over the workers."""

    def running(self) -> Running:
        """The configuration in force."""

    def readiness(self) -> tuple[bool, str]:
        """Whether new traffic is welcome, and why (not)."""

    def router(self) -> Router:
        """What decides for new requests now."""

    def drain(self) -> None:
        """Begins to leave; called again it does nothing."""


_STATE: Final = web.AppKey("state", AdminState)


def build_admin(state: AdminState, bind: str) -> web.Application:
    """The admin application.

    Args:
        state: what it shows.
        bind: where it will be served, as in the configuration; decides which Hosts are its own.
    """
    app = web.Application(middlewares=[_problems, guard(own_hosts(bind))])
    app[_STATE] = state
    app.router.add_get("/", _index)
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _readyz)
    app.router.add_get("/config", _config)
    app.router.add_get("/endpoints", _endpoints)
    app.router.add_get("/explain", _explain)
    app.router.add_post("/drain", _drain)
    app.on_response_prepare.append(_harden)
    return app


# --- what is served -------------------------------------------------------------------------------

_INDEX = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Splitway proxy</title></head><body>
<h1>Splitway proxy</h1>
<ul>
<li><a href="/metrics">/metrics</a> for Prometheus</li>
<li><a href="/healthz">/healthz</a> the process lives</li>
<li><a href="/readyz">/readyz</a> new traffic is welcome</li>
<li><a href="/config">/config</a> the configuration in force</li>
<li><a href="/endpoints">/endpoints</a> which endpoints get requests, and why others do not</li>
<li><a href="/explain?method=GET&amp;host=localhost&amp;path=/">/explain</a> how a request would be
split: <code>method host path header=Name:Value client</code></li>
<li><code>POST /drain</code> begins to leave</li>
</ul>
</body></html>
"""


async def _index(_: web.Request) -> web.Response:
    return web.Response(text=_INDEX, content_type="text/html")


async def _metrics(request: web.Request) -> web.Response:
    state = await request.app[_STATE].proxy_state()
    # Text for many versions takes a while, and with one worker this loop carries the traffic.
    body, content_type = await asyncio.to_thread(render, state, request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": content_type})


async def _healthz(_: web.Request) -> web.Response:
    return _json({"status": "ok"})


async def _readyz(request: web.Request) -> web.Response:
    ready, reason = request.app[_STATE].readiness()
    status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
    return _json({"ready": ready, "reason": reason}, status)


async def _config(request: web.Request) -> web.Response:
    running = request.app[_STATE].running()
    return _json(
        {
            "revision": running.revision,
            "store": running.store,
            "source": running.source,
            "config": redacted(to_plain(running.config)),
        }
    )


async def _endpoints(request: web.Request) -> web.Response:
    state = await request.app[_STATE].proxy_state()
    return _json({"endpoints": state.counts.endpoints, "sources": state.sources})


async def _explain(request: web.Request) -> web.Response:
    question = question_of(request.query.items())
    return _json(explain(request.app[_STATE].router(), question, question.client))


async def _drain(request: web.Request) -> web.Response:
    LOG.info("drain asked for by %s", request.remote or "a local process")
    request.app[_STATE].drain()
    return _json({"status": "draining"}, HTTPStatus.ACCEPTED)


def _json(value: Any, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(
        body=msgspec.json.format(msgspec.json.encode(value)) + b"\n",
        status=status,
        content_type="application/json",
    )


# --- what is hidden -------------------------------------------------------------------------------

_USERINFO = re.compile(r"(?<=://)[^/?#\s]+(?=@)")
_SECRET_NAMES = frozenset({"token", "secret", "secrets", "password"})
HIDDEN = "***"


def _may_be_secret(value: Any) -> bool:
    """A service or a version may have such a name, too."""
    return isinstance(value, str | list | tuple)


def redacted(value: Any) -> Any:
    """A plain configuration without its secrets: settings so named, and the user part of URLs."""
    if isinstance(value, dict):
        return {
            key: HIDDEN if key in _SECRET_NAMES and _may_be_secret(item) else redacted(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    return _USERINFO.sub(HIDDEN, value) if isinstance(value, str) else value


# --- how it fails ---------------------------------------------------------------------------------


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ParameterError as error:
        return _problem(
            HTTPStatus.BAD_REQUEST, f"{error.parameter}: {error}", parameter=error.parameter
        )
    except web.HTTPException as error:
        response = _problem(HTTPStatus(error.status), error.text or error.reason)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except TimeoutError:
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "the workers did not answer in time")
    except Exception:
        LOG.exception("%s %s failed", request.method, request.path)
        return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "see the proxy's log")


def _problem(status: HTTPStatus, detail: str, **more: str) -> web.Response:
    body = {"type": "about:blank", "title": status.phrase, "status": status, "detail": detail}
    response = _json(body | more, status)
    response.content_type = "application/problem+json"
    return response


async def _harden(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "splitway"
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
