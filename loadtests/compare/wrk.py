"""Owns calling wrk and reading what it prints. Never decides what is sent (``scenarios``)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_UNIT_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4, "h": 3.6e6}
_TIME = re.compile(r"([\d.]+)(us|ms|s|m|h)")
_COUNT = re.compile(r"^\s*(\d+) requests in ", re.MULTILINE)
_RATE = re.compile(r"^Requests/sec:\s+([\d.]+)", re.MULTILINE)
_QUANTILE = re.compile(r"^\s+(50|99)%\s+(\S+)\s*$", re.MULTILINE)
_STATUS = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_SOCKET = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")


class UnreadableOutput(ValueError):
    """wrk printed something else than its summary; the message holds it."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What wrk says of one run."""

    requests: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    failed: int
    """Answers that were not 2xx or 3xx, and errors of sockets."""


def command(script: Path, connections: int, seconds: int, port: int) -> list[str]:
    """The call: one thread, since it has one CPU."""
    return [
        "wrk", "--threads=1", f"--connections={connections}", f"--duration={seconds}s",
        "--latency", f"--script={script}", f"http://127.0.0.1:{port}/",
    ]  # fmt: skip


def parse(text: str) -> Summary:
    """What wrk printed, as numbers.

    Raises:
        UnreadableOutput: a figure is missing.
    """
    count, rate = _COUNT.search(text), _RATE.search(text)
    quantiles = dict(_QUANTILE.findall(text))
    if count is None or rate is None or quantiles.keys() != {"50", "99"}:
        raise UnreadableOutput(f"wrk printed no summary:\n{text}")
    status, sockets = _STATUS.search(text), _SOCKET.search(text)
    return Summary(
        requests=int(count[1]),
        requests_per_s=float(rate[1]),
        p50_ms=_ms(quantiles["50"]),
        p99_ms=_ms(quantiles["99"]),
        failed=_sum(status.groups() if status else ()) + _sum(sockets.groups() if sockets else ()),
    )


def _sum(numbers: Sequence[str]) -> int:
    return sum(map(int, numbers))


def _ms(text: str) -> float:
    match = _TIME.fullmatch(text)
    if match is None:
        raise UnreadableOutput(f"wrk printed a time that is none: {text}")
    return float(match[1]) * _UNIT_MS[match[2]]
