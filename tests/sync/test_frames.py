"""Refusals are bounded and name the field; what is no message ends the session."""

import msgspec
import pytest
from aiohttp import WSMessage, WSMsgType

from proxy.model.errors import Problem
from proxy.model.wire import Nack, Snapshot
from proxy.sync.frames import (
    MAX_PROBLEM_CHARS,
    MAX_PROBLEMS,
    StreamError,
    ending,
    nack,
    refuse,
)


def refusal_of(text: str) -> Nack:
    with pytest.raises((msgspec.DecodeError, RecursionError)) as caught:
        msgspec.json.decode(text, type=Snapshot)
    return refuse(text, caught.value)


@pytest.mark.parametrize(
    ("traffic", "field", "message"),
    [
        ('{"new": 1}', "traffic", "Object contains unknown field `new`"),
        (
            '{"services": {"shop": {"versions": {"v": {"endpoints": []}}}}}',
            "traffic.services[...].versions[...].endpoints",
            "Expected `array` of length >= 1",
        ),
    ],
)
def test_a_snapshot_that_is_not_understood_is_refused_by_number(
    traffic: str, field: str, message: str
) -> None:
    refusal = refusal_of('{"type": "snapshot", "revision": 9, "traffic": ' + traffic + "}")
    assert refusal == Nack(revision=9, problems=(Problem(field=field, message=message),))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        '{"type": "snapshot", "revision": 9, "traff',
        '{"type": "other", "revision": 9}',
        '{"type": "snapshot", "revision": "nine"}',
        '{"type": "snapshot"}',
        "[" * 100_000,
    ],
)
def test_what_is_no_snapshot_ends_the_session(text: str) -> None:
    with pytest.raises(StreamError, match="what is no message of the stream") as caught:
        refusal_of(text)
    assert caught.value.code == 1007
    assert len(str(caught.value)) < 2 * MAX_PROBLEM_CHARS


def test_a_refusal_is_bounded() -> None:
    problem = Problem(field="f" * 9999, message="m" * 9999, file="a" * 9999, line=3)
    refusal = nack(1, (problem,) * 1000)
    assert len(refusal.problems) == MAX_PROBLEMS + 1
    assert refusal.problems[-1].message == "and 900 more"
    assert refusal.problems[0].line == 3
    assert len(msgspec.json.encode(refusal)) < 256 * 1024


def test_a_few_problems_are_told_as_they_are() -> None:
    problems = (Problem(field="a", message="b"), Problem(field="c", message="d"))
    assert nack(4, problems) == Nack(revision=4, problems=problems)


@pytest.mark.parametrize(
    ("frame", "code", "words"),
    [
        (WSMessage(WSMsgType.ERROR, TimeoutError("No PONG"), None), None, "broke: No PONG"),
        (WSMessage(WSMsgType.BINARY, b"x", None), None, "binary message"),
        (WSMessage(WSMsgType.CLOSE, 1001, "bye\n"), 1001, r"closed the stream (1001: 'bye\n')"),
        (WSMessage(WSMsgType.CLOSED, None, None), None, "closed the stream (no close code)"),
    ],
)
def test_every_end_is_put_into_words(frame: WSMessage, code: int | None, words: str) -> None:
    assert words in str(ending(frame, code))
