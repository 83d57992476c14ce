"""Owns the calls of the control plane's API. Never prints, never exits.

Whatever goes wrong becomes a ``CallError`` that an operator can act on.
"""

import io
import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec

from proxy.model.errors import Problem

_TIMEOUT = aiohttp.ClientTimeout(total=30)


class CallError(Exception):
    """The call did not do what was asked."""


class Client:
    """One control plane and one token."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._token = token

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

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        headers = {"Authorization": f"Bearer {self._token}", **(headers or {})}
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as session,
                session.request(
                    method,
                    f"{self._url}{path}",
                    params=query,
                    data=io.BytesIO(body) if body is not None else None,
                    headers=headers,
                    allow_redirects=False,  # the token is for this address only
                ) as response,
            ):
                return _result(response.status, await response.read(), self._url)
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            raise CallError(f"{self._url}: not a URL such as http://127.0.0.1:9800") from None
        except aiohttp.ClientSSLError:
            raise CallError(f"{self._url}: no TLS there; is it http:// that is meant?") from None
        except aiohttp.ClientConnectorError as error:
            number = error.os_error.errno
            # asyncio puts its own words where the system's belong.
            said = os.strerror(number).lower() if number and number > 0 else str(error.os_error)
            raise CallError(f"no control plane at {self._url}: {said}") from None
        except aiohttp.ClientError as error:
            raise CallError(f"{self._url}: {str(error) or type(error).__name__}") from None
        except TimeoutError:
            raise CallError(f"{self._url}: no answer within {_TIMEOUT.total:g} s") from None


def service_path(service: str) -> str:
    """Where a service's weights are."""
    return f"/v1/services/{quote(service, safe='')}/weights"


def _result(status: int, body: bytes, url: str) -> Any:
    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError:
        answer = None
    if not isinstance(answer, dict):
        raise CallError(f"{url} answered {status}, and not as a control plane does")
    if status == HTTPStatus.OK:
        if not answer.keys() & {"revision", "revisions"}:  # every answer of ours has one
            raise CallError(f"{url} answered {status}, and not as a control plane does")
        return answer
    raise CallError(_said(answer, status))


def _said(answer: dict[str, Any], status: int) -> str:
    """A problem+json in one line; each wrong field by its name."""
    try:
        problems = msgspec.convert(answer.get("problems", []), list[Problem])
    except msgspec.ValidationError:
        problems = []
    detail = str(answer.get("detail", f"the control plane answered {status}"))
    return "; ".join(map(str, problems)) or detail
