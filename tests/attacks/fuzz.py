"""Fuzzes the proxy's connections against the oracle for FUZZ_SECONDS (600), by hand.

    FUZZ_SECONDS=60 FUZZ_SEED=1 python -m tests.attacks.fuzz

Every execution mutates a seed, cuts it in pieces and compares. Prints executions, disagreements
and uncaught exceptions, with the pieces that lead to them. Exit status 1 if there are any.
"""

import asyncio
import os
import sys
import time
import traceback
from collections.abc import Callable
from random import Random
from typing import Any

import uvloop

from proxy.net.plane import Plane
from tests.attacks.mutations import REQUEST_SEEDS, RESPONSE_SEEDS, cut, mutate
from tests.attacks.target import disagree_on_requests, disagree_on_response
from tests.support.running import Running, config_for

_RESPONSE_BYTES = [raw for _, raw in RESPONSE_SEEDS]
_BATCH = 500
_MOST_SHOWN = 20


def attempt(plane: Plane, random: Random) -> tuple[str | None, object]:
    """One execution: what it led to, and what was sent."""
    run: Callable[[], str | None]
    if random.randrange(2):
        pieces = cut(random, mutate(random, random.choice(REQUEST_SEEDS), REQUEST_SEEDS))
        what: tuple[Any, ...] = ("request", pieces)
        run = lambda: disagree_on_requests(plane, pieces)  # noqa: E731
    else:
        method, raw = random.choice(RESPONSE_SEEDS)
        pieces = cut(random, mutate(random, raw, _RESPONSE_BYTES))
        ends = random.random() < 0.5
        what = ("response", method, pieces, "ends" if ends else "stays")
        run = lambda: disagree_on_response(plane, method, pieces, ends=ends)  # noqa: E731
    try:
        return run(), what
    except Exception:  # noqa: BLE001 an uncaught exception is what is looked for
        return "EXCEPTION " + traceback.format_exc(limit=-4), what


async def fuzz(seconds: float, seed: int) -> int:
    """Returns the number of findings."""
    random = Random(seed)
    executions, exceptions = 0, 0
    kinds: dict[str, int] = {}
    end = time.monotonic() + seconds
    async with Running(config_for("http://127.0.0.1:1")) as running:
        while time.monotonic() < end:
            await asyncio.sleep(0)  # timers and closed connections
            for _ in range(_BATCH):
                executions += 1
                finding, what = attempt(running.plane, random)
                if finding is None:
                    continue
                exceptions += finding.startswith("EXCEPTION")
                kinds[finding] = kinds.get(finding, 0) + 1
                if kinds[finding] == 1 and len(kinds) <= _MOST_SHOWN:
                    sys.stdout.write(f"{finding}\n    {what}\n")
    found = sum(kinds.values())
    sys.stdout.write(
        f"{executions} executions with seed {seed}, {found - exceptions} disagreements, "
        f"{exceptions} uncaught exceptions\n"
    )
    return found


def main() -> int:
    """The command."""
    seconds = float(os.environ.get("FUZZ_SECONDS", "600"))
    seed = int(os.environ.get("FUZZ_SEED", str(time.time_ns() % 1_000_000)))
    return int(uvloop.run(fuzz(seconds, seed)) > 0)


if __name__ == "__main__":
    sys.exit(main())
