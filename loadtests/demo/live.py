"""Owns the picture of a run while it goes on, from the journal as it grows. Never judges."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from loadtests.analysis import quantile
from loadtests.journal import Change, Record, Request, Start, decode
from loadtests.population import shares_asked

WINDOW_US = 3_000_000


class Tail:
    """A file that others append lines to, read as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0

    def lines(self) -> list[bytes]:
        """The whole lines that came since the last call; none while the file is missing."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                whole, end, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self._at += len(whole) + len(end)
        return whole.splitlines()


@dataclass(frozen=True, slots=True)
class Picture:
    """How things are at one moment. Shares are 0–1, over the users seen in this step."""

    step: int
    weights: Mapping[str, int]
    asked: Mapping[str, float]
    seen: Mapping[str, float]
    users: int
    sent: int
    failed: int
    rate: float
    p50_ms: float
    p99_ms: float


class Live:
    """Gathers records; rate and latencies are those of the last ``WINDOW_US``."""

    def __init__(self) -> None:
        self._step = 0
        self._weights: Mapping[str, int] = {}
        self._since_us = 0
        self._began_us = 0
        self._version_of: dict[str, str] = {}
        self._recent: deque[tuple[int, int]] = deque()
        self._sent = 0
        self._failed = 0

    def take(self, line: bytes) -> None:
        """Adds one line of the journal."""
        self.add(decode(line))

    def add(self, record: Record) -> None:
        """Adds one record."""
        match record:
            case Start():
                self._weights, self._since_us = record.weights, record.at_us
                self._began_us = record.at_us
            case Change() if not record.error:
                self._step, self._weights = record.step, record.weights
                self._since_us = record.settled_us
                self._version_of.clear()
            case Request():
                self._add_request(record)

    def _add_request(self, request: Request) -> None:
        self._sent += 1
        self._failed += bool(request.error)
        self._recent.append((request.ended_us, request.ended_us - request.started_us))
        if request.version and request.started_us > self._since_us:
            self._version_of[request.user] = request.version

    def picture(self, now_us: int) -> Picture:
        """How things are now."""
        while self._recent and self._recent[0][0] < now_us - WINDOW_US:
            self._recent.popleft()
        counts = Counter(self._version_of.values())
        latencies = sorted(latency for _, latency in self._recent)
        window_us = max(1, min(WINDOW_US, now_us - self._began_us))
        return Picture(
            step=self._step,
            weights=self._weights,
            asked=shares_asked(self._weights) if self._weights else {},
            seen={version: count / counts.total() for version, count in counts.items()},
            users=counts.total(),
            sent=self._sent,
            failed=self._failed,
            rate=len(latencies) * 1e6 / window_us,
            p50_ms=quantile(latencies, 0.50) / 1e3,
            p99_ms=quantile(latencies, 0.99) / 1e3,
        )
