"""Owns the calls of the control plane's API and of a proxy's admin port. Never prints or exits.

Whatever goes wrong becomes a ``CallError`` that an operator can act on.
"""

import io
import os
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec

from controlplane.operator.trust import Trust, TrustError
from proxy.model.errors import Problem

_OURS = {
    *("revision", "revisions", "fields", "entries", "services", "windows", "tokens", "role"),
    "intervals",
    "audience",
}
"""Every answer of the control plane has one of these."""
_TIMEOUT = aiohttp.ClientTimeout(total=30)


class CallError(Exception):
    """The call did not do what was asked."""


async def ask_proxy(url: str, query: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """What a running proxy says to ``/explain`` on its admin port.

    Raises: CallError.
    """
    url = url.rstrip("/")
    status, body = await _send("proxy", "GET", url, "/explain", query)
    answer = _decoded(body)
    if answer is None or (status == HTTPStatus.OK and "reason" not in answer):
        raise CallError(f"{url} answered {status}, and not as a proxy's admin port does")
    if status != HTTPStatus.OK:
        raise CallError(_said(answer, status))
    return answer


class Client:
    """One control plane, one token, and whom to believe on the way."""

    def __init__(self, url: str, token: str, trust: Trust | None = None) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._trust = trust

    async def read(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """What is at a path.

        Raises: CallError.
        """
        return await self._call("GET", path, query)

    async def replace(
        self,
        path: str,
        body: object,
        query: Mapping[str, str] | None = None,
        if_match: int | None = None,
    ) -> Any:
        """Puts a body at a path, if the newest revision is the one expected.

        Raises: CallError.
        """
        headers = {"Content-Type": "application/json"}
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        return await self._call("PUT", path, query, msgspec.json.encode(body), headers)

    async def add(self, path: str, body: object, query: Mapping[str, str] | None = None) -> Any:
        """Posts a body.

        Raises: CallError.
        """
        headers = {"Content-Type": "application/json"}
        return await self._call("POST", path, query, msgspec.json.encode(body), headers)

    async def change(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        if_match: int | None = None,
    ) -> Any:
        """Asks for a change that has no body.

        Raises: CallError.
        """
        headers = {} if if_match is None else {"If-Match": f'"{if_match}"'}
        return await self._call(method, path, query, None, headers)

    async def download(self, path: str, take: Callable[[bytes], object]) -> None:
        """Hands on what is at a path.

        Raises: CallError.
        """
        headers = {"Authorization": f"Bearer {self._token}"}
        status, body = await _send(
            "control plane", "GET", self._url, path, (), None, headers, self._trust
        )
        if status != HTTPStatus.OK:
            answer = _decoded(body)
            raise CallError(_said(answer or {}, status))
        take(body)

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        headers = {"Authorization": f"Bearer {self._token}", **(headers or {})}
        pairs = list(query.items()) if query else ()
        status, answer = await _send(
            "control plane", method, self._url, path, pairs, body, headers, self._trust
        )
        return _result(status, answer, self._url)


async def _send(
    whom: str,
    method: str,
    url: str,
    path: str,
    query: Sequence[tuple[str, str]],
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    trust: Trust | None = None,
) -> tuple[int, bytes]:
    trust = trust or Trust()
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.request(
                method,
                f"{url}{path}",
                params=query or None,
                data=io.BytesIO(body) if body is not None else None,
                headers=headers,
                ssl=trust.context() if url.startswith("https:") else True,
                allow_redirects=False,  # the token is for this address only
            ) as response,
        ):
            return response.status, await response.read()
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
        raise CallError(f"{url}: not a URL such as http://127.0.0.1:9800") from None
    except TrustError as error:
        raise CallError(str(error)) from None
    except (aiohttp.ClientSSLError, aiohttp.ServerDisconnectedError) as error:
        raise CallError(f"{url}: {trust.fault(error)}") from None
    except aiohttp.ClientConnectorError as error:
        number = error.os_error.errno
        # asyncio puts its own words where the system's belong.
        said = os.strerror(number).lower() if number and number > 0 else str(error.os_error)
        raise CallError(f"no {whom} at {url}: {said}") from None
    except aiohttp.ClientOSError as error:
        # The connection was made and then broken.
        raise CallError(f"{url}: {trust.fault(error)}") from None
    except aiohttp.ClientError as error:
        raise CallError(f"{url}: {str(error) or type(error).__name__}") from None
    except TimeoutError:
        raise CallError(f"{url}: no answer within {_TIMEOUT.total:g} s") from None


def service_path(service: str) -> str:
    """Where a service's weights are."""
    return f"/v1/services/{quote(service, safe='')}/weights"


def _result(status: int, body: bytes, url: str) -> Any:
    answer = _decoded(body)
    if answer is None:
        raise CallError(f"{url} answered {status}, and not as a control plane does")
    if status == HTTPStatus.OK:
        if not answer.keys() & _OURS:
            raise CallError(f"{url} answered {status}, and not as a control plane does")
        return answer
    raise CallError(_said(answer, status))


def _decoded(body: bytes) -> dict[str, Any] | None:
    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
    return answer if isinstance(answer, dict) else None


def _said(answer: dict[str, Any], status: int) -> str:
    """A problem+json in one line; each wrong field by its name."""
    try:
        problems = msgspec.convert(answer.get("problems", []), list[Problem])
    except msgspec.ValidationError:
        problems = []
    detail = str(answer.get("detail", f"the control plane answered {status}"))
    return "; ".join(map(str, problems)) or detail
