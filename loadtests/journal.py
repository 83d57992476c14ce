"""Owns the clients' own journal: its records and how each is one line. Never opens a file.

The journal is what the clients saw, independent of every counter in the proxy. Append-only, one
JSON array a line. Times are microseconds of this machine's monotonic clock, which all processes
share, so that what the clients did and when a change was asked can be laid side by side.
"""

from collections.abc import Iterator, Mapping

import msgspec


class JournalError(Exception):
    """A line of a journal that is not a record."""


class Start(msgspec.Struct, frozen=True, array_like=True, tag="start"):
    """Opens a journal: who will ask, and what is in force when they begin."""

    at_us: int
    service: str
    users: int
    """Size of the population; 0 when users are not numbered."""
    series: str
    """What the population's user ids begin with (``loadtests.population``)."""
    salt: str = ""
    """The service's salt; empty when it is the service's name."""
    weights: dict[str, int] = {}
    """In force before the first request; empty when the load does not know."""


class Change(msgspec.Struct, frozen=True, array_like=True, tag="change"):
    """New weights asked of the control plane while the load ran."""

    step: int
    """Counted from 0, the weights at the start."""
    weights: dict[str, int]
    asked_us: int
    answered_us: int
    settled_us: int
    """When every connected proxy had reported the change in force."""
    revision: int = 0
    error: str = ""
    """Empty when the change was accepted and came into force."""


class Request(msgspec.Struct, frozen=True, array_like=True, tag="request"):
    """One request, as its client saw it."""

    user: str
    step: int
    """The last step whose change had been answered when the request was sent."""
    version: str
    """Which version answered; empty when none did."""
    status: int
    """0 when no response came."""
    started_us: int
    ended_us: int
    request_id: str
    error: str = ""
    """Empty when the response was the right one."""


Record = Start | Change | Request

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


def encode(record: Record) -> bytes:
    """One record as one line."""
    return _encoder.encode(record) + b"\n"


def decode(line: bytes) -> Record:
    """One line, with or without its end, as a record.

    Raises:
        JournalError: the line is no record.
    """
    try:
        return _decoder.decode(line)
    except msgspec.DecodeError as error:
        raise JournalError(f"not a journal line ({error}): {line[:120]!r}") from error


def decode_all(text: bytes) -> Iterator[Record]:
    """Every whole line; a last line without its end was cut off by a kill and is left out."""
    whole, _, _ = text.rpartition(b"\n")
    for line in whole.splitlines():
        yield decode(line)


def weights_text(weights: Mapping[str, int]) -> str:
    """Weights as people write them: ``stable=80,canary=20``."""
    return ",".join(f"{version}={weight}" for version, weight in weights.items())


def parse_weights(text: str) -> dict[str, int]:
    """``stable=80,canary=20`` as weights.

    Raises:
        ValueError: with what is wrong and how it should look.
    """
    weights: dict[str, int] = {}
    for part in text.split(","):
        version, sign, weight = part.strip().partition("=")
        if not (version and sign and weight.isascii() and weight.isdigit()):
            raise ValueError(f"weights {text!r}: write VERSION=NUMBER,VERSION=NUMBER")
        if version in weights:
            raise ValueError(f"weights {text!r}: {version} stands twice")
        weights[version] = int(weight)
    return weights


def parse_steps(text: str) -> list[dict[str, int]]:
    """``stable=99,canary=1;stable=80,canary=20`` as a list of weights.

    Raises:
        ValueError: with what is wrong and how it should look.
    """
    return [parse_weights(step) for step in text.split(";")]
