"""Owns what the data plane tells about each version. ``net`` reports here, knows no Prometheus."""

from typing import Protocol

from proxy.model.wire import Edges


class VersionObserver(Protocol):
    """Hears what happens to one version's requests. Called on the request path: must be cheap."""

    @property
    def in_flight(self) -> int:
        """Requests that were started and are not finished, whatever their revision."""

    def started(self, source: str) -> None:
        """A request was given to this version; ``source`` is the sticky source that decided."""

    def attempted(self, outcome: str) -> None:
        """One try against an endpoint ended with ``outcome`` (``proxy.core.outcome.Outcome``)."""

    def finished(
        self, method: str, status: int, seconds: float, request_bytes: int, response_bytes: int
    ) -> None:
        """A started request is over. ``status`` is what the client was sent, 499 if it had left
        before. Bytes are those of the bodies."""

    def charged(self) -> None:
        """The first attempt of a finished request was an error, or brought no answer."""

    def belonged(
        self, segments: tuple[str, ...], status: int, seconds: float, *, charged: bool
    ) -> None:
        """A finished request was one of these segments' (``dimension=value``); ``charged`` as
        above."""

    def saw(
        self, user: int, segments: tuple[str, ...], seconds: float, edges: Edges, *, charged: bool
    ) -> None:
        """A finished request was this user's (``proxy.core.user``), 0 for nobody's; it is slow if
        it took longer than one of these edges."""

    def served(self, endpoint: str, seconds: float, edges: Edges, *, charged: bool) -> None:
        """Of a finished request, the first attempt was at this endpoint."""

    def ejected(self) -> None:
        """An endpoint was taken out for what its requests met."""

    def tunnels(self, change: int) -> None:
        """So many tunnels more, or fewer, are open."""

    def moved(self, request_bytes: int, response_bytes: int) -> None:
        """Bytes went through a tunnel."""
