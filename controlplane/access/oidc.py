"""Owns JWTs of an identity provider → callers. Never logs a token, and never asks the provider
about one: what it signed is proof enough until it ends.

Only signatures by the provider's own keys count (``issuer``): the algorithm is the key's, and the
token's header must name the same. ``iss``, ``aud``, ``sub``, ``exp`` and ``iat`` must be there and
right, ``nbf`` if it is there; clocks may differ by a minute.

Sources: RFC 7519, RFC 8725 (JSON Web Token best current practices), docs/adr/0021.
"""

import logging
from datetime import UTC, datetime
from typing import Any

import jwt

from controlplane.access.caller import Caller
from controlplane.access.claims import OidcSettings, caller_of_claims
from controlplane.access.issuer import ALGORITHMS, Issuer

_log = logging.getLogger(__name__)

MAX_TOKEN_BYTES = 8192
LEEWAY_S = 60
_REQUIRED = ["iss", "aud", "sub", "exp", "iat"]


class Oidc:
    """Says who bears a token of the provider."""

    def __init__(self, settings: OidcSettings, issuer: Issuer) -> None:
        self._settings = settings
        self._issuer = issuer

    async def caller_of(self, bearer: str) -> Caller | None:
        """Whose token this is, until it ends; ``None`` when nobody's who may do anything."""
        if len(bearer) > MAX_TOKEN_BYTES or bearer.count(".") != 2:
            return None
        try:
            claims = await self._verified(bearer)
            until = datetime.fromtimestamp(int(claims["exp"]), UTC)
        # Python's own, beside the library's: what is signed is still of any depth and size.
        except (
            jwt.PyJWTError,
            ValueError,
            TypeError,
            OverflowError,
            OSError,  # a time that the C library cannot tell
            RecursionError,
        ) as error:
            _log.debug("a token was refused: %s", type(error).__name__)  # its words may quote
            return None
        return caller_of_claims(claims, self._settings.rules, self._settings.name_claim, until)

    async def _verified(self, bearer: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(bearer)
        algorithm, name = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS or "crit" in header or "b64" in header:
            raise jwt.InvalidAlgorithmError
        key = await self._issuer.key(name, algorithm)
        if key is None:
            raise jwt.InvalidKeyError
        claims = jwt.decode(
            bearer,
            key,
            algorithms=[algorithm],
            audience=self._settings.audience,
            issuer=self._settings.issuer,
            leeway=LEEWAY_S,
            options={"require": _REQUIRED, "enforce_minimum_key_length": True},
        )
        if not claims["sub"]:
            raise jwt.InvalidTokenError
        return claims
