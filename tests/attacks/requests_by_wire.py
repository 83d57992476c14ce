"""Owns sending a client's bytes without sockets, to an endpoint that answers what it can read."""

import re
from functools import lru_cache
from typing import Self

from proxy.net.plane import Plane
from tests.attacks.judge import Outcome, answer_to
from tests.support.oracle import Reading, read_requests
from tests.support.wire import Memory, Wire

_IDENT = re.compile(
    rb"(?:(?<=\r\nX-Request-Id: )|(?<=,\"request_id\":\"))[0-9a-f]{16}-[0-9a-f]+(?=\r|\")"
)
"""The ids that the proxy makes, where they stand; without them the same stream leads to the same
bytes each time."""


def mask(data: bytes) -> bytes:
    """A stream without them, as long as before."""
    return _IDENT.sub(lambda match: b"0" * len(match[0]), data)


@lru_cache(maxsize=4_096)
def _read(data: bytes) -> Reading:
    return read_requests(data)


class WireClient:
    """Sends streams through one plane, each over a connection of its own."""

    def __init__(self, plane: Plane) -> None:
        self._memory = Memory(plane, self._reply)
        self._outcome = Outcome()
        self._read: dict[Wire, int] = {}

    def fire(self, pieces: list[bytes]) -> Outcome:
        """What comes of a stream."""
        outcome = self._outcome = Outcome()
        wire = self._memory.connect()
        self._memory.send(wire, pieces)
        outcome.closed = wire.ended or wire.closed
        self._memory.finish(wire)
        outcome.answers = mask(bytes(wire.out))
        outcome.arrived = mask(b"".join(endpoint.out for endpoint in self._memory.endpoints))
        self._memory.clear()
        self._read.clear()
        return outcome

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.clear()

    def _reply(self, memory: Memory, wire: Wire) -> bool:
        if wire.closed:
            return False  # the proxy gave the request up: nobody hears an answer
        start = self._read.get(wire, 0)
        reading = _read(mask(bytes(wire.out[start:])))
        if reading.problem is not None:
            self._outcome.problems.append(reading.problem)
        for message in reading.messages:
            self._outcome.requests.append(message)
            memory.hear(wire, answer_to(message))
        if reading.messages:
            self._read[wire] = start + reading.messages[-1].end
        return bool(reading.messages)
