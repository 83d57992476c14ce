"""Owns what an endpoint's bytes lead to: sent without sockets, and judged by the oracle."""

from dataclasses import dataclass
from functools import lru_cache

from proxy.net.plane import Plane
from tests.attacks.requests_by_wire import mask
from tests.attacks.vector import Relay
from tests.support.oracle import Fields, Message, Reading, read_responses
from tests.support.wire import Memory, Wire

CLEAN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nclean"
"""What the next client must get, whatever happened before."""


@dataclass
class Relayed:
    """What came of one response.

    Attributes:
        first, second: what the client read whose request was answered so, and what the next one
            did.
        closed: the first one's connection was ended.
        aborted: by a reset.
        dropped: the connection to the endpoint was given up.
    """

    first: bytes = b""
    second: bytes = b""
    closed: bool = False
    aborted: bool = False
    dropped: bool = False


class WireEndpoint:
    """Answers the first request with what it is told to, every other one cleanly."""

    def __init__(self, plane: Plane) -> None:
        self._memory = Memory(plane, self._reply)
        self._asked: list[Wire] = []  # the connection that the first request came over

    def fire(
        self, method: str, pieces: list[bytes], *, closes: bool = False, resets: bool = False
    ) -> Relayed:
        """What comes of a response in ``pieces``."""
        memory, relayed = self._memory, Relayed()
        client = memory.connect()
        self._asked.clear()
        memory.send(client, [_ask(method)])
        (endpoint,) = self._asked
        for piece in pieces:
            memory.hear(endpoint, piece)
            memory.settle(client)
        if closes or resets:
            memory.leave(endpoint, reset=resets)
        memory.settle(client)
        relayed.dropped = endpoint.closed
        relayed.closed = client.closed or client.ended
        relayed.aborted = client.aborted
        other = memory.connect()
        memory.send(other, [_ask("GET")])
        relayed.second = bytes(other.out)
        for wire in (client, other):
            memory.finish(wire)
        relayed.first = bytes(client.out)
        memory.clear()
        return relayed

    def _reply(self, memory: Memory, wire: Wire) -> bool:
        if not self._asked:
            self._asked.append(wire)
            return False
        if wire.closed:
            return False
        memory.hear(wire, CLEAN)
        return True


def _ask(method: str) -> bytes:
    return b"%b / HTTP/1.1\r\nHost: a.test\r\n\r\n" % method.encode()


def judge_response(
    method: str,
    raw: bytes,
    relayed: Relayed,
    *,
    closes: bool = False,
    relay: Relay | None = None,
    reusable: bool | None = None,
) -> str | None:
    """A complaint, if a response was not passed on as the oracle reads it, or refused as it must.

    Args:
        closes: the connection was ended cleanly behind it.
        relay: what must become of it; anything that is right for the oracle's reading when None.
        reusable: whether the connection to the endpoint is fit for another request.
    """
    name = method.encode()
    if b"clean" not in relayed.second or not relayed.second.endswith(b"\r\n\r\nclean"):
        return f"the next client got {relayed.second[:200]!r}"
    wanted = _reading(raw, name, ended=closes)
    got = _reading(mask(relayed.first), name, ended=relayed.closed and not relayed.aborted)
    if got.problem is not None:
        return f"the client got what is no response: {got.problem}"
    final = [message for message in got.messages if message.status >= 200]
    whole = [message for message in wanted.messages if message.status >= 200]
    if reusable is False and not relayed.dropped:
        return "the endpoint's connection was kept"
    if reusable and relayed.dropped:
        return "the endpoint's connection was dropped"
    if not final:
        if relay in (Relay.WHOLE, Relay.REFUSED):
            return "nothing whole was answered"
        if not relayed.closed:
            # A broken head may be waited for to its end, and so may a chunk's line.
            start = wanted.messages[-1].end if wanted.messages else 0
            unfinished = b"\r\n\r\n" not in raw[start:] or b"\n" not in raw[wanted.at :]
            may_wait = wanted.incomplete or unfinished
            return None if may_wait else "the client waits for ever"
        return "a whole response was cut" if whole and relay is None else None
    if is_refusal(final[0]):
        if relay is Relay.WHOLE or (whole and relay is None and not _may_refuse(wanted.messages)):
            return "502 for a good response"
        return None if relayed.dropped else "the endpoint's connection was kept behind a 502"
    if not whole:
        return "an end was invented"
    if relay is Relay.REFUSED or relay is Relay.CUT:
        return "relayed as if it were good"
    return _difference(whole[0], final[0])


@lru_cache(maxsize=64)
def _reading(raw: bytes, method: bytes, *, ended: bool) -> Reading:
    """A response is sent cut at every offset, and read once."""
    return read_responses(raw, [method], ended=ended)


def is_refusal(message: Message) -> bool:
    """The proxy's own answer in the endpoint's place."""
    return message.status == 502 and b"application/problem+json" in message.values(b"content-type")


def _may_refuse(messages: list[Message]) -> bool:
    """Policy: floods, switching that was not asked for, more fields than anybody sends."""
    early = [message for message in messages if message.status < 200]
    return (
        len(early) > 8
        or any(message.status == 101 for message in early)
        or any(len(message.fields) > 128 for message in messages)
        or any("long" in mark for message in messages for mark in message.loose)
    )


_DROPPED = frozenset(
    b"connection keep-alive proxy-connection te transfer-encoding upgrade content-length".split()
)


def _difference(sent: Message, got: Message) -> str | None:
    if got.status != sent.status or got.start[2] != sent.start[2]:
        return f"{got.start} for {sent.start}"
    if got.body != sent.body:
        return f"body {got.body[:80]!r} for {sent.body[:80]!r}"
    nominated = {name.replace(b"_", b"-") for name in sent.members(b"connection")}
    before, after = _kept(sent.fields, nominated), _kept(got.fields, nominated)
    if before != after:
        return f"fields {after} for {before}"
    if [line for line in got.trailers if line not in sent.trailers]:
        return f"trailers {got.trailers} for {sent.trailers}"
    return None


def _kept(fields: Fields, nominated: set[bytes]) -> Fields:
    plain = [(name.lower().replace(b"_", b"-"), name, value) for name, value in fields]
    return [
        (name, value)
        for low, name, value in plain
        if low not in _DROPPED and low not in nominated and not low.startswith(b"x-splitway")
    ]
