"""Owns what a route and a version change in the heads of a request and its response.

There is one only where something is changed: whoever changes nothing pays nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.core.header_changes import compile_edit
from proxy.core.local_reply import CorsPolicy
from proxy.http1.forward import asked_for

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.core.decision import Target
    from proxy.http1.request import RequestHead
    from proxy.model.config import Route, Service

ANSWERED_HERE = -1
"""In place of a version: the route leads to none."""


class Edits:
    """What one route changes for one version.

    Args:
        service: None where the route leads to none; so is ``version``.
    """

    __slots__ = ("_cors", "_host", "_request", "_response", "_rewrites")

    def __init__(self, route: Route, service: Service | None = None, version: str = "") -> None:
        changes = [route.request_headers]
        answers = [route.response_headers]
        if service is not None:  # the version's word counts where both have one
            changes.append(service.versions[version].request_headers)
            answers.append(service.versions[version].response_headers)
        self._request = compile_edit(changes)
        self._response = compile_edit(answers)
        self._cors = None if route.cors is None else CorsPolicy(route.cors)
        rewrite = route.rewrite
        self._rewrites = rewrite is not None
        host = None if rewrite is None else rewrite.host
        self._host = None if host is None else host.encode()

    def __bool__(self) -> bool:
        parts = (self._request, self._response, self._cors, self._host)
        return self._rewrites or any(part is not None for part in parts)

    def of_request(self, head: bytes, request: RequestHead, target: bytes | None) -> bytes:
        """A head for an endpoint.

        Args:
            target: what is asked for instead of the request's own.
        """
        head = asked_for(head, request, target, self._host)
        return head if self._request is None else self._request.apply(head)

    def of_response(self, head: bytes, origin: bytes | None, added: bytes) -> bytes:
        """A head for a client.

        Args:
            origin: the request's ``Origin``.
            added: field lines of ours, each with its CRLF; nobody changes them.
        """
        cors = self._cors
        if cors is not None:
            head = cors.dropped.sub(b"\n", head)
            added += cors.lines(origin)
        if self._response is not None:
            head = self._response.apply(head)
        return head[:-2] + added + b"\r\n" if added else head


def compile_edits(
    routes: Iterable[Route], services: dict[str, Service], targets: Iterable[Target]
) -> dict[tuple[int, int], Edits]:
    """Everything that is changed, by the indices of route and version (``ANSWERED_HERE``)."""
    by_service: dict[str, list[Target]] = {}
    for target in targets:
        by_service.setdefault(target.service, []).append(target)
    found = {}
    for index, route in enumerate(routes):
        if route.service is None:
            found[index, ANSWERED_HERE] = Edits(route)
            continue
        for target in by_service[route.service]:
            edits = Edits(route, services[route.service], target.version)
            found[index, target.index] = edits
    return {key: edits for key, edits in found.items() if edits}
