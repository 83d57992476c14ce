"""Owns what an attack is: raw bytes by a name, and what may come of them. Never sends anything."""

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

AnyVector = TypeVar("AnyVector", "RequestVector", "ResponseVector")

BAD = frozenset((400,))
NEXT = b"GET /behind HTTP/1.1\r\nHost: a.test\r\n\r\n"
"""Stands behind what must be refused: it must not be served."""


@dataclass(frozen=True)
class RequestVector:
    """A client's bytes.

    Attributes:
        served: so many requests at their front are served.
        statuses: what the rest is answered with; empty when nothing is to be refused.
        waits: the proxy may wait for more bytes instead of refusing.
        closes: the proxy closes the connection behind the last request served.
        never: bytes that must not reach the endpoint.
        policy: why something valid is refused.
    """

    name: str
    raw: bytes
    served: int = 0
    statuses: frozenset[int] = frozenset()
    waits: bool = False
    closes: bool = False
    never: tuple[bytes, ...] = ()
    policy: str = ""


BATCH = 64
"""Vectors that share a proxy in a test: making one costs as much as sending many."""


def batches(vectors: list[AnyVector]) -> dict[str, list[AnyVector]]:
    """Vectors by the first part of their names, in groups that a test can run within its bound."""
    found: dict[str, list[AnyVector]] = {}
    for vector in vectors:
        name = vector.name.partition("/")[0]
        number = 1
        while len(found.setdefault(f"{name}-{number}", [])) == BATCH:
            number += 1
        found[f"{name}-{number}"].append(vector)
    return found


def head(*lines: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a.test") -> bytes:
    """A request's head; no Host line when ``host`` is empty."""
    fields = (host, *lines) if host else lines
    return b"\r\n".join((start, *fields, b"", b""))


def refused(
    name: str, raw: bytes, statuses: frozenset[int] = BAD, *, policy: str = "", served: int = 0
) -> RequestVector:
    """Must be refused, and what stands behind it must not be served."""
    return RequestVector(name, raw + NEXT, served=served, statuses=statuses, policy=policy)


def served(name: str, raw: bytes, count: int = 1, never: tuple[bytes, ...] = ()) -> RequestVector:
    """Must be served, and so must the request behind it."""
    return RequestVector(name, raw + NEXT, served=count + 1, never=never)


class Relay(Enum):
    """What may become of an endpoint's answer."""

    WHOLE = "relayed, unchanged in meaning"
    REFUSED = "502, nothing of it relayed"
    CUT = "502, or truncated so that the client sees it"


@dataclass(frozen=True)
class ResponseVector:
    """An endpoint's bytes, sent for one request.

    Attributes:
        method: of the request.
        closes: the endpoint closes its connection behind the bytes.
        resets: it does so by a reset.
        reusable: the next request may go over the same connection.
        never: bytes no client may get.
    """

    name: str
    raw: bytes
    relay: Relay
    method: str = "GET"
    closes: bool = False
    resets: bool = False
    reusable: bool = False
    never: tuple[bytes, ...] = field(default=())
