"""Owns how a request yields its sticky key. Never verifies who the user is.

A key is only the value, not where it was found: the same user id in a header and in a cookie is the
same user on the same slot. A jwt claim is used for keying only; the token's signature is the
service's business.

Sources: RFC 6750 section 2.1 (bearer tokens), RFC 7519 section 7 (jwt).
"""

import binascii
import re
from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec

from proxy.core.forwarded import TrustedProxies, client_ip
from proxy.core.message import HeadView
from proxy.core.values import cookie_value, query_value
from proxy.model.config import CookieAttributes, GeneratedId, KeyFrom, KeySource, Sticky

Source = Literal[
    "header", "cookie", "query", "jwt", "client_ip", "generated", "random", "pin", "override"
]
"""Which source decided; ``random`` when none yielded; ``pin`` and ``override`` before any was
looked at. Values of the metrics' label ``source``."""

Reader = Callable[[HeadView, str], bytes | None]
"""Reads a key from a head and the peer's address; empty or None when there is none."""

NewId = Callable[[], str]
"""Draws an id of 22 characters of base64url: 128 random bits."""

_GENERATED_ID = re.compile(rb"[A-Za-z0-9_-]{22}")


class Key(NamedTuple):
    """A sticky key, the source it came from, and the Set-Cookie value to answer with."""

    value: bytes
    source: Source
    set_cookie: bytes | None = None


FindKey = Callable[[HeadView, str], Key | None]


def first_header(sticky: Sticky) -> bytes | None:
    """The first source's field name in lower case, if that source is a header: the common case."""
    first = sticky.key[0] if sticky.key else None
    if isinstance(first, KeyFrom) and first.header:
        return first.header.lower().encode()
    return None


def compile_sticky(sticky: Sticky, trusted: TrustedProxies, new_id: NewId) -> FindKey:
    """A function that finds a request's sticky key.

    Args:
        sticky: the sources, tried in order.
        trusted: whose X-Forwarded-For is believed.
        new_id: draws an id for a user who has none; see ``NewId``.

    Returns:
        (head, peer) → the first non-empty key, or None. ``generated`` always yields.
    """
    steps = tuple(_step(source, trusted, new_id) for source in sticky.key)

    def find(head: HeadView, peer: str) -> Key | None:
        for step in steps:
            key = step(head, peer)
            if key is not None:
                return key
        return None

    return find


def generated_cookies(sticky: Sticky) -> tuple[str, ...]:
    """Names of the id cookies that may be made."""
    names = []
    for source in sticky.key:
        if source == "generated":
            names.append(GeneratedId().cookie)
        elif isinstance(source, KeyFrom) and _kind(source) == "generated":
            names.append((source.generated or GeneratedId()).cookie)
    return tuple(names)


def _step(source: KeySource, trusted: TrustedProxies, new_id: NewId) -> FindKey:
    if source == "generated":
        return _generated(GeneratedId(), new_id)
    if source == "client_ip":
        return _plain("client_ip", read_client_ip(trusted))
    kind = _kind(source)
    if kind == "generated":
        return _generated(source.generated or GeneratedId(), new_id)
    return _plain(kind, reader_of(source))


def reader_of(source: KeyFrom) -> Reader:
    """Reads the source that is set, if it is none that the proxy makes."""
    if source.header is not None:
        return _from_header(source.header)
    if source.cookie is not None:
        return _from_cookie(source.cookie)
    if source.query is not None:
        return _from_query(source.query)
    return _from_jwt(source.jwt or "")


def _kind(source: KeyFrom) -> Source:
    if source.header is not None:
        return "header"
    if source.cookie is not None:
        return "cookie"
    if source.query is not None:
        return "query"
    return "generated" if source.jwt is None else "jwt"


def _plain(source: Source, read: Reader) -> FindKey:
    def find(head: HeadView, peer: str) -> Key | None:
        value = read(head, peer)
        return Key(value, source) if value else None

    return find


def cookie_attributes(cookie: CookieAttributes) -> str:
    """What follows a cookie's value (RFC 6265 section 4.1)."""
    parts = [f"Path={cookie.path}", "HttpOnly", f"SameSite={cookie.same_site}"]
    if cookie.domain:
        parts.append(f"Domain={cookie.domain}")
    if cookie.secure:
        parts.append("Secure")
    if cookie.max_age_s:
        parts.append(f"Max-Age={cookie.max_age_s}")
    return "".join(f"; {part}" for part in parts)


def _generated(generated: GeneratedId, new_id: NewId) -> FindKey:
    """Keys on our own id cookie. One that we would not have made is replaced, so that what is
    stored at clients keeps one form."""
    read = _from_cookie(generated.cookie)
    attributes = cookie_attributes(generated)

    def find(head: HeadView, peer: str) -> Key:
        value = read(head, peer)
        if value and _GENERATED_ID.fullmatch(value):
            return Key(value, "generated")
        fresh = new_id()
        cookie = f"{generated.cookie}={fresh}{attributes}"
        return Key(fresh.encode(), "generated", cookie.encode())

    return find


def _from_header(name: str) -> Reader:
    lowered = name.lower().encode()
    return lambda head, _peer: head.header(lowered)


def read_client_ip(trusted: TrustedProxies) -> Callable[[HeadView, str], bytes]:
    """Reads the client's address (``proxy.core.forwarded``)."""
    if not trusted:
        return lambda _head, peer: client_ip(peer, None, trusted).encode()

    def read(head: HeadView, peer: str) -> bytes:
        forwarded_for = b",".join(head.headers(b"x-forwarded-for"))
        return client_ip(peer, forwarded_for, trusted).encode()

    return read


def _from_cookie(name: str) -> Reader:
    wanted = name.encode()
    return lambda head, _peer: cookie_value(head, wanted)


def _from_query(name: str) -> Reader:
    wanted = name.encode()
    return lambda head, _peer: query_value(head.target, wanted)


def _from_jwt(claim: str) -> Reader:
    def read(head: HeadView, _peer: str) -> bytes | None:
        scheme, _, token = (head.header(b"authorization") or b"").partition(b" ")
        parts = token.strip(b" ").split(b".")
        if scheme.lower() != b"bearer" or len(parts) != 3:
            return None
        return _claim_value(parts[1], claim)

    return read


def _claim_value(payload: bytes, claim: str) -> bytes | None:
    """A string or number claim as text. A token is anyone's input: whatever is wrong with it only
    means that it yields no key."""
    try:
        padded = payload.translate(_TO_BASE64) + b"=" * (-len(payload) % 4)
        claims = msgspec.json.decode(binascii.a2b_base64(padded, strict_mode=True))
        value = claims.get(claim) if isinstance(claims, dict) else None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return None
        return str(value).encode()
    except (ValueError, RecursionError):
        return None


_TO_BASE64 = bytes.maketrans(b"-_", b"+/")
