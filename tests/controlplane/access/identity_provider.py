"""A small identity provider that really answers, with real keys."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import get_default_algorithms

AUDIENCE = "splitway"


class Key:
    """A private key with a name, for one algorithm."""

    def __init__(self, name: str, algorithm: str, bits: int = 2048) -> None:
        self.name = name
        self.algorithm = algorithm
        self.private: Any
        if algorithm == "RS256":
            self.private = rsa.generate_private_key(65537, bits)
        elif algorithm == "ES256":
            self.private = ec.generate_private_key(ec.SECP256R1())
        else:
            self.private = ed25519.Ed25519PrivateKey.generate()

    @property
    def public(self) -> dict[str, Any]:
        """As JWK."""
        kind: Any = get_default_algorithms()[self.algorithm]
        shown = kind.to_jwk(self.private.public_key(), as_dict=True)
        return {**shown, "kid": self.name, "alg": self.algorithm, "use": "sig"}

    @property
    def pem(self) -> bytes:
        """The public key, as text: what an algorithm of secrets could be fooled with."""
        shown: bytes = self.private.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        return shown


class Provider:
    """What it tells is public and may be changed between two questions."""

    def __init__(self, url: str, *keys: Key) -> None:
        self.url = url
        self.keys: list[dict[str, Any]] = [key.public for key in keys]
        self.discovery: dict[str, Any] = {"issuer": url, "jwks_uri": f"{url}/keys"}
        self.is_down = False
        self.raw: bytes | None = None
        """In place of the keys."""
        self.asked = 0

    def claims(self, **more: Any) -> dict[str, Any]:
        """Good ones, unless they are told otherwise; ``None`` leaves one out."""
        now = int(time.time())
        whole = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "u-1",
            "email": "ann@example.com",
            "email_verified": True,
            "groups": ["sre"],
            "iat": now,
            "exp": now + 600,
            **more,
        }
        return {claim: value for claim, value in whole.items() if value is not None}

    def token(self, key: Key, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        return jwt.encode(
            self.claims(**claims),
            key.private,
            key.algorithm,
            {"kid": key.name, **(headers or {})},
        )


@asynccontextmanager
async def providing(*keys: Key) -> AsyncIterator[Provider]:
    provider: list[Provider] = []

    async def discovery(_: web.Request) -> web.Response:
        provider[0].asked += 1
        if provider[0].is_down:
            return web.Response(status=503)
        return web.json_response(provider[0].discovery)

    async def jwks(_: web.Request) -> web.Response:
        if (raw := provider[0].raw) is not None:
            return web.Response(body=raw)
        return web.json_response({"keys": provider[0].keys})

    async def away(_: web.Request) -> web.Response:
        raise web.HTTPFound("/keys")

    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", discovery)
    app.router.add_get("/keys", jwks)
    app.router.add_get("/away", away)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        provider.append(Provider(f"http://127.0.0.1:{runner.addresses[0][1]}", *keys))
        yield provider[0]
    finally:
        await runner.cleanup()
