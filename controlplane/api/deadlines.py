"""Owns how long a caller may take to say what it wants: the head of its first request, and a body.
Never judges what is said.

The framework waits for both for ever. Between requests, and for the head of a later one, its own
keep-alive timeout holds.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus

from aiohttp import web

from controlplane.api.problem import ApiError

HEAD_S = 10.0
BODY_S = 30.0
KEEP_ALIVE_S = 75.0
"""Longer than load balancers keep theirs (60 s), so that it is they who close."""
_LOOK_S = 2.0

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def read_whole(request: web.Request) -> None:
    """Reads the body, which stays with the request.

    Raises: ApiError 408: it took too long.
    """
    try:
        async with asyncio.timeout(BODY_S):
            await request.read()
    except TimeoutError:
        detail = f"the body did not come within {BODY_S:g} s"
        close = {"Connection": "close"}
        raise ApiError(
            HTTPStatus.REQUEST_TIMEOUT, "request-timeout", detail, headers=close
        ) from None


class FirstHeads:
    """Closes connections whose first request does not come.

    Args:
        connections: all that are open.
    """

    def __init__(
        self,
        connections: Callable[[], Iterable[web.RequestHandler]],
        monotonic_s: Callable[[], float],
    ) -> None:
        self._connections = connections
        self._monotonic_s = monotonic_s
        self._came = set[web.RequestHandler]()
        """Those whose first request has come; some are closed since the last look."""
        self._seen_at_s = dict[web.RequestHandler, float]()
        """When those were seen first whose first request has not come."""

    def note(self) -> Callable[..., Awaitable[web.StreamResponse]]:
        """The middleware that sees requests come."""

        @web.middleware
        async def middleware(request: web.Request, handler: _Handler) -> web.StreamResponse:
            self._came.add(request.protocol)
            return await handler(request)

        return middleware

    async def run(self) -> None:
        """Looks until it is cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self.look()

    def look(self) -> None:
        """Closes what has been open for too long."""
        now_s = self._monotonic_s()
        open_now = set(self._connections())
        self._came &= open_now
        silent = open_now - self._came
        self._seen_at_s = {each: self._seen_at_s.get(each, now_s) for each in silent}
        for connection, seen_at_s in self._seen_at_s.items():
            if now_s - seen_at_s >= HEAD_S:
                connection.force_close()
