"""Owns what tests of tunnels share: asking for one, endpoints that agree, and seeing an end."""

import hashlib

from proxy.model.wire import VersionCounts
from tests.support.raw_backend import Script, Visit
from tests.support.raw_client import RawClient, get
from tests.support.raw_reader import RawReader
from tests.support.running import Running, eventually


def switched(to: str) -> bytes:
    """An endpoint's agreement."""
    head = f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {to}\r\n\r\n"
    return head.encode()


SWITCHED = switched("echo")


def upgrade(path: str = "/", *lines: str, to: str = "echo", method: str = "GET") -> bytes:
    """A request that asks to switch."""
    return get(path, "Connection: Upgrade", f"Upgrade: {to}", *lines, method=method)


def switching(then: Script, answer: bytes = SWITCHED) -> Script:
    """An endpoint that agrees to switch, and goes on with ``then``."""

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(answer)
        await then(visit)

    return script


async def some(side: RawReader) -> bytes:
    """The next bytes of either side, those kept behind a head first."""
    data, side._kept = side._kept, b""
    return data or await side.more()


async def digest(side: RawReader, size: int) -> bytes:
    """Reads ``size`` bytes, none of which is kept; their SHA-256."""
    sum_ = hashlib.sha256()
    while size > 0:
        data = await some(side)
        sum_.update(data)
        size -= len(data)
    assert size == 0, f"{-size} bytes too many"
    return sum_.digest()


async def echoing(visit: Visit) -> None:
    """Sends back whatever comes, and its end."""
    try:
        while True:
            await visit.send(await some(visit))
    except EOFError:
        visit.finish()


async def enter(client: RawClient, request: bytes | None = None) -> bytes:
    """Ask for a tunnel and get it; the head of the answer."""
    await client.send(upgrade() if request is None else request)
    head = await client.head()
    assert head.startswith(b"HTTP/1.1 101 "), head
    return head


async def all_over(running: Running, tunnels: int = 1) -> VersionCounts:
    """Waits until so many tunnels were opened, each counted as one 101, and none is open."""

    def are() -> bool:
        counts = running.counts()
        requests = {key: n for key, n in counts.requests.items() if key.endswith(" 101")}
        return (sum(requests.values()), counts.tunnels, counts.in_flight) == (tunnels, 0, 0)

    await eventually(are)
    return running.counts()


async def echoes(client: RawClient, data: bytes) -> bool:
    """``data`` comes back."""
    await client.send(data)
    return await client.exactly(len(data)) == data


async def ended(side: RawReader) -> str:
    """Read until the other side's end: ``closed`` or ``reset``."""
    try:
        while True:
            await side.more()
    except EOFError:
        return "closed"
    except ConnectionError:
        return "reset"


def values(head: bytes, name: str) -> list[str]:
    """Every value of a field in a raw head, in order."""
    lines = [line.partition(b":") for line in head.split(b"\r\n")[1:]]
    return [
        value.strip().decode()
        for known, _, value in lines
        if known.decode().lower() == name.lower()
    ]
