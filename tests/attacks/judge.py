"""Owns the verdict over what a client's bytes led to. Never sends anything.

The oracle's reading of what was sent is held against what the endpoint got and what the client was
answered: nothing malformed, nothing repaired, nothing changed, nothing served behind a refusal.
"""

from dataclasses import dataclass, field
from functools import lru_cache

from tests.attacks.vector import RequestVector
from tests.support.oracle import Fields, Message, Reading, read_requests, read_responses

ANSWER = b"from-the-endpoint"
"""The body of what the endpoint of these tests answers."""

AHEAD = b"GET /ahead HTTP/1.1\r\nHost: a.test\r\n\r\n"
"""A valid request."""

_DROPPED = frozenset(
    b"connection keep-alive proxy-connection te transfer-encoding upgrade host content-length "
    b"x-request-id x-real-ip forwarded http2-settings".split()
)
"""Ended, rewritten or set by every proxy; everything else must arrive as it was sent."""
_DROPPED_PREFIXES = (b"x-forwarded", b"x-splitway")


@dataclass
class Outcome:
    """What came of one client connection.

    Attributes:
        answers: what the client read.
        requests: whole requests as the endpoint read them, in order.
        problems: what is malformed about what the endpoint got.
        arrived: every byte it got.
        closed: the proxy ended the connection before the client did.
        left: the client ended it first, so nothing is known of what the proxy would have done.
    """

    answers: bytes = b""
    requests: list[Message] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    arrived: bytes = b""
    closed: bool = False
    left: bool = False


@dataclass
class Verdict:
    """What is wrong, if anything, and what was seen.

    Attributes:
        complaint: None if all is well.
        status: what was refused with; 0 if nothing was.
    """

    complaint: str | None
    served: int = 0
    status: int = 0


def answer_to(message: Message) -> bytes:
    """A whole response."""
    size = b"Content-Length: %d\r\n\r\n" % len(ANSWER)
    return b"HTTP/1.1 200 OK\r\n" + size + (b"" if message.method == b"HEAD" else ANSWER)


def judge(wanted: Reading, outcome: Outcome) -> Verdict:
    """What holds for any bytes whatever."""
    served = len(outcome.requests)
    if outcome.problems:
        return Verdict(f"malformed forwarded: {outcome.problems}", served)
    if served > len(wanted.messages):
        return Verdict(f"repaired: {served} of {len(wanted.messages)} served", served)
    for number, (sent, got) in enumerate(zip(wanted.messages, outcome.requests, strict=False)):
        changed = difference(sent, got)
        if changed is not None:
            return Verdict(f"request {number} was changed: {changed}", served)
    return _judge_answers(wanted, outcome, served)


def _judge_answers(wanted: Reading, outcome: Outcome, served: int) -> Verdict:
    methods = [message.method for message in outcome.requests]
    # The last answer may be a refusal, which has no body either when it refuses a HEAD.
    refused = [message.method for message in wanted.messages[len(methods) :][:1]] or [b"GET"]
    answers = _answers(outcome.answers, (*methods, *refused))
    final = [message for message in answers.messages if message.status >= 200]
    if answers.problem or (answers.incomplete and len(final) != served):
        return Verdict(f"the client was answered {answers.problem or 'half'}", served)
    own = [message for message in final[:served] if message.status != 200]
    if own:
        return Verdict(f"{own[0].status} in the endpoint's place", served)
    if len(final) == served:
        return Verdict(None, served)
    if len(final) < served:
        return Verdict(f"{served} served, {len(final)} answered", served)
    refusal = final[served]
    if not 400 <= refusal.status <= 599 or ANSWER in refusal.body:
        return Verdict(f"{refusal.status} for what was not served", served)
    if b"close" not in refusal.members(b"connection") or not (outcome.closed or outcome.left):
        return Verdict("the connection was not closed behind a refusal", served, refusal.status)
    return Verdict(None, served, refusal.status)


def judge_vector(vector: RequestVector, outcome: Outcome, *, ahead: int = 0) -> str | None:
    """A complaint, if what came of a vector is not what it says.

    Args:
        ahead: so many of ``AHEAD`` were sent in front of it.
    """
    verdict = judge(_reading(AHEAD * ahead + vector.raw), outcome)
    if verdict.complaint is not None:
        return verdict.complaint
    wanted = vector.served + ahead
    if verdict.served != wanted:
        return f"{verdict.served} served instead of {wanted}, then {verdict.status}"
    if verdict.status == 0:
        if vector.statuses and not vector.waits:
            return "not refused"
    elif verdict.status not in vector.statuses:
        return f"refused with {verdict.status}"
    if vector.closes and not outcome.closed:
        return "the connection was left open"
    for mark in vector.never:
        if mark in outcome.arrived:
            return f"{mark!r} arrived"
    return None


@lru_cache(maxsize=16)
def _reading(stream: bytes) -> Reading:
    """A stream is sent cut at every offset, and read once."""
    return read_requests(stream)


@lru_cache(maxsize=256)
def _answers(stream: bytes, methods: tuple[bytes, ...]) -> Reading:
    return read_responses(stream, list(methods), ended=True)


def difference(sent: Message, got: Message) -> str | None:
    """What of a request is not what the client sent; None if it is the same in meaning."""
    target, authority = _origin_form(sent)
    if got.method != sent.method or got.target != target:
        return f"{got.method!r} {got.target!r} for {sent.method!r} {target!r}"
    hosts = [authority] if authority is not None else sent.values(b"host")
    if hosts and got.values(b"host") != hosts:
        return f"Host {got.values(b'host')} for {hosts}"
    if got.body != sent.body:
        return f"body {got.body[:80]!r} for {sent.body[:80]!r}"
    nominated = {_plain(name) for name in sent.members(b"connection")}
    before, after = _kept(sent.fields, nominated), _kept(got.fields, nominated)
    if before != after:
        return f"fields {after} for {before}"
    # A proxy may drop trailers; it may not invent any.
    if [line for line in got.trailers if line not in sent.trailers]:
        return f"trailers {got.trailers} for {sent.trailers}"
    return None


def _plain(name: bytes) -> bytes:
    return name.lower().replace(b"_", b"-")


def _kept(fields: Fields, nominated: set[bytes]) -> Fields:
    return [
        (name, value)
        for name, value in fields
        if _plain(name) not in nominated
        and _plain(name) not in _DROPPED
        and not _plain(name).startswith(_DROPPED_PREFIXES)
    ]


def _origin_form(sent: Message) -> tuple[bytes, bytes | None]:
    """The target as the endpoint must get it, and the authority it named (RFC 9112 §3.2.2)."""
    target = sent.target
    if target[:1] == b"/" or b"://" not in target:
        return target, None
    rest = target.partition(b"://")[2]
    end = min((rest.index(mark) for mark in (b"/", b"?") if mark in rest), default=len(rest))
    path = rest[end:]
    if not path:
        path = b"*" if sent.method == b"OPTIONS" else b"/"
    elif path[:1] == b"?":
        path = b"/" + path
    return path, rest[:end]
