"""Owns the entry of ``python -m loadtests.slow``."""

import asyncio
import sys

from loadtests.demo.children import ChildDied
from loadtests.slow.options import parse_options
from loadtests.slow.run import NotReady, run

INTERRUPTED = 130


def main() -> int:
    """Attack; 0 when the good client lost nothing."""
    try:
        return asyncio.run(run(parse_options()))
    except (ChildDied, NotReady) as error:
        print(error, file=sys.stderr)
        return 2
    except (asyncio.CancelledError, KeyboardInterrupt):
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
