"""Owns the entry of ``python -m loadtests.applied``."""

import argparse
import asyncio
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from loadtests.applied.clients import RequestFailed
from loadtests.applied.run import Change, Figures, run

FAILED, INTERRUPTED = 2, 130
_SHARES = (0.5, 0.99, 1.0)
_COLUMNS: tuple[tuple[str, Callable[[Change], float]], ...] = (
    ("the API's answer", lambda change: change.answer_ms),
    ("from it to the first request by the new weights", lambda change: change.first_ms),
    ("from it until every probe had them", lambda change: change.every_ms),
    ("from it until the proxy has confirmed", lambda change: change.confirmed_ms),
)


def lines_of(figures: Figures) -> Iterator[str]:
    """The figures as a table in Markdown."""
    yield (
        f"{len(figures.changes)} changes, {figures.workers} worker(s),"
        f" {figures.requests / figures.load_s:.0f} requests/s"
    )
    yield ""
    yield "| ms | 50 % | 99 % | most |"
    yield "|---|---:|---:|---:|"
    for what, part in _COLUMNS:
        ordered = sorted(map(part, figures.changes))
        told = (ordered[math.ceil(share * len(ordered)) - 1] for share in _SHARES)
        yield f"| {what} | " + " | ".join(f"{each:.1f}" for each in told) + " |"


def main(arguments: Sequence[str] | None = None) -> int:
    """One run; 0 when it came to its end and no request failed."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.applied",
        description="How soon new weights are in force in one real proxy, under load.",
    )
    parser.add_argument("--workers", type=int, default=1, help="of the proxy")
    parser.add_argument("--changes", type=int, default=200, help="of weights")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second meanwhile")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every figure")
    options = parser.parse_args(arguments)
    if min(options.workers, options.changes, options.rate) < 1:
        parser.error("--workers, --changes and --rate are 1 or more")
    try:
        figures = asyncio.run(run(options.workers, options.changes, options.rate))
    except BaseExceptionGroup as errors:
        if errors.split((RequestFailed, TimeoutError))[1] is not None:
            raise
        print(f"applied: {errors.exceptions[0]!r}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    print("\n".join(lines_of(figures)))
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
