"""Owns ``/v1/openapi.json`` and ``/v1/docs``: what the API is, for programs and for people."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from controlplane.api.answer import json_answer
from controlplane.api.openapi import document
from controlplane.api.operation import Operation
from controlplane.api.page import POLICY, page
from controlplane.api.rules import VIEW


class ContractApi:
    """Handlers of ``/v1/openapi.json`` and ``/v1/docs``."""

    def __init__(self, release: str) -> None:
        self._release = release
        self._document: dict[str, Any] = {}
        self._page = ""

    def operations(self) -> list[Operation]:
        """What is served where."""
        return [
            Operation("GET", "/v1/openapi.json", self.openapi, dict[str, Any], rule=VIEW),
            Operation("GET", "/v1/docs", self.docs, None, media="text/html", rule=VIEW),
        ]

    def describe(self, operations: Sequence[Operation]) -> None:
        """Takes what there is to tell; called once, when everything is known."""
        self._document = document(operations, self._release)
        self._page = page(self._document)

    async def openapi(self, _request: web.Request) -> web.Response:
        """This API as an OpenAPI 3.1 document."""
        return json_answer(self._document)

    async def docs(self, _request: web.Request) -> web.Response:
        """This API as a page for people."""
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
        return web.Response(text=self._page, content_type="text/html", headers=headers)
