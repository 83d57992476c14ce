"""Owns the differential: the proxy's own connections against the oracle, for any bytes whatever.

What the grammar says must come is derived from the oracle's reading and from ``policy``; every
other outcome is a disagreement.
"""

from proxy.net.plane import Plane
from tests.attacks.judge import judge
from tests.attacks.policy import NONE, is_upgrade, refusals
from tests.attacks.requests_by_wire import WireClient
from tests.attacks.responses_by_wire import WireEndpoint, judge_response
from tests.support.oracle import Reading, read_requests

MOST_HEAD_BYTES = 60_000
"""Beyond that limits decide, which have vectors of their own."""


def disagree_on_requests(plane: Plane, pieces: list[bytes]) -> str | None:
    """How the proxy and the oracle differ over a client's stream; None if they do not."""
    stream = b"".join(pieces)
    wanted = read_requests(stream)
    with WireClient(plane) as client:
        outcome = client.fire(pieces)
    verdict = judge(wanted, outcome)
    if verdict.complaint is not None:
        return verdict.complaint
    left = wanted.messages[verdict.served :]
    last = outcome.requests[-1] if outcome.requests else None
    if last is not None and (not wanted.messages[verdict.served - 1].persists):
        return None if outcome.closed and not verdict.status else "not closed where it must be"
    if last is not None and is_upgrade(wanted.messages[verdict.served - 1]) and outcome.closed:
        return None
    if left:
        if verdict.status in refusals(left[0]):
            return None
        return f"a valid request was not served: {verdict.status}"
    return _judge_rest(stream, wanted, verdict.status, outcome.requests != [])


def _judge_rest(stream: bytes, wanted: Reading, status: int, some: bool) -> str | None:
    """What stands behind the last whole request."""
    start = wanted.messages[-1].end if some else 0
    rest = stream[start:]
    if wanted.problem is not None:
        # The end of a head may be waited for, or that of a chunk's line, before it is judged.
        unfinished = b"\n" not in stream[wanted.at :]
        if (
            not status
            and not unfinished
            and b"\r\n\r\n" in rest.lstrip(b"\r\n")
            and len(rest) < MOST_HEAD_BYTES
        ):
            return f"not refused: {wanted.problem}"
    elif status and not _may_be_early(rest):
        return f"{status} for what is only unfinished"
    return None


def _may_be_early(rest: bytes) -> bool:
    """An unfinished request whose head is whole may be one that policy refuses."""
    head, end, _ = rest.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not end:
        return False
    lines = [line for line in head.split(b"\r\n") if not _frames(line)]
    reading = read_requests(b"\r\n".join(lines) + end)
    return bool(reading.messages) and (
        refusals(reading.messages[0]) != NONE or len(lines) != head.count(b"\r\n") + 1
    )


def _frames(line: bytes) -> bool:
    return line.lower().startswith((b"content-length:", b"transfer-encoding:"))


def disagree_on_response(
    plane: Plane, method: str, pieces: list[bytes], *, ends: bool
) -> str | None:
    """How the proxy and the oracle differ over an endpoint's stream; None if they do not."""
    endpoint = WireEndpoint(plane)
    return judge_response(method, b"".join(pieces), endpoint.fire(method, pieces, closes=ends),
                          closes=ends)  # fmt: skip
