"""Owns what routes ask of one request, read once however many of them ask."""

from collections.abc import Callable
from typing import Final

from proxy.core.forwarded import TrustedProxies
from proxy.core.message import HeadView
from proxy.core.values import cookie_values, query_values

DrawSlot = Callable[[], int]
"""Draws a slot, 0–9,999, each as likely."""
Predicate = Callable[["RequestView"], bool]

_PREFLIGHT_METHOD: Final = b"access-control-request-method"


class RequestView:
    """One request, for as long as its route is looked for.

    Args:
        peer: its address.
        trusted: whose word on the client counts.
        draw: see ``DrawSlot``.
    """

    __slots__ = (
        "_answers", "_cookies", "_draw", "_drawn", "_head", "_peer", "_preflight", "_query",
        "_trusted",
    )  # fmt: skip

    def __init__(self, head: HeadView, peer: str, trusted: TrustedProxies, draw: DrawSlot) -> None:
        self._head = head
        self._peer = peer
        self._trusted = trusted
        self._draw = draw
        self._drawn: dict[int, int] = {}
        self._answers: dict[int, bool] = {}
        self._query: dict[bytes, bytes] | None = None
        self._cookies: dict[bytes, bytes] | None = None
        self._preflight: bytes | None = None
        if head.method == "OPTIONS" and head.header(b"origin") is not None:
            self._preflight = head.header(_PREFLIGHT_METHOD)

    @property
    def is_preflight(self) -> bool:
        """A browser asks whether it may send another request (the Fetch standard's CORS)."""
        return self._preflight is not None

    @property
    def method(self) -> str:
        """As received."""
        return self._head.method

    @property
    def method_to_come(self) -> str:
        """A preflight's: that of the request it asks for; else the request's own."""
        preflight = self._preflight
        return self._head.method if preflight is None else preflight.decode("latin-1")

    def header(self, name: bytes) -> bytes | None:
        """The value of a field in lower case; those of a repeated one are joined with commas
        (RFC 9110 section 5.3)."""
        values = self._head.headers(name)
        return b",".join(values) if values else None

    def forwarded(self, name: bytes) -> bytes | None:
        """As ``header``, of a field in which only a trusted proxy is believed."""
        return self.header(name) if self._trusted and self._trusted.contains(self._peer) else None

    def query(self, name: bytes) -> bytes | None:
        """The decoded value of a parameter."""
        if self._query is None:
            self._query = query_values(self._head.target)
        return self._query.get(name)

    def cookie(self, name: bytes) -> bytes | None:
        """The value of a cookie."""
        if self._cookies is None:
            self._cookies = cookie_values(self._head)
        return self._cookies.get(name)

    def fits(self, route: int, predicate: Predicate) -> bool:
        """What a route's predicate says of this request."""
        answer = self._answers.get(route)
        if answer is None:
            answer = self._answers[route] = predicate(self)
        return answer

    def is_below(self, route: int, slots: int) -> bool:
        """Whether the slot drawn for a route is among the first ``slots``: a route is in luck or
        not, however often it is looked at."""
        drawn = self._drawn.get(route)
        if drawn is None:
            drawn = self._drawn[route] = self._draw()
        return drawn < slots
