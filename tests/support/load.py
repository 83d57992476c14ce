"""Owns the load of design/reliability.md ("nothing lost"), and how its two journals reconcile.

Load L: an open loop of requests on 64 connections, one in ten a POST of 64 KiB. In CI it is short
and small; by hand ``LOAD_RATE=1000 LOAD_SECONDS=120`` makes it the real one.
"""

import asyncio
import contextlib
import hashlib
import os
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from proxy.http1.response import parse_response
from tests.support.raw_client import RawClient

RATE = float(os.environ.get("LOAD_RATE", "150"))
"""Requests a second."""
SECONDS = float(os.environ.get("LOAD_SECONDS", "3"))
CONNECTIONS = 64
POST_EACH = 10
BODY = bytes(range(256)) * 256
DIGEST = hashlib.sha256(BODY).hexdigest().encode()
EMPTY = hashlib.sha256(b"").hexdigest().encode()
PATIENCE_S = 30.0


@dataclass(slots=True)
class Sent:
    """One request, as its client saw it.

    Attributes:
        status: 0 when the connection ended first.
        whole: the answer came to its end.
        backend: who answered; empty where the proxy did.
    """

    ident: str
    method: str
    status: int = 0
    whole: bool = False
    intact: bool = False
    """What the back end had of the body is what was sent."""
    backend: str = ""
    took_s: float = 0.0


class Load:
    """Clients of one listener.

    Args:
        where: its host and port.
        path: what they ask for.
        prefix: of the ids, to tell two loads apart.

    Attributes:
        sent: every request, in order.
    """

    def __init__(self, where: tuple[str, int], path: str = "/", prefix: str = "load") -> None:
        self._where = where
        self._path = path.encode()
        self.prefix = prefix
        self._free: deque[RawClient] = deque()
        self._room = asyncio.Semaphore(CONNECTIONS)
        self.sent: list[Sent] = []

    async def run(
        self,
        seconds: float = SECONDS,
        rate: float = RATE,
        meanwhile: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Ask for so long, and wait for what is on its way.

        Args:
            meanwhile: what happens to the back ends in the middle of it.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        asking: set[asyncio.Task[None]] = set()
        happening = asyncio.ensure_future(meanwhile()) if meanwhile is not None else None
        number = 0
        while loop.time() - begun < seconds or (happening is not None and not happening.done()):
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - loop.time()))
            method = "POST" if number % POST_EACH == 0 else "GET"
            sent = Sent(f"{self.prefix}-{number}", method)
            self.sent.append(sent)
            task = asyncio.create_task(self._ask(sent))
            asking.add(task)
            task.add_done_callback(asking.discard)
            number += 1
        if happening is not None:
            await happening
        await asyncio.gather(*asking)
        for client in self._free:
            await client.__aexit__(None, None, None)

    async def _ask(self, sent: Sent) -> None:
        async with self._room:
            loop = asyncio.get_running_loop()
            begun = loop.time()
            client = self._free.popleft() if self._free else None
            if client is None:
                client = await RawClient(self._where).__aenter__()
            keep = False
            try:
                async with asyncio.timeout(PATIENCE_S):
                    keep = await self._exchange(client, sent)
            except (EOFError, ConnectionError, TimeoutError):
                pass
            sent.took_s = loop.time() - begun
            if keep:
                self._free.append(client)
            else:
                with contextlib.suppress(ConnectionError):
                    await client.__aexit__(None, None, None)

    async def _exchange(self, client: RawClient, sent: Sent) -> bool:
        """Returns whether the connection may be used again."""
        body = BODY if sent.method == "POST" else b""
        length = b"Content-Length: %d\r\n" % len(body) if body else b""
        await client.send(
            b"%b %b HTTP/1.1\r\nHost: shop\r\nX-Request-Id: %b\r\n%b\r\n%b"
            % (sent.method.encode(), self._path, sent.ident.encode(), length, body)
        )
        head = parse_response(await client.head(), sent.method)
        sent.status = head.status
        sent.backend = (head.header(b"x-backend") or b"").decode()
        await client.exactly(head.length)
        sent.whole = True
        digest = DIGEST if sent.method == "POST" else EMPTY
        sent.intact = not sent.backend or head.header(b"x-body") == digest
        return (head.header(b"connection") or b"").lower() != b"close"

    def statuses(self, method: str = "") -> Counter[int]:
        """How many of each, of one method or of all; 0: cut before an answer."""
        return Counter(each.status for each in self.sent if method in ("", each.method))


def begun_in(journals: Iterable[Path]) -> Counter[tuple[str, str]]:
    """How often each (id, method) reached a back end."""
    found: Counter[tuple[str, str]] = Counter()
    for journal in journals:
        for line in journal.read_text().splitlines():
            kind, ident, rest = line.split(" ")
            if kind == "begin":
                found[ident, rest] += 1
    return found


def reconcile(load: Load, journals: Iterable[Path], *, may_lose: frozenset[int]) -> None:
    """What clients and back ends wrote down agrees.

    Every request was answered whole, with 200 or a status that is documented for the fault; bodies
    came intact; what was answered by a back end is in a journal; no POST is in two places.

    Args:
        may_lose: statuses that the fault may lead to.
    """
    journals = [journal for journal in journals if journal.exists()]
    begun = begun_in(journals)
    for each in load.sent:
        assert each.status == 200 or each.status in may_lose, each
        if each.status == 200:
            assert each.whole, each
            assert each.intact, each
            assert begun[each.ident, each.method] >= 1, each
        if each.method == "POST":
            assert begun[each.ident, each.method] <= 1, each
    ours = {(each.ident, each.method) for each in load.sent}
    theirs = {key for key in begun if key[0].startswith(f"{load.prefix}-")}
    assert not theirs - ours, "a back end got a request that nobody sent"
