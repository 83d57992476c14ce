"""Owns the sample service's HTTP: what each path answers. Never splits, never retries.

Every response names the version (``X-Version``) and carries the request's ``X-Request-Id`` back,
so that a client can prove which version answered and that the answer is its own.
"""

import asyncio
import hashlib
import random
from dataclasses import dataclass

from aiohttp import web

from loadtests.sample.content import blocks, sha256_of

MAX_BLOB_BYTES = 16 * 1024**3


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How this sample answers ``/api/items``."""

    version: str
    delay_ms: float = 0.0
    error_rate: float = 0.0
    """0–1: the part of the requests that get a 500."""


def build_app(behaviour: Behaviour) -> web.Application:
    """The sample service as an application."""
    handlers = _Handlers(behaviour)
    app = web.Application()
    app.router.add_get("/healthz", handlers.healthz)
    app.router.add_get("/api/items", handlers.items)
    app.router.add_get("/blob", handlers.blob)
    app.router.add_post("/upload", handlers.upload)
    return app


class _Handlers:
    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    def _headers(self, request: web.Request) -> dict[str, str]:
        headers = {"X-Version": self._behaviour.version}
        if request_id := request.headers.get("X-Request-Id"):
            headers["X-Request-Id"] = request_id
        return headers

    async def healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n", headers=self._headers(request))

    async def items(self, request: web.Request) -> web.Response:
        if self._behaviour.delay_ms:
            await asyncio.sleep(self._behaviour.delay_ms / 1000)
        version, headers = self._behaviour.version, self._headers(request)
        if random.random() < self._behaviour.error_rate:
            body = {"version": version, "error": "this version was started with --error-rate"}
            return web.json_response(body, status=500, headers=headers)
        body = {
            "version": version,
            "user": request.headers.get("X-User-Id", ""),
            "query": request.query_string,
        }
        return web.json_response(body, headers=headers)

    async def upload(self, request: web.Request) -> web.Response:
        digest, received_bytes = hashlib.sha256(), 0
        try:
            async for piece in request.content.iter_any():
                digest.update(piece)
                received_bytes += len(piece)
        except ConnectionResetError:  # who uploads has left: no error of ours, to be logged whole
            raise web.HTTPBadRequest(text="the body broke off\n") from None
        body = {
            "version": self._behaviour.version,
            "bytes": received_bytes,
            "sha256": digest.hexdigest(),
        }
        return web.json_response(body, headers=self._headers(request))

    async def blob(self, request: web.Request) -> web.StreamResponse:
        body_bytes = _body_bytes(request)
        response = web.StreamResponse(headers=self._headers(request))
        response.content_type = "application/octet-stream"
        # Hashing a gigabyte takes a second; hashlib lets the loop run meanwhile.
        sha256 = await asyncio.to_thread(sha256_of, body_bytes)
        response.headers["X-Content-SHA256"] = sha256
        if request.query.get("chunked") == "1":
            response.enable_chunked_encoding()
        else:
            response.content_length = body_bytes
        await response.prepare(request)
        if request.method != "HEAD":
            for block in blocks(body_bytes):
                await response.write(block)
        await response.write_eof()
        return response


def _body_bytes(request: web.Request) -> int:
    text = request.query.get("bytes", "")
    if text.isascii() and text.isdigit() and len(text) <= 11 and int(text) <= MAX_BLOB_BYTES:
        return int(text)
    raise web.HTTPBadRequest(text=f"bytes: a whole number from 0 to {MAX_BLOB_BYTES} is needed\n")
