"""Owns the entry of ``python -m loadtests.fleet``."""

import asyncio
import sys

import msgspec

from loadtests.fleet.options import parse_options
from loadtests.fleet.people import FleetFailed
from loadtests.fleet.report import lines_of
from loadtests.fleet.run import run

FAILED, INTERRUPTED = 2, 130


def main() -> int:
    """One run; 0 when every step of it came to its end."""
    options = parse_options()
    try:
        figures = asyncio.run(run(options))
    except FleetFailed as error:
        print(f"fleet: {error}", file=sys.stderr)
        return FAILED
    except TimeoutError:
        print("fleet: a step took too long (--patience)", file=sys.stderr)
        return FAILED
    except (asyncio.CancelledError, KeyboardInterrupt):
        return INTERRUPTED
    print("\n".join(lines_of(figures)))
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
