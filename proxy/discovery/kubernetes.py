"""Owns finding endpoints in Kubernetes: lists a service's EndpointSlices, then watches them.

As the API's conventions have it: a list tells a version, the watch goes on from it, bookmarks move
it on, and when the server no longer knows it (410) all begins anew. Whatever fails, what was found
last stays. Source: Kubernetes API concepts, "Efficient detection of changes".
"""

import asyncio
import contextlib
import logging
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from proxy.core.backoff import Backoff
from proxy.discovery.finder import Failed, Found, Wait
from proxy.discovery.slices import EndpointSlice, Metadata, PortUnclear, endpoints_in
from proxy.model.source import Source

LOG = logging.getLogger("splitway.discovery")

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its service account."""
WATCH_S: Final = 240
"""How long the server lets one watch last; it is begun anew from where it was."""
PAGE: Final = 500
TIMEOUT_S: Final = 10.0
SPARE_S: Final = 30.0
LEAST_WAIT_S: Final = 0.2
"""Even where the server ends a watch in order: some end it at once."""
RETRY_CAP_S: Final = 15.0
MAX_LINE_BYTES: Final = 16 * 1024 * 1024
_GONE: Final = 410


class Gone(Exception):
    """The server no longer knows the version that a watch was to go on from."""


class Refused(Exception):
    """The server does not answer as asked."""


class _ListMetadata(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""
    next: str = msgspec.field(default="", name="continue")


class _SliceList(msgspec.Struct, frozen=True):
    metadata: _ListMetadata = _ListMetadata()
    items: tuple[EndpointSlice, ...] | None = None


class _Event(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


class _Bookmark(msgspec.Struct, frozen=True):
    metadata: Metadata = Metadata()


class _Status(msgspec.Struct, frozen=True):
    code: int = 0
    message: str = ""


class ApiServer:
    """Where the cluster's API is served, and who we are.

    Args:
        environment: of a pod.
        account: the folder of the service account: token, CA, and the pod's namespace.
    """

    def __init__(
        self, environment: Mapping[str, str] = os.environ, account: Path = ACCOUNT
    ) -> None:
        host = environment.get("KUBERNETES_SERVICE_HOST", "")
        port = environment.get("KUBERNETES_SERVICE_PORT", "443")
        self._account = account
        self._host = f"[{host}]" if ":" in host else host
        self._port = port

    def url(self, namespace: str) -> str:
        """Of the EndpointSlices of a namespace.

        Raises:
            Refused: this process is in no cluster.
        """
        if not self._host:
            raise Refused("KUBERNETES_SERVICE_HOST is not set: this is no pod of a cluster")
        # A token is shown to nobody whose certificate was not checked, but for this machine's own
        # (`kubectl proxy` beside us).
        plain = _is_loopback(self._host) and not (self._account / "ca.crt").exists()
        scheme = "http" if plain else "https"
        path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        return f"{scheme}://{self._host}:{self._port}{path}"

    def headers(self) -> dict[str, str]:
        """Read each time: the kubelet renews the token."""
        token = self._account / "token"
        if not token.exists():
            return {}
        return {"Authorization": f"Bearer {token.read_text().strip()}"}

    def tls(self) -> ssl.SSLContext | bool:
        """What the server's certificate is checked against."""
        ca = self._account / "ca.crt"
        return ssl.create_default_context(cafile=str(ca)) if ca.exists() else True


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class KubernetesFinder:
    """A service's pods.

    Args:
        source: of kind ``kubernetes``.
        draw: a random number from 0 to below 1, for pauses.
    """

    def __init__(
        self,
        source: Source,
        server: ApiServer,
        draw: Callable[[], float],
        *,
        wait: Wait = asyncio.sleep,
    ) -> None:
        self._source = source
        self._server = server
        self._wait = wait
        self._backoff = Backoff(draw, base_s=1.0, cap_s=RETRY_CAP_S)
        self._slices: dict[str, EndpointSlice] = {}
        self._version = ""  # that a watch goes on from; empty: list first

    async def run(self, found: Found, failed: Failed) -> None:
        """See ``Finder``."""
        timeout = aiohttp.ClientTimeout(total=None, connect=TIMEOUT_S, sock_read=TIMEOUT_S)
        while True:
            try:
                # A session anew, as the CA's file may be, too.
                connector = aiohttp.TCPConnector(ssl=self._server.tls())
                async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
                    await self._follow(session, found, failed)
            except Gone:
                self._version = ""
                LOG.info("%s: the watch is too old; listing anew", self._source.name)
            except (aiohttp.ClientError, Refused, OSError) as error:
                failed(str(error) or type(error).__name__)
            except msgspec.MsgspecError as error:
                self._version = ""  # or the watch would bring the same event again
                failed(str(error))
            await self._wait(LEAST_WAIT_S + self._backoff.next_s())

    async def _follow(self, session: aiohttp.ClientSession, found: Found, failed: Failed) -> None:
        """List if need be, then watch, until the server ends the watch."""
        if not self._version:
            await self._list(session)
            self._tell(found, failed)
        async for event in self._watch(session):
            if event is not None:
                self._take(event)
                self._backoff.reset()
            self._tell(found, failed)

    def _tell(self, found: Found, failed: Failed) -> None:
        try:
            endpoints = endpoints_in(self._slices.values(), self._source.port)
        except PortUnclear as error:
            failed(str(error))
        else:
            found(endpoints)

    def _asked(self, **more: str) -> dict[str, str]:
        return {"labelSelector": f"kubernetes.io/service-name={self._source.name}", **more}

    async def _list(self, session: aiohttp.ClientSession) -> None:
        """Every slice there is."""
        slices: dict[str, EndpointSlice] = {}
        asked = self._asked(limit=str(PAGE))
        while True:
            async with session.get(
                self._server.url(self._source.namespace),
                params=asked,
                headers=self._server.headers(),
                allow_redirects=False,
            ) as response:
                await _check(response)
                page = msgspec.json.decode(await response.read(), type=_SliceList)
            slices.update((each.metadata.name, each) for each in page.items or ())
            following = page.metadata.next
            if not following:
                if not page.metadata.resource_version:
                    raise Refused("a list without a resourceVersion")
                self._slices = slices
                self._version = page.metadata.resource_version
                return
            if following == asked.get("continue"):
                raise Refused("a list whose pages do not end")
            asked["continue"] = following

    async def _watch(self, session: aiohttp.ClientSession) -> AsyncIterator[_Event | None]:
        """None once the watch is open, then each change, until the server ends it."""
        asked = self._asked(
            watch="true",
            allowWatchBookmarks="true",
            timeoutSeconds=str(WATCH_S),
            resourceVersion=self._version,
        )
        async with session.get(
            self._server.url(self._source.namespace),
            params=asked,
            headers=self._server.headers(),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                total=None, connect=TIMEOUT_S, sock_read=WATCH_S + SPARE_S
            ),
        ) as response:
            await _check(response)
            yield None
            async for line in _lines(response.content):
                yield msgspec.json.decode(line, type=_Event)

    def _take(self, event: _Event) -> None:
        if event.type == "ERROR":
            status = msgspec.json.decode(event.object, type=_Status)
            if status.code == _GONE:
                raise Gone
            raise Refused(f"{status.code}: {status.message}")
        if event.type == "BOOKMARK":
            bookmark = msgspec.json.decode(event.object, type=_Bookmark)
            self._version = bookmark.metadata.resource_version
            return
        each = msgspec.json.decode(event.object, type=EndpointSlice)
        if event.type == "DELETED":
            self._slices.pop(each.metadata.name, None)
        else:
            self._slices[each.metadata.name] = each
        self._version = each.metadata.resource_version


async def _check(response: aiohttp.ClientResponse) -> None:
    if response.status == _GONE:
        raise Gone
    if response.status != 200:
        said = (await response.text())[:200]
        with contextlib.suppress(msgspec.MsgspecError):
            said = msgspec.json.decode(said, type=_Status).message or said
        raise Refused(f"the API server answers {response.status}: {said}")


async def _lines(content: Any) -> AsyncIterator[bytes]:
    """One line may hold a thousand endpoints: more than a stream reader takes for a line."""
    rest = bytearray()
    async for piece in content.iter_any():
        begun, *more = piece.split(b"\n")
        rest += begun
        for following in more:
            if rest.strip():
                yield bytes(rest)
            rest[:] = following
        if len(rest) > MAX_LINE_BYTES:
            raise Refused(f"an event is larger than {MAX_LINE_BYTES} bytes")
