"""Owns what frames of the control stream mean and how a refusal is worded. No I/O.

Sources: ``proxy.model.wire``; close codes of RFC 6455 §7.4.1.
"""

import logging
from typing import Literal

import msgspec
from aiohttp import WSCloseCode, WSMessage, WSMsgType

from proxy.model.errors import Problem
from proxy.model.wire import Nack

LOG = logging.getLogger("splitway.sync.stream")

MAX_PROBLEMS = 100
MAX_PROBLEM_CHARS = 500
"""A ``Nack`` of at most about 100 KB, whatever was wrong with a snapshot."""


class StreamError(Exception):
    """Ends a session; says why. ``code`` is what the peer is told, if it still listens."""

    def __init__(self, why: str, *, code: int = WSCloseCode.OK, level: int = logging.WARNING):
        super().__init__(why)
        self.code = code
        self.level = level


class _Envelope(msgspec.Struct, frozen=True):
    """As much of a snapshot as is needed to refuse it by its number."""

    type: Literal["snapshot"]
    revision: int


def nack(revision: int, problems: tuple[Problem, ...]) -> Nack:
    """A refusal of bounded size."""
    told = [
        Problem(
            field=problem.field[:MAX_PROBLEM_CHARS],
            message=problem.message[:MAX_PROBLEM_CHARS],
            file=problem.file[:MAX_PROBLEM_CHARS],
            line=problem.line,
        )
        for problem in problems[:MAX_PROBLEMS]
    ]
    if len(problems) > MAX_PROBLEMS:
        told.append(Problem(field="", message=f"and {len(problems) - MAX_PROBLEMS} more"))
    return Nack(revision=revision, problems=tuple(told))


def refuse(text: str, error: Exception) -> Nack:
    """What to answer to a text that ``error`` kept from being a message.

    Where only the traffic is wrong it is refused by its number, and the stream goes on: a control
    plane of a newer release may know fields that we do not.

    Raises:
        StreamError: it is no snapshot at all.
    """
    try:
        envelope = msgspec.json.decode(text, type=_Envelope)
    except (msgspec.DecodeError, RecursionError):
        why = f"sent what is no message of the stream: {str(error)[:MAX_PROBLEM_CHARS]!r}"
        raise StreamError(why, code=WSCloseCode.INVALID_TEXT) from None
    LOG.warning("revision %d is not understood: %r", envelope.revision, str(error))
    what, _, where = str(error).partition(" - at `$")
    field = where.removesuffix("`").removeprefix(".")
    return nack(envelope.revision, (Problem(field=field, message=what),))


def ending(frame: WSMessage, code: int | None) -> StreamError:
    """Why a session is over after a frame that is not text."""
    if frame.type is WSMsgType.ERROR:
        return StreamError(f"the stream broke: {frame.data}")
    if frame.type is WSMsgType.BINARY:
        return StreamError("sent a binary message", code=WSCloseCode.UNSUPPORTED_DATA)
    reason = f": {frame.extra!r}" if frame.type is WSMsgType.CLOSE and frame.extra else ""
    return StreamError(f"closed the stream ({code or 'no close code'}{reason})")
