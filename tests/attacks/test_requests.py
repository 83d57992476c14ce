"""Every attack of a client, sent in every way: nothing malformed, repaired or behind an error."""

import pytest

from tests.attacks.judge import AHEAD, judge_vector
from tests.attacks.pieces import bytewise, halves
from tests.attacks.requests_by_socket import SocketClient
from tests.attacks.requests_by_wire import WireClient
from tests.attacks.vector import RequestVector, batches
from tests.attacks.vectors_requests import VECTORS
from tests.support.oracle import read_requests
from tests.support.running import LONG_S, Running, config_for, run

NOWHERE = config_for("http://127.0.0.1:1")
GROUPS = batches(VECTORS)

each_group = pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)


def _by_socket(group: list[RequestVector], *, ahead: int, piecewise: bool) -> list[tuple[str, str]]:
    async def test() -> list[tuple[str, str]]:
        found = []
        async with SocketClient.opened() as client:
            for vector in group:
                stream = AHEAD * ahead + vector.raw
                outcome = await client.fire(
                    bytewise(stream) if piecewise else [stream],
                    answers=vector.served + ahead,
                    closes=vector.closes or (bool(vector.statuses) and not vector.waits),
                )
                complaint = judge_vector(vector, outcome, ahead=ahead)
                if complaint is not None:
                    found.append((vector.name, complaint))
        return found

    return run(test, LONG_S)


@each_group
def test_whole(group: list[RequestVector]) -> None:
    assert _by_socket(group, ahead=0, piecewise=False) == []


@pytest.mark.no_cover  # every offset again: counting lines takes most of the time
@each_group
def test_byte_by_byte(group: list[RequestVector]) -> None:
    assert _by_socket(group, ahead=0, piecewise=True) == []


@each_group
def test_behind_a_valid_request(group: list[RequestVector]) -> None:
    assert _by_socket(group, ahead=1, piecewise=False) == []


@pytest.mark.no_cover  # every offset again: counting lines takes most of the time
@each_group
def test_in_two_pieces_at_every_offset(group: list[RequestVector]) -> None:
    """And byte by byte, none of them joined by a socket; behind a valid request too."""

    async def test() -> list[tuple[str, object, str]]:
        found: list[tuple[str, object, str]] = []
        async with Running(NOWHERE) as running:
            with WireClient(running.plane) as client:
                for vector in group:
                    for at, ahead, pieces in _ways(vector.raw):
                        complaint = judge_vector(vector, client.fire(pieces), ahead=ahead)
                        if complaint is not None:
                            found.append((vector.name, at, complaint))
        return found

    assert run(test, LONG_S) == []


def _ways(raw: bytes) -> list[tuple[object, int, list[bytes]]]:
    """Where the stream is cut, how many requests are ahead of it, and its pieces."""
    return [
        ("bytes", 0, bytewise(raw)),
        ("bytes behind another", 1, bytewise(AHEAD + raw)),
        ("behind another", 1, [AHEAD, raw]),
        *((at, 0, pieces) for at, pieces in halves(raw)),
    ]


def test_the_oracle_says_the_same() -> None:
    """What a vector expects is what RFC 9112 says, or a policy that is named."""
    for vector in VECTORS:
        reading = read_requests(vector.raw)
        if vector.statuses and not vector.policy:
            assert reading.problem is not None, vector.name
            assert len(reading.messages) == vector.served, vector.name
        elif vector.statuses or vector.closes:
            assert len(reading.messages) >= vector.served, vector.name
        else:
            assert reading.problem is None, vector.name
            assert len(reading.messages) == vector.served, vector.name


def test_no_name_is_given_twice() -> None:
    names = [vector.name for vector in VECTORS]
    assert sorted(set(names)) == sorted(names)
