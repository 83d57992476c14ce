"""Fires the vectors of a file at a proxy of its own, in every way, and prints the tally.

    python -m tests.attacks.run FILE [--waivers FILE] [--show N]

FILE has a line of JSON for each vector: ``name``, and ``raw`` in base64. A waiver is a line
``NAME reason``: a valid vector that is refused on purpose. Exit status 1 when anything malformed
was forwarded, anything was repaired or changed, or a valid vector was neither served nor waived.
"""

import argparse
import base64
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import uvloop

from tests.attacks.judge import AHEAD, Outcome, judge
from tests.attacks.pieces import bytewise, halves
from tests.attacks.requests_by_socket import SocketClient
from tests.attacks.requests_by_wire import WireClient
from tests.support.oracle import read_requests
from tests.support.running import Running, config_for

Vectors = dict[str, bytes]
_FAILED = ("FAILED", "NOT SERVED")


def classify(stream: bytes, outcome: Outcome, *, waived: bool) -> str:
    """The verdict over one vector, in capitals when it is a failure."""
    wanted = read_requests(stream)
    verdict = judge(wanted, outcome)
    kind = "reject" if wanted.problem else "incomplete" if wanted.incomplete else "valid"
    if verdict.complaint is not None:
        return f"{kind}: FAILED {verdict.complaint}"
    if kind != "valid":
        return f"{kind}: fine"
    if verdict.served == len(wanted.messages):
        return "valid: served"
    return "valid: waived" if waived else f"valid: NOT SERVED, {verdict.status}"


async def by_socket(
    vectors: Vectors, waived: set[str], *, ahead: bytes = b"", piecewise: bool = False
) -> Iterator[tuple[str, str]]:
    """Name and verdict of each vector over real sockets."""
    found = []
    async with SocketClient.opened() as client:
        for name, raw in vectors.items():
            stream = ahead + raw
            wanted = read_requests(stream)
            # What is not wholly understood may be answered once more, or not; then patience ends.
            answers = len(wanted.messages) + (wanted.problem is not None)
            pieces = bytewise(stream) if piecewise else [stream]
            outcome = await client.fire(pieces, answers=answers, closes=False)
            found.append((name, classify(stream, outcome, waived=name in waived)))
    return iter(found)


async def in_two(vectors: Vectors, waived: set[str]) -> Iterator[tuple[str, str]]:
    """The worst verdict over each vector cut at every offset."""
    found = []
    async with Running(config_for("http://127.0.0.1:1")) as running:
        with WireClient(running.plane) as client:
            for name, raw in vectors.items():
                worst = ""
                for at, pieces in halves(raw):
                    verdict = classify(raw, client.fire(pieces), waived=name in waived)
                    if is_failure(verdict) and not is_failure(worst):
                        worst = f"{verdict} (cut at {at})"
                    worst = worst or verdict
                found.append((name, worst))
    return iter(found)


def is_failure(verdict: str) -> bool:
    """The verdict is one that must not be."""
    return any(word in verdict for word in _FAILED)


def read_vectors(path: Path) -> Vectors:
    """The vectors of a file by name."""
    rows = map(json.loads, path.read_text().splitlines())
    return {row["name"]: base64.b64decode(row["raw"]) for row in rows}


def read_waivers(path: Path) -> dict[str, str]:
    """The reasons of a file by name."""
    lines = [line for line in path.read_text().splitlines() if line.strip() and line[0] != "#"]
    return {name: reason for name, _, reason in (line.partition(" ") for line in lines)}


async def run(vectors: Vectors, waived: set[str], show: int) -> int:
    """Prints a tally for each way to send; returns the number of failures."""
    modes = {
        "whole": by_socket(vectors, waived),
        "byte by byte": by_socket(vectors, waived, piecewise=True),
        "in two pieces at every offset": in_two(vectors, waived),
        "behind a valid request": by_socket(vectors, waived, ahead=AHEAD),
    }
    failures = 0
    for mode, work in modes.items():
        verdicts = list(await work)
        bad = [(name, verdict) for name, verdict in verdicts if is_failure(verdict)]
        failures += len(bad)
        sys.stdout.write(f"{mode}\n")
        for verdict, number in sorted(Counter(v.partition(",")[0] for _, v in verdicts).items()):
            sys.stdout.write(f"{number:6} {verdict[:100]}\n")
        for name, verdict in bad[:show]:
            sys.stdout.write(f"       {name}: {verdict[:300]}\n")
    sys.stdout.write(f"{failures} failed\n")
    return failures


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--waivers", type=Path)
    parser.add_argument("--show", type=int, default=15)
    options = parser.parse_args()
    waived = set(read_waivers(options.waivers)) if options.waivers else set()
    return int(uvloop.run(run(read_vectors(options.file), waived, options.show)) > 0)


if __name__ == "__main__":
    sys.exit(main())
