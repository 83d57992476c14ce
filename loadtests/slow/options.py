"""Owns the command line of the slow attacks. Starts nothing."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.slow.attacks import FLOODS, SLOW


@dataclass(frozen=True, slots=True)
class Options:
    """One run."""

    connections: int
    """Of each slow attack."""
    rate: int
    """Connections a second that it opens."""
    seconds: float
    """How long each phase takes."""
    good_rate: float
    """The good client's requests a second."""
    flood_rate: float
    """Expensive requests a second."""
    attacks: tuple[str, ...]
    workers: int
    """Of the proxy."""
    config: Path | None
    """More of the proxy's configuration: its limits."""
    aside: bool
    """Each slow attack is aimed at another server, too."""
    folder: Path | None
    """For logs; one that is removed when None."""


def parse_options(arguments: Sequence[str] | None = None) -> Options:
    """The command line, checked."""
    known = (*SLOW, *FLOODS)
    parser = argparse.ArgumentParser(prog="python -m loadtests.slow", description=__doc__)
    parser.add_argument("--connections", type=_positive, default=9_000)
    parser.add_argument("--rate", type=_positive, default=1_000, help="connections opened a second")
    parser.add_argument("--seconds", type=_seconds, default=60.0, help="of each phase")
    parser.add_argument("--good-rate", type=_positive, default=200, help="requests a second")
    parser.add_argument("--flood-rate", type=_positive, default=1_000, help="requests a second")
    parser.add_argument("--attacks", nargs="+", choices=known, default=known, metavar="ATTACK",
                        help=f"of {', '.join(known)}; default: all")  # fmt: skip
    parser.add_argument("--workers", type=_positive, default=1, help="the proxy's")
    parser.add_argument("--config", type=Path, help="YAML to add to the proxy's: its limits")
    parser.add_argument(
        "--aside",
        action="store_true",
        help="aim each slow attack at another "
        "server, too: what the tool alone takes from the good client here",
    )
    parser.add_argument("--folder", type=Path, help="where logs stay")
    given = parser.parse_args(arguments)
    return Options(
        connections=given.connections,
        rate=given.rate,
        seconds=given.seconds,
        good_rate=given.good_rate,
        flood_rate=given.flood_rate,
        attacks=tuple(given.attacks),
        workers=given.workers,
        config=given.config,
        aside=given.aside,
        folder=given.folder,
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 1 <= number <= 3_600:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to 3600")
    return number
