"""Owns the command line of the Autobahn comparison: ``python -m loadtests.autobahn``.

wstest is autobahntestsuite from PyPI, in an environment of Python 2.7 of its own. Exit code: 0 when
no case is worse through the proxy, 1 when one is, 2 when there was no result.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from loadtests.autobahn.reports import Index, compare, tally
from loadtests.autobahn.run import DIRECT, PROXIED, Broken, run


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.autobahn", description=__doc__)
    parser.add_argument("--wstest", type=_executable, required=True, help="the wstest to run")
    parser.add_argument(
        "--cases", action="append", help='which, e.g. "9.*"; may be repeated; all if left out'
    )
    parser.add_argument("--exclude", action="append", default=[], help='e.g. "12.*"')
    parser.add_argument("--folder", type=Path, help="for reports and logs; a new one if left out")
    parser.add_argument("--within-s", type=float, default=3_600.0, help="for all cases together")
    return parser.parse_args(arguments)


def _executable(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"{text} is no file")
    return path.absolute()


def judge(index: Index) -> int:
    """Prints what came of the cases; the exit code."""
    for agent in (DIRECT, PROXIED):
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in tally(index, agent).items())
        print(f"{agent}: {verdicts or 'nothing'}")
    if not index.get(DIRECT):
        print("no case was run")
        return 2
    differences = compare(index, DIRECT, PROXIED)
    worse = [difference for difference in differences if difference.is_worse]
    for difference in differences:
        print(f"{'WORSE' if difference.is_worse else 'other'} {difference}")
    cases = len({difference.case for difference in worse})
    print(f"{len(index[DIRECT])} cases, {cases} worse through the proxy")
    return 1 if worse else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    given = parse_arguments(arguments)
    folder: Path = given.folder or Path(tempfile.mkdtemp(prefix="autobahn-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.absolute()
    print(f"reports and logs: {folder}", flush=True)
    cases = given.cases or ["*"]
    try:
        index = asyncio.run(run(given.wstest, folder, cases, given.exclude, given.within_s))
    except Broken as broken:
        print(broken, file=sys.stderr)
        return 2
    return judge(index)


if __name__ == "__main__":
    # Its children are ended by what SystemExit unwinds.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main())
