"""Owns what browsers are told about pages of other origins. Never lets one in: ``guard`` refuses
every origin that is not allowed, before this is asked.

A preflight bears no token and is answered without one: it says which methods a path takes and with
which headers, as ``/v1/openapi.json`` does, and only to allowed origins. Nothing is said of
credentials: there are no cookies here, and a token is a header that the page sets by itself.

Source: Fetch standard, "HTTP extensions" (CORS).
"""

from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus

from aiohttp import web

from controlplane.api.operation import Operation

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_MAX_AGE_S = 600
_EVERYWHERE = frozenset({"Authorization", "X-Request-Id"})
_EXPOSED = "Allow, ETag, Idempotent-Replay, Retry-After, WWW-Authenticate, X-Request-Id"
"""What a page may read of an answer beside what every page may."""


class Cors:
    """Answers preflights, and marks what an allowed origin may read."""

    def __init__(self, origins: frozenset[str]) -> None:
        self._origins = origins
        self._headers: dict[str, dict[str, frozenset[str]]] = {}
        """Path → method → headers."""

    def describe(self, operations: Iterable[Operation]) -> None:
        """Takes what there is; called once, when everything is known."""
        for operation in operations:
            if operation.status is HTTPStatus.SWITCHING_PROTOCOLS:
                continue  # a page cannot send a token with a WebSocket
            taken = {each.name for each in operation.parameters if each.where == "header"}
            if operation.body is not None:
                taken.add("Content-Type")
            methods = self._headers.setdefault(operation.plain_path, {})
            methods[operation.method] = _EVERYWHERE | taken
            if operation.method == "GET":
                methods["HEAD"] = methods["GET"]

    def preflights(self) -> Callable[..., Awaitable[web.StreamResponse]]:
        """The middleware that answers them; stands between the guard and authentication."""

        @web.middleware
        async def middleware(request: web.Request, handler: _Handler) -> web.StreamResponse:
            asked = request.headers.get("Access-Control-Request-Method")
            if request.method != "OPTIONS" or asked is None:
                return await handler(request)
            return await self._answered(request, asked)

        return middleware

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Lets a page of an allowed origin read the answer."""
        if not self._origins or response.status == HTTPStatus.SWITCHING_PROTOCOLS:
            return
        response.headers.add("Vary", "Origin")
        origin = request.headers.get("Origin", "")
        if origin.lower() in self._origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED

    async def _answered(self, request: web.Request, asked: str) -> web.Response:
        response = web.Response(status=HTTPStatus.NO_CONTENT)
        response.headers["Vary"] = "Access-Control-Request-Method, Access-Control-Request-Headers"
        found = await request.app.router.resolve(request.clone(method=asked))
        resource = found.route.resource
        methods = self._headers.get(resource.canonical, {}) if resource is not None else {}
        if asked in methods and request.headers.get("Origin", "").lower() in self._origins:
            response.headers["Access-Control-Allow-Methods"] = ", ".join(sorted(methods))
            response.headers["Access-Control-Allow-Headers"] = ", ".join(sorted(methods[asked]))
            response.headers["Access-Control-Max-Age"] = str(_MAX_AGE_S)
        return response
