"""Owns the arguments of the comparison. Never runs anything."""

import argparse
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.compare.peers import PEERS
from loadtests.compare.scenarios import SCENARIOS

RATE, IDLE, WEIGHTS = "rate", "idle", "weights"
ALSO = (RATE, IDLE, WEIGHTS)
FULL_ROUNDS = 3
FULL_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Options:
    """What is compared, for how long, and where it is written.

    Attributes:
        also: measures beside the scenarios.
        rate: requests a second of the latency measure.
        connections: of the idle measure.
        binaries: folders to look for proxies in, before the usual ones.
        docs: where the page and the plot are written; None: in ``docs``, after a full run.
    """

    peers: tuple[str, ...]
    scenarios: tuple[str, ...]
    also: tuple[str, ...]
    rounds: int
    seconds: int
    rate: float
    connections: int
    binaries: tuple[Path, ...]
    python_backend: bool
    json: Path | None
    docs: Path | None

    @property
    def full(self) -> bool:
        """Everything was asked for, and long enough to be published."""
        return (
            set(self.peers) == set(PEERS)
            and set(self.scenarios) == set(SCENARIOS)
            and set(self.also) == set(ALSO)
            and self.rounds >= FULL_ROUNDS
            and self.seconds >= FULL_SECONDS
            and not self.python_backend
        )


def parse_options(arguments: Sequence[str] | None = None) -> Options:
    """The command line, checked."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.compare",
        description="Compares Splitway with other proxies on the same work, on this machine.",
    )
    add = parser.add_argument
    add("--peers", type=_some_of(PEERS), default=tuple(PEERS), help=_listed(PEERS))
    add("--scenarios", type=_some_of(SCENARIOS), default=tuple(SCENARIOS), help=_listed(SCENARIOS))
    add("--also", type=_some_of(ALSO), default=ALSO, help=_listed(ALSO) + '; "" for none')
    add("--rounds", type=_positive, default=3, help="each proxy in turn, so many times (3)")
    add("--seconds", type=_positive, default=5, help="of each measured load (5)")
    add("--rate", type=_positive, default=1000, help="requests/s of the latency measure (1000)")
    add("--connections", type=_positive, default=10_000, help="of the idle measure (10000)")
    add("--bin", type=Path, action="append", default=[], help="look for proxies here first")
    add("--python-backend", action="store_true", help="a slow one, where there is no nginx")
    add("--json", type=Path, help="write every figure of every round to this file")
    add("--docs", type=Path, help="write page and plot to this folder, however short the run")
    given = parser.parse_args(arguments)
    return Options(
        peers=given.peers, scenarios=given.scenarios, also=given.also,
        rounds=given.rounds, seconds=given.seconds, rate=float(given.rate),
        connections=given.connections, binaries=tuple(given.bin),
        python_backend=given.python_backend, json=given.json, docs=given.docs,
    )  # fmt: skip


def _some_of(known: Collection[str]) -> Callable[[str], tuple[str, ...]]:
    def names(text: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
        if unknown := [name for name in found if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown: {unknown[0]} (of {', '.join(known)})")
        return found

    return names


def _listed(known: Collection[str]) -> str:
    return "some of " + ",".join(known)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)
