"""A request's head made from plain values, for tests of the core. Checks nothing of HTTP."""

from collections.abc import Callable

from proxy.core.forwarded import TrustedProxies
from proxy.core.request_view import RequestView


class Head:
    """Satisfies ``proxy.core.message.HeadView``; fields are pairs, in lower case."""

    def __init__(
        self,
        target: str = "/",
        *fields: tuple[str, str],
        host: str = "",
        method: str = "GET",
    ) -> None:
        self.method = method
        self.target = target.encode()
        self.host = host.encode()
        self.authority = self.host
        self._fields = [(name.encode(), value.encode("latin-1")) for name, value in fields]

    def header(self, name: bytes) -> bytes | None:
        """The first value of a field."""
        return next(iter(self.headers(name)), None)

    def headers(self, name: bytes) -> list[bytes]:
        """Every value of a field."""
        return [value for known, value in self._fields if known == name]


def view_of(
    head: Head,
    draw: Callable[[], int] = lambda: 0,
    *,
    peer: str = "192.0.2.7",
    trusted: tuple[str, ...] = (),
) -> RequestView:
    """What routes see of it."""
    return RequestView(head, peer, TrustedProxies(trusted), draw)
