"""Owns who may ask the admin server: no web page but its own. Never authenticates anybody.

Loopback is reached by every page in a browser on the same machine. The Host is checked there
against DNS rebinding; what changes something refuses foreign origins, and the content types that
a page may send across origins without being asked first.

Source: design/reliability.md #28; Fetch standard, "CORS-safelisted request-header".
"""

import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from proxy.core.question import name_of_host

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_SCHEMES = ("http", "https")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_PAGE_TYPES = frozenset({"text/plain", "application/x-www-form-urlencoded", "multipart/form-data"})
"""What any page may POST anywhere without a preflight (Fetch, "CORS-safelisted")."""


def own_hosts(bind: str) -> frozenset[str] | None:
    """The Hosts under which an address may be asked; None where any may be used: a unix socket,
    which no browser reaches, and addresses that other machines name in ways we cannot know."""
    if bind.startswith("unix:"):
        return None
    host = bind.rpartition(":")[0].lower()
    try:
        loopback = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        loopback = host == "localhost"
    return frozenset({"localhost", "127.0.0.1", "[::1]", host}) if loopback else None


def guard(hosts: frozenset[str] | None) -> Any:
    """The middleware that lets in only who asks for one of ``hosts``; None: whatever is asked for.

    Raises (in the request): web.HTTPForbidden.
    """

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.getall("Host", [])
        if hosts is not None and not _is_own(given, hosts):
            raise web.HTTPForbidden(text="the Host is not one of this loopback address")
        if request.method not in _SAFE_METHODS:
            _refuse_pages(request, given[0] if given else "")
        return await handler(request)

    return guarded


def _is_own(given: list[str], hosts: frozenset[str]) -> bool:
    return len(given) == 1 and name_of_host(given[0]) in hosts


def _refuse_pages(request: web.Request, host: str) -> None:
    origin = request.headers.get("Origin")
    if origin is not None and origin.lower() not in {f"{s}://{host.lower()}" for s in _SCHEMES}:
        raise web.HTTPForbidden(text="requests from pages of another origin are refused")
    if "Content-Type" in request.headers and request.content_type in _PAGE_TYPES:
        raise web.HTTPForbidden(text=f"content type {request.content_type} is refused")
