"""Owns what a head looks like on its way through: fields dropped, fields added, one join.

Trust (``trusted_proxies``): a peer that is not trusted cannot set ``X-Forwarded-*``, ``Forwarded``
or ``X-Real-IP``; what it sent is dropped, and ``X-Forwarded-For``, ``-Proto`` and ``-Host`` are
written anew. A trusted one's ``X-Forwarded-For`` is appended to, the others are kept.
``X-Splitway-*`` is ours in both directions. Names count with ``_`` for ``-`` too. ``X-Request-Id``
is kept when it is a short visible string, else made. Source: RFC 9110 §7.6, RFC 9112 §9.6.
"""

import re
from typing import Final

from proxy.http1.fields import hop_by_hop
from proxy.http1.request import RequestHead
from proxy.http1.response import ResponseHead

_REQUEST_ID: Final = re.compile(rb"[\x21-\x7e]{1,128}")
_OWN_PREFIXES: Final = (b"x-splitway",)
_FORWARDED_PREFIXES: Final = (b"x-splitway", b"x-forwarded")
_FORWARDED: Final = frozenset((b"forwarded", b"x-real-ip"))
# A trusted proxy writes the names with "-"; in another spelling they are its client's.
_MISSPELT: Final = re.compile(rb"(?im)^x(?=[^:]*_)[-_](?:forwarded[^:]*|real[-_]ip):.*\n")
# Framing fields are written anew. With "_" for "-" only WSGI and CGI servers would read them.
_HOST: Final = re.compile(rb"\nhost:[^\n]*\n", re.IGNORECASE)
_REWRITTEN: Final = frozenset((b"host", b"content-length", b"transfer-encoding", b"x-request-id"))


class Hop:
    """What every request of one client connection gets: made once a connection.

    Args:
        peer: the client's address, without a port; empty on a unix socket.
        trusted: the peer is one of ``trusted_proxies``.
    """

    __slots__ = ("added", "peer", "trusted")

    def __init__(self, peer: str, trusted: bool) -> None:
        self.peer = peer.encode("latin-1", "replace") or b"unix"
        self.trusted = trusted
        self.added = (
            b"X-Forwarded-For: " + self.peer + b"\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: "
        )


def request_id(head: RequestHead, made: bytes) -> bytes:
    """The id the client sent, when it is fit to be passed on and logged; else ``made``."""
    if head.plain is not None:
        return made
    sent = head.header(b"x-request-id")
    return sent if sent is not None and _REQUEST_ID.fullmatch(sent) else made


def upstream_head(head: RequestHead, hop: Hop, authority: bytes, ident: bytes) -> bytes:
    """The request head as the endpoint gets it, always HTTP/1.1.

    Args:
        authority: the endpoint's own, for clients of HTTP/1.0 that name no host.
        ident: the request's id.
    """
    if head.plain is not None:
        fields = head.plain
        if not head.authority and head.low.find(b"\nhost:") < 0:
            fields = b"Host: " + authority + b"\r\n" + fields
        return b"".join(
            (
                head.method.encode(), b" ", head.target, b" HTTP/1.1\r\n", fields,
                hop.added, head.authority, b"\r\nX-Request-Id: ", ident, b"\r\n\r\n",
            )
        )  # fmt: skip
    dropped = hop_by_hop(head.connection) | _REWRITTEN
    if hop.trusted:
        fields = _MISSPELT.sub(b"", head.without(dropped, _OWN_PREFIXES))
    else:
        fields = head.without(dropped | _FORWARDED, _FORWARDED_PREFIXES)
    host = head.authority if head.low.find(b"\nhost:") >= 0 or head.authority else authority
    lines = [b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (head.method.encode(), head.target, host), fields]
    if head.upgrade:
        lines.append(b"Connection: upgrade\r\nUpgrade: " + head.upgrade + b"\r\n")
    if head.chunked:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    elif head.low.find(b"\ncontent-length:") >= 0:
        lines.append(b"Content-Length: %d\r\n" % head.length)
    lines.append(_forwarded(head, hop) if hop.trusted else hop.added + head.authority + b"\r\n")
    lines.append(b"X-Request-Id: " + ident + b"\r\n\r\n")
    return b"".join(lines)


def _forwarded(head: RequestHead, hop: Hop) -> bytes:
    """The ``X-Forwarded-*`` lines a trusted peer's request still lacks."""
    lines = b""
    if head.header(b"x-forwarded-proto") is None:
        lines += b"X-Forwarded-Proto: http\r\n"
    if head.header(b"x-forwarded-host") is None:
        lines += b"X-Forwarded-Host: " + head.authority + b"\r\n"
    # A further line of a list field is the same as a further member (RFC 9110 §5.3).
    return lines + b"X-Forwarded-For: " + hop.peer + b"\r\n"


def downstream_head(
    head: ResponseHead, *, minor: int, keep_alive: bool, chunked: bool, added: bytes
) -> bytes:
    """The response head as the client gets it.

    Args:
        minor: the client's HTTP/1 minor version.
        keep_alive: the client's connection stays open.
        chunked: the body is sent on chunked.
        added: further field lines, each with its CRLF.
    """
    fields = head.plain if head.plain is not None else _response_fields(head)
    line = head.line if head.minor else b"HTTP/1.1" + head.line[8:]
    tail = b"Transfer-Encoding: chunked\r\n" if chunked else b""
    if not keep_alive:
        tail += b"Connection: close\r\n"
    elif minor == 0:
        tail += b"Connection: keep-alive\r\n"
    return b"".join((line, b"\r\n", fields, tail, added, b"\r\n"))


def switch_head(head: ResponseHead, added: bytes) -> bytes:
    """A 101 as the client gets it (RFC 9110 §15.2.2).

    Args:
        added: further field lines, each with its CRLF.
    """
    protocol = head.header(b"upgrade") or b""
    upgrade = b"Connection: upgrade\r\nUpgrade: " + protocol + b"\r\n"
    return b"".join((head.line, b"\r\n", _response_fields(head), upgrade, added, b"\r\n"))


def _response_fields(head: ResponseHead) -> bytes:
    dropped = hop_by_hop(head.options(b"connection"))
    if head.status == 204 or head.status < 200:  # RFC 9110 §8.6
        dropped.add(b"content-length")
    return head.without(dropped, _OWN_PREFIXES)


def suffixed(head: bytes, suffix: bytes) -> bytes:
    """A head as ``upstream_head`` makes it, with ``suffix`` behind the name in its Host; an address
    stays as it is."""
    found = _HOST.search(head)
    if found is None:
        return head
    name, colon, port = found[0][6:].strip().partition(b":")
    if name.startswith(b"["):
        return head
    line = b"\nHost: " + name + suffix + colon + port + b"\r\n"
    return head[: found.start()] + line + head[found.end() :]


def asked_for(head: bytes, request: RequestHead, target: bytes | None, host: bytes | None) -> bytes:
    """A head as ``upstream_head`` makes it, for another target or host than the client's.

    ``X-Forwarded-Host`` keeps what the client asked for.
    """
    if target is not None:
        start = len(request.method) + 1
        head = head[:start] + target + head[start + len(request.target) :]
    return head if host is None else _HOST.sub(b"\nHost: " + host + b"\r\n", head, count=1)
