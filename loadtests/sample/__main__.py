"""Owns the sample service's process: arguments, sockets, signals. Never answers a request itself.

SIGTERM and SIGINT stop accepting, let what runs finish within ``SHUTDOWN_S``, then exit 0.
"""

import argparse
import asyncio
import signal
from collections.abc import Sequence

import uvloop
from aiohttp import web

from loadtests.sample.server import Behaviour, build_app

SHUTDOWN_S = 10.0
# Longer than a proxy keeps an idle connection, so that the sample is never the one to close first.
KEEPALIVE_S = 120.0


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.sample", description=__doc__)
    parser.add_argument("--version", required=True, help="the name this version answers with")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 (default) takes a free one")
    parser.add_argument("--delay-ms", type=_not_negative, default=0.0)
    parser.add_argument("--error-rate", type=_rate, default=0.0, help="0-1")
    return parser.parse_args(arguments)


def _not_negative(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number >= 0")
    return number


def _rate(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return number


async def serve(arguments: argparse.Namespace) -> None:
    """Serves until SIGTERM or SIGINT."""
    behaviour = Behaviour(arguments.version, arguments.delay_ms, arguments.error_rate)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(
        build_app(behaviour),
        access_log=None,
        keepalive_timeout=KEEPALIVE_S,
        shutdown_timeout=SHUTDOWN_S,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, arguments.host, arguments.port, backlog=1024).start()
        host, port = runner.addresses[0][:2]
        print(f"sample {behaviour.version} on http://{host}:{port}", flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Entry point of ``python -m loadtests.sample``."""
    arguments = parse_arguments()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop_runner:
        loop_runner.run(serve(arguments))


if __name__ == "__main__":
    main()
