"""Owns the command line of a fleet run. Starts nothing."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """One run."""

    proxies: int
    processes: int
    """That the proxies are shared out to."""
    services: int
    changes: int
    """Of weights, one after the other."""
    pause_s: float
    """Before each change."""
    idle_s: float
    """How long CPU is measured while nothing happens."""
    report_every_s: float
    """How often each proxy reports; 0 for never."""
    users: int
    """That each proxy has seen for each version in a report."""
    restart: bool
    patience_s: float
    """How long anything may take before the run is given up."""
    json: Path | None


def parse_options(arguments: Sequence[str] | None = None) -> Options:
    """The command line, checked."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.fleet",
        description="Thousands of proxies without a data plane on one control plane.",
    )
    parser.add_argument("--proxies", type=_positive, default=5_000)
    parser.add_argument("--processes", type=_positive, default=1, help="of simulated proxies")
    parser.add_argument("--services", type=_positive, default=1, help="in the configuration")
    parser.add_argument("--changes", type=_positive, default=10, help="of weights")
    parser.add_argument("--pause", type=float, default=0.5, help="seconds before each change")
    parser.add_argument("--idle", type=float, default=10.0, help="seconds of nothing, for its CPU")
    parser.add_argument(
        "--report-every",
        type=float,
        default=10.0,
        help="seconds between the reports of each proxy, of all services; 0 for none",
    )
    parser.add_argument("--users", type=int, default=100, help="a version and report, by sample")
    parser.add_argument("--no-restart", action="store_true", help="leave the restart out")
    parser.add_argument("--patience", type=float, default=120.0, help="seconds for each step")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every figure")
    given = parser.parse_args(arguments)
    return Options(
        proxies=given.proxies,
        processes=given.processes,
        services=given.services,
        changes=given.changes,
        pause_s=given.pause,
        idle_s=given.idle,
        report_every_s=given.report_every,
        users=given.users,
        restart=not given.no_restart,
        patience_s=given.patience,
        json=given.json,
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number
