"""Owns who may knock: no web page but those of this server and of origins that are allowed. Never
authenticates anybody; it stands before that, and knows no token.

What a page can do here. There are no cookies and no sessions: whoever changes something sends a
bearer token, which no foreign page knows. What is left are mistakes of a page that does know one,
of a proxy in front that adds one, and of a browser that is asked for a client's certificate. So:

- *Foreign origins* are refused on every path. ``Origin`` is what browsers send with everything but
  plain reading, with every WebSocket and with every request across origins. ``Sec-Fetch-Site``
  says the same of what changes something; older browsers do not send it.
- *Page content types*, which a page may POST anywhere without being asked first, change nothing.
- *DNS rebinding*: a page of a name that suddenly leads here counts as same-origin, so the Host must
  be one that is known. On loopback always: every browser on the machine reaches it, and its names
  are known. Beyond loopback other machines name this one in ways that it cannot know (a Service in
  Kubernetes, an alias of ECS Service Connect, a load balancer), so there the Host is judged where a
  request bears the marks of a page. A page that rebinds has them on everything that changes
  something; its plain reading has none, and no token either, so authentication refuses that. With
  ``--allowed-host`` the names are known there too, and every request is held to them.

Sources: design/reliability.md #28; docs/adr/0020; Fetch standard, "Origin header" and
"CORS-safelisted request-header"; Fetch Metadata Request Headers.
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, ip_address

from aiohttp import web

from controlplane.api.problem import ApiError

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_Ip = IPv4Address | IPv6Address

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/?#@\[\]]+))(?::[0-9]{0,5})?")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_FOREIGN_SITES = frozenset({"cross-site", "same-site"})
_PAGE_TYPES = frozenset({"text/plain", "application/x-www-form-urlencoded", "multipart/form-data"})
"""What any page may POST anywhere without a preflight (Fetch, "CORS-safelisted")."""
_SAFETY = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
"""What every answer says to browsers; a page of ours has a policy of its own."""


class Known:
    """Under which names this server is asked, and which pages may ask it.

    Args:
        bind: the host that it is bound to.
        hosts: names of it, without ports, in lower case.
        origins: of pages beside its own, as browsers write them.
        is_tls: whether it speaks TLS itself; if not, something in front may.
    """

    def __init__(
        self,
        bind: str,
        hosts: Iterable[str] = (),
        origins: Iterable[str] = (),
        *,
        is_tls: bool = False,
    ) -> None:
        given = frozenset(hosts)
        self.is_strict = is_loopback(bind) or bool(given)
        """Whether every request is held to the names, not those of pages alone."""
        self.origins = frozenset(origins)
        self._names = given | {"localhost"} | ({bind.lower()} if _ip(bind) is None else set())
        self._bound = _ip(bind)
        self._schemes = ("https",) if is_tls else ("http", "https")

    def has_host(self, host: str, local: str) -> bool:
        """Whether a Host is one of this server.

        Args:
            local: the address that the connection came to.
        """
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = (found[1] or found[2]).lower()
        address = _ip(name)
        if address is None:
            return name in self._names
        if address.is_loopback or name in self._names:
            return True
        return address == _ip(local) or (address == self._bound and not address.is_unspecified)

    def has_origin(self, origin: str, host: str) -> bool:
        """Whether pages of an origin may ask: its own (of a Host that is known), and allowed ones.

        Whatever stands before a server without TLS may speak it, so there both schemes are its own.
        """
        own = {f"{scheme}://{host}".lower() for scheme in self._schemes}
        return origin.lower() in own | self.origins


def guard(known: Known) -> Callable[..., Awaitable[web.StreamResponse]]:
    """The middleware; stands before authentication.

    Raises (in the request): ApiError 403.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: _Handler) -> web.StreamResponse:
        _check(request, known)
        return await handler(request)

    return middleware


async def harden(_request: web.Request, response: web.StreamResponse) -> None:
    """Tells browsers to make nothing of an answer but what it is."""
    if response.status != HTTPStatus.SWITCHING_PROTOCOLS:
        for name, value in _SAFETY.items():
            response.headers.setdefault(name, value)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that is bound there."""
    address = _ip(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def _check(request: web.Request, known: Known) -> None:
    hosts = request.headers.getall("Host", [])
    host = hosts[0] if len(hosts) == 1 else ""
    if (known.is_strict or _is_of_page(request)) and not known.has_host(host, _local(request)):
        raise _forbidden(
            "foreign-host",
            "this server is not known under the Host of the request; "
            "splitway-control --allowed-host NAME makes it known",
        )
    origins = request.headers.getall("Origin", [])
    if origins and not (len(origins) == 1 and known.has_origin(origins[0], host)):
        raise _foreign_origin()
    if request.method not in _SAFE_METHODS:
        site = request.headers.get("Sec-Fetch-Site", "").strip().lower()
        if site in _FOREIGN_SITES and not known.origins.intersection(map(str.lower, origins)):
            raise _foreign_origin()
        if any(_is_page_type(value) for value in request.headers.getall("Content-Type", [])):
            detail = "a web page may send this Content-Type anywhere; send application/json"
            raise _forbidden("page-content-type", detail)


def _is_of_page(request: web.Request) -> bool:
    return any(
        name.lower() == "origin" or name.lower().startswith("sec-fetch-")
        for name in request.headers
    )


def _is_page_type(value: str) -> bool:
    return re.split("[;,]", value, maxsplit=1)[0].strip().lower() in _PAGE_TYPES


def _local(request: web.Request) -> str:
    transport = request.transport
    address = transport.get_extra_info("sockname") if transport is not None else None
    return str(address[0]) if isinstance(address, tuple) else ""


def _ip(text: str) -> _Ip | None:
    try:
        address = ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    # A socket for both families names IPv4 peers so.
    return getattr(address, "ipv4_mapped", None) or address


def _foreign_origin() -> ApiError:
    return _forbidden(
        "foreign-origin",
        "pages of other origins are refused; splitway-control --allowed-origin ORIGIN allows one",
    )


def _forbidden(kind: str, detail: str) -> ApiError:
    return ApiError(HTTPStatus.FORBIDDEN, kind, detail)
