"""Owns the entry of ``make demo-ha``. DEMO_SECONDS is how long the load takes (15 s when unset)."""

import asyncio
import os
import sys

from loadtests.ha.run import run
from loadtests.postgres import NoServerError

LEAST_S, MOST_S = 6.0, 86_400.0
NO_SERVER = 3
"""The exit code where PostgreSQL cannot run."""


def main() -> int:
    """Runs the demo; 0 when no request failed and every proxy has the newest revision."""
    try:
        load_s = float(os.environ.get("DEMO_SECONDS") or 15)
    except ValueError:
        load_s = 0.0
    if not LEAST_S <= load_s <= MOST_S:
        print(f"DEMO_SECONDS: give a number of seconds, at least {LEAST_S:g}", file=sys.stderr)
        return 2
    try:
        return asyncio.run(run(load_s))
    except NoServerError as error:
        print(error, file=sys.stderr)
        return NO_SERVER
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
