"""Owns what a connection to an endpoint tells whoever it serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.core.outcome import Outcome
    from proxy.http1.response import ResponseHead
    from proxy.net.upstream import UpstreamConnection


class Asker:
    """Whoever has a request for an endpoint. By itself it takes everything and does nothing.

    Attributes:
        method: of the request.
        idle_s: how long the endpoint may be silent in the middle of its response.
        paused: no more of the response is wanted for now.
    """

    __slots__ = ("idle_s", "method", "paused")

    def __init__(self, method: str, idle_s: float) -> None:
        self.method = method
        self.idle_s = idle_s
        self.paused = False

    def on_request_sent(self) -> None:
        """What waited for the end of the turn is about to be sent."""

    def on_upstream_full(self) -> None:
        """The endpoint is slower than what it is sent."""

    def on_upstream_drained(self) -> None:
        """The endpoint has caught up."""

    def on_informational(self, head: ResponseHead) -> None:
        """A 1xx head."""

    def on_switch(self, upstream: UpstreamConnection, head: ResponseHead, late: bytes) -> bool:  # noqa: ARG002 for those who want it
        """A 101. Returns whether the endpoint may switch; its connection is a tunnel's then."""
        return False

    def on_response(
        self, head: ResponseHead, payload: bytes, *, done: bool, trailers: bytes
    ) -> None:
        """The final head, and what of the body came with it."""

    def on_body(self, payload: bytes, *, done: bool, trailers: bytes) -> None:
        """A further piece of the response's body."""

    def on_failure(self, outcome: Outcome) -> None:
        """The connection is lost or was dropped before the response was complete."""
