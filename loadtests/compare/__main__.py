"""Owns the comparison's entry: ``make bench`` is ``python -m loadtests.compare``."""

import asyncio
import sys

from loadtests.compare.options import parse_options
from loadtests.compare.run import FAILED, run
from loadtests.compare.stage import NotReady, ToolFailed
from loadtests.demo.children import ChildDied

INTERRUPTED = 130


def main() -> int:
    """Compare; 0 when every proxy that is here was measured."""
    options = parse_options()
    try:
        return run(options)
    except (ChildDied, NotReady, ToolFailed) as error:
        print(f"the back end, or measuring it, failed: {error}", file=sys.stderr)
        return FAILED
    except (asyncio.CancelledError, KeyboardInterrupt):
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
