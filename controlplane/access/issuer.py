"""Owns an identity provider's keys: finding them, keeping them, asking anew. Never sees a token.

Keys are asked for every ten minutes, so that one that the provider has taken back is believed no
longer than that. While it does not answer the last keys are believed for a day: its outage must not
lock everybody out at once. An unknown key's name has them asked for at once, but no more than once
in thirty seconds, whoever sends how many names. Requests wait for nothing else.

Sources: OpenID Connect Discovery 1.0 section 4; RFC 7517 (JWK); RFC 8725 section 3 (algorithms).
"""

import asyncio
import logging
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
from jwt import PyJWK
from jwt.exceptions import PyJWTError

_log = logging.getLogger(__name__)

ALGORITHMS = frozenset({"RS256", "ES256", "EdDSA"})
"""Signatures that only the provider can make; nothing that a secret shared with others makes."""
FRESH_S = 600.0
AGAIN_S = 30.0
KEEP_S = 24 * 3600.0
_TIMEOUT = aiohttp.ClientTimeout(total=5)
_MAX_BYTES = 1 << 20
_MAX_KEYS = 100
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}


class _UnusableError(Exception):
    """The provider's answer is of no use; says why."""


class Issuer:
    """One identity provider."""

    def __init__(self, url: str, monotonic_s: Callable[[], float]) -> None:
        self._url = url
        self._monotonic_s = monotonic_s
        self._keys: dict[tuple[str, str], PyJWK] = {}
        """By the key's name (empty where it has none) and algorithm."""
        self._fetched_s: float | None = None
        self._tried_s: float | None = None
        self._one_question = asyncio.Lock()
        self._trouble = ""

    async def run(self) -> None:
        """Keeps the keys fresh until it is cancelled."""
        while True:
            async with self._one_question:
                await self._refresh()
            await asyncio.sleep(AGAIN_S if self._trouble else FRESH_S)

    async def key(self, name: str | None, algorithm: str) -> PyJWK | None:
        """The key of that name (``None``: the only one there is) for an algorithm."""
        is_asking = self._one_question.locked()  # its answer may be what is missing
        if self._find(name, algorithm) is None and (is_asking or self._may_ask()):
            async with self._one_question:
                if self._find(name, algorithm) is None and self._may_ask():
                    await self._refresh()
        return self._find(name, algorithm)

    def _find(self, name: str | None, algorithm: str) -> PyJWK | None:
        if self._fetched_s is None or self._monotonic_s() - self._fetched_s > KEEP_S:
            return None
        if name is not None:
            return self._keys.get((name, algorithm))
        fitting = [key for (_, kind), key in self._keys.items() if kind == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    def _may_ask(self) -> bool:
        return self._tried_s is None or self._monotonic_s() - self._tried_s >= AGAIN_S

    async def _refresh(self) -> None:
        self._tried_s = self._monotonic_s()
        try:
            async with aiohttp.ClientSession(
                timeout=_TIMEOUT, headers=_HEADERS, cookie_jar=aiohttp.DummyCookieJar()
            ) as client:
                found = await _read(client, discovery_url(self._url))
                keys = _usable(await _read(client, _jwks_url(found, self._url)))
        except (_UnusableError, aiohttp.ClientError, OSError, TimeoutError) as error:
            self._report(str(error) or type(error).__name__)
            return
        self._keys, self._fetched_s = keys, self._monotonic_s()
        self._report("")

    def _report(self, trouble: str) -> None:
        """Once for each change of state, not once a try."""
        if trouble and not self._trouble:
            kept = "the last keys are believed for a day" if self._keys else "nobody can sign in"
            _log.warning("identity provider %s: %s; %s", self._url, trouble, kept)
        elif self._trouble and not trouble:
            _log.info("identity provider %s answers again", self._url)
        self._trouble = trouble


def check_issuer(url: str) -> None:
    """Raises ValueError saying what to write instead of a URL that cannot be an issuer's."""
    parts = urlsplit(url)
    if parts.query or parts.fragment or "@" in parts.netloc or not parts.hostname:
        raise ValueError(f"expected a URL such as https://id.example.com, got {url!r}")
    if not _is_safe(url):
        raise ValueError(f"expected https:// (http:// on loopback only), got {url!r}")


def discovery_url(issuer: str) -> str:
    """Where an issuer tells of itself."""
    return f"{issuer.removesuffix('/')}/.well-known/openid-configuration"


async def _read(client: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with client.get(url, allow_redirects=False) as response:
        if response.status != 200:
            raise _UnusableError(f"{url} answered {response.status}")
        whole = bytearray()
        async for piece in response.content.iter_any():
            whole += piece
            if len(whole) > _MAX_BYTES:
                raise _UnusableError(f"{url} answered more than {_MAX_BYTES} bytes")
    try:
        return msgspec.json.decode(whole, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        raise _UnusableError(f"{url} answered no JSON object") from None


def _jwks_url(found: dict[str, Any], issuer: str) -> str:
    if found.get("issuer") != issuer:
        raise _UnusableError("calls itself by another name than --oidc-issuer")
    url = found.get("jwks_uri")
    if not isinstance(url, str) or not _is_safe(url):
        raise _UnusableError("names no jwks_uri of https")
    return url


def _usable(found: dict[str, Any]) -> dict[tuple[str, str], PyJWK]:
    """Public keys that sign, of algorithms that are believed."""
    told = found.get("keys")
    usable = {}
    for each in told[:_MAX_KEYS] if isinstance(told, list) else ():
        if not isinstance(each, dict) or each.get("use", "sig") != "sig" or "d" in each:
            continue
        try:
            key = PyJWK(each)
        except (PyJWTError, TypeError, ValueError):
            continue
        name = each.get("kid", "")
        if key.algorithm_name in ALGORITHMS and isinstance(name, str):
            usable[name, key.algorithm_name] = key
    if not usable:
        raise _UnusableError(f"has no key for {', '.join(sorted(ALGORITHMS))}")
    return usable


def _is_safe(url: str) -> bool:
    """Whether nobody on the way can answer in its place."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    host = parts.hostname or ""
    if parts.scheme == "https":
        return bool(host)
    try:
        return parts.scheme == "http" and ip_address(host).is_loopback
    except ValueError:
        return parts.scheme == "http" and host == "localhost"
