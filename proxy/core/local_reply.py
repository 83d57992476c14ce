"""Owns what the proxy answers by itself: redirects, direct responses, preflights of CORS.

Sources: RFC 9110 section 10.2.2 and 15.4 (redirects), Gateway API HTTPRequestRedirectFilter, the
Fetch standard's CORS protocol.
"""

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, Literal

import msgspec

from proxy.core.forwarded import TrustedProxies
from proxy.core.message import HeadView
from proxy.core.rewrite import compile_change
from proxy.model.config import Cors, DirectResponse, PathMatch, Redirect

_PORTS: Final = {"http": 80, "https": 443}
_CORS_FIELDS: Final = (
    rb"\n(?:access-control-(?:allow-(?:origin|credentials|methods|headers)|expose-headers|max-age)"
    rb":[^\n]*\n)+"
)


class LocalReply(msgspec.Struct, frozen=True):
    """A response that needs no endpoint."""

    route: int
    """Index of the route that matched."""
    reason: Literal["redirect", "direct_response", "preflight", "rate_limit"]
    status: int
    lines: bytes = b""
    """Field lines, each with its CRLF."""
    body: bytes = b""


ReplyOf = Callable[[HeadView, str, int], LocalReply]
"""(head, peer's address, index of the route) → what it is answered."""


def compile_redirect(
    redirect: Redirect, matched: PathMatch | None, trusted: TrustedProxies
) -> ReplyOf:
    """Makes a redirect ready. ``Location`` is absolute where the request names a host.

    What is not set stays as the client asked for it, as a trusted proxy said it was in
    ``X-Forwarded-Proto`` and ``X-Forwarded-Host``. A new scheme or host leaves the old port
    behind; a scheme's own port is not written.
    """
    change = compile_change(redirect, matched)
    keeps_port = redirect.scheme is None and redirect.host is None

    def answer(head: HeadView, peer: str, route: int) -> LocalReply:
        target = head.target if head.target != b"*" else b"/"
        if change is not None:
            target = change(target)
        if not redirect.keep_query:
            target = target.partition(b"?")[0]
        behind = bool(trusted) and trusted.contains(peer)
        name, port = _split(_said(head, b"x-forwarded-host", behind=behind) or head.authority)
        https = _said(head, b"x-forwarded-proto", behind=behind).lower() == b"https"
        scheme = redirect.scheme or ("https" if https else "http")
        if redirect.host is not None:
            name = redirect.host.encode()
        if redirect.port is not None:
            port = b"%d" % redirect.port
        elif not keeps_port:
            port = b""
        if port == b"%d" % _PORTS[scheme]:
            port = b""
        location = b"/" + target.lstrip(b"/\\")  # `//name` would be another host
        if name:
            location = b"%b://%b%b%b" % (
                scheme.encode(),
                name,
                b":" + port if port else b"",
                target,
            )
        lines = b"Location: " + location + b"\r\n"
        return LocalReply(route, "redirect", redirect.status, lines)

    return answer


def compile_direct(response: DirectResponse) -> ReplyOf:
    """Makes a direct response ready."""
    body = response.body.encode()
    lines = b"Content-Type: " + response.content_type.encode() + b"\r\n" if body else b""
    return lambda _head, _peer, route: LocalReply(
        route, "direct_response", response.status, lines, body
    )


class CorsPolicy:
    """What a route allows pages of other origins."""

    __slots__ = ("_any", "_cors", "_exact", "_exposed", "_suffixes", "dropped")

    def __init__(self, cors: Cors) -> None:
        self._cors = cors
        self._any = "*" in cors.allow_origins
        origins = [origin.lower().encode() for origin in cors.allow_origins if origin != "*"]
        self._exact = frozenset(origin for origin in origins if b"*" not in origin)
        self._suffixes = tuple(
            (before, after)
            for before, star, after in (origin.partition(b"*") for origin in origins)
            if star
        )
        names = ", ".join(cors.expose_headers).encode()
        self._exposed = b"Access-Control-Expose-Headers: " + names + b"\r\n" if names else b""
        self.dropped = re.compile(_CORS_FIELDS, re.IGNORECASE)
        """What an endpoint says about it: the route's word counts."""

    def preflight(self, head: HeadView, route: int) -> LocalReply | None:
        """The answer to a preflight; None for any other request."""
        if head.method != "OPTIONS":
            return None
        origin = head.header(b"origin")
        method = head.header(b"access-control-request-method")
        if origin is None or method is None:
            return None
        lines = b"Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n"
        if self._allows(origin):
            cors = self._cors
            asked = head.headers(b"access-control-request-headers")
            methods = _allowed(cors.allow_methods, method)
            headers = _allowed(cors.allow_headers, b", ".join(asked))
            lines += self._origin(origin) + b"Access-Control-Allow-Methods: " + methods + b"\r\n"
            if headers:
                lines += b"Access-Control-Allow-Headers: " + headers + b"\r\n"
            lines += b"Access-Control-Max-Age: %d\r\n" % cors.max_age_s
        return LocalReply(route, "preflight", HTTPStatus.NO_CONTENT, lines)

    def lines(self, origin: bytes | None) -> bytes:
        """Field lines for the response to a request with this ``Origin``."""
        vary = b"" if self._any and not self._cors.allow_credentials else b"Vary: Origin\r\n"
        if origin is None or not self._allows(origin):
            return vary
        return vary + self._origin(origin) + self._exposed

    def _allows(self, origin: bytes) -> bool:
        if self._any:
            return True
        origin = origin.lower()
        if origin in self._exact:
            return True
        return any(
            len(origin) > len(before) + len(after)
            and origin.startswith(before)
            and origin.endswith(after)
            for before, after in self._suffixes
        )

    def _origin(self, origin: bytes) -> bytes:
        if self._cors.allow_credentials:
            return (
                b"Access-Control-Allow-Origin: " + origin + b"\r\n"
                b"Access-Control-Allow-Credentials: true\r\n"
            )
        return b"Access-Control-Allow-Origin: " + (b"*" if self._any else origin) + b"\r\n"


def _allowed(allowed: tuple[str, ...], asked: bytes) -> bytes:
    return asked if "*" in allowed else ", ".join(allowed).encode()


def _split(authority: bytes) -> tuple[bytes, bytes]:
    """(name, port); an IPv6 address keeps its brackets."""
    name, colon, port = authority.rpartition(b":")
    if not colon or (name[:1] == b"[" and name[-1:] != b"]"):
        return authority, b""
    return name, port


def _said(head: HeadView, name: bytes, *, behind: bool) -> bytes:
    """What a trusted proxy, if the client is ``behind`` one, says of what the client asked for."""
    value = head.header(name) if behind else None
    return b"" if value is None else value.partition(b",")[0].strip(b" \t")
