"""Owns the demo's entry: ``make demo`` is ``python -m loadtests.demo``.

DEMO_SECONDS sets how long the load takes (60 s when unset) and makes the demo end after its
summary; without it everything stays up until Ctrl-C. DEMO_FOLDER is where the run's folder is
made (run).
"""

import signal
import sys

INTERRUPTED = 130


def main() -> int:
    """Runs the demo; 0 when all was good."""
    # Before the imports, which take a second: Ctrl-C then is no reason for a traceback either.
    signal.signal(signal.SIGINT, lambda *_: sys.exit(INTERRUPTED))
    import asyncio
    import os

    from loadtests.demo.run import run
    from loadtests.demo.setting import prepare

    try:
        setting = prepare(os.environ)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return asyncio.run(run(setting))


if __name__ == "__main__":
    sys.exit(main())
