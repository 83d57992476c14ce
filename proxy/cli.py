"""Owns the command ``splitway-proxy``: arguments, the file, which processes carry the traffic."""

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

import proxy.lean  # noqa: F401 first, as what follows imports aiohttp

# isort: split
import uvloop

from proxy import __version__
from proxy.agent import Agent, Workers, first_snapshot
from proxy.discovery.following import Discovery
from proxy.discovery.make import make_finder
from proxy.fleet import Fleet
from proxy.model.config import Config
from proxy.model.errors import ConfigError
from proxy.model.found import sources_of
from proxy.model.parse import parse_config
from proxy.model.wire import Install
from proxy.net import downstream
from proxy.net.listener import bind, bound_name, release
from proxy.supervisor.cpu import usable_cpus
from proxy.supervisor.memory import keep_buffers
from proxy.sync.file import FileWatch
from proxy.worker import Worker

LOG = logging.getLogger("splitway")

WRONG = 2
"""Exit status for arguments, a file or an address that cannot be used."""
START_S = 30.0
MAX_WORKERS = 256


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run ``splitway-proxy``; exits 0 when it was told to leave, 2 when it could not serve."""
    options = _parse_arguments(arguments)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    path = Path(options.config)
    try:
        text = path.read_bytes().decode()
        config = parse_config(text, file=str(path), env=os.environ)
    except (OSError, UnicodeDecodeError) as error:
        sys.exit(_said(f"splitway-proxy: {path}: cannot be read: {_reason(error)}"))
    except ConfigError as error:
        sys.exit(_said(*map(str, error.problems)))
    if options.check:
        sys.stdout.write(f"{path}: ok\n")
        sys.exit(0)
    workers = options.workers or usable_cpus()
    try:
        status = uvloop.run(_serve(path, text, config, workers))
    except OSError as error:
        status = _said(f"splitway-proxy: {_reason(error)}")
    sys.exit(status)


def _version() -> str:
    """The release, and whether its hot modules are compiled (docs/adr/0009)."""
    compiled = str(downstream.__file__).endswith(".so")
    return f"splitway-proxy {__version__}{' (compiled)' if compiled else ''}"


def _parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="splitway-proxy", description="Splits HTTP traffic between versions, per user."
    )
    parser.add_argument("--config", required=True, metavar="FILE", help="the configuration (YAML)")
    parser.add_argument(
        "--workers",
        type=_worker_count,
        metavar="N",
        help="processes that carry traffic; as many as there are CPUs to use by default",
    )
    parser.add_argument(
        "--check", action="store_true", help="print every problem of the file and start nothing"
    )
    parser.add_argument("--version", action="version", version=_version())
    return parser.parse_args(arguments)


def _worker_count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_WORKERS:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to {MAX_WORKERS}")
    return int(text)


async def _serve(path: Path, text: str, config: Config, count: int) -> int:
    signals = _Signals(asyncio.get_running_loop())
    snapshot, source = first_snapshot(config)
    discovery = Discovery(
        partial(make_finder, settings=config.discovery, open_watch=lambda p, t: FileWatch(p, "", t))
    )
    *listeners, [admin] = _bind(config, count)
    try:
        discovery.follow(sources_of(snapshot.traffic))
        await discovery.tried(config.discovery.timeout_s)
        install = Install(config, snapshot, discovery.found)
        workers = await _start(install, listeners, count, signals)
        if isinstance(workers, int):
            return workers
        agent = Agent(path, text, config, snapshot, source, discovery, workers, signals.drain)
        await agent.start(admin)
        signals.on_hang_up(agent.hang_up)
        served = ", ".join(bound_name(sockets[0]) for sockets in listeners)
        sys.stdout.write(
            f"splitway-proxy {__version__}: serving on {served}; admin on {bound_name(admin)};"
            f" workers: {count}\n"
        )
        sys.stdout.flush()
        await signals.leaving.wait()
        clean = await _leave(agent, workers, signals)
        await agent.stop()
    finally:
        await discovery.stop()
        admin.close()
        _release(config)
    LOG.info("gone, %s", "nothing was cut" if clean else "some requests were cut")
    return 0


async def _start(
    install: Install,
    listeners: list[list[socket.socket]],
    count: int,
    signals: "_Signals",
) -> Workers | int:
    """Who carries the traffic, accepting; or the exit status, when it came to nothing."""
    if count == 1:
        keep_buffers()
        worker = Worker(install.config)
        if problems := await worker.install(install):
            return _said(*map(str, problems))
        await worker.listen([sockets[0] for sockets in listeners])
        return worker
    places = [[sockets[place] for sockets in listeners] for place in range(count)]
    fleet = Fleet(places, install)
    refusal = await _started(fleet, signals)
    if not refusal and not signals.leaving.is_set():
        return fleet
    await fleet.drain(0.0)
    return 0 if signals.leaving.is_set() else _said(f"splitway-proxy: {refusal}")


class _Signals:
    """What the operator has asked for: SIGTERM leaves with the grace, Ctrl-C at once; a second
    signal cuts what is still open."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.leaving = asyncio.Event()
        self.hurried = asyncio.Event()
        self.grace = True
        self._loop = loop
        loop.add_signal_handler(signal.SIGTERM, self.leave)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        # Until there is an agent to tell: what it would read now is what is being started.
        self.on_hang_up(lambda: None)

    def on_hang_up(self, do: Callable[[], None]) -> None:
        """What SIGHUP does from now on."""
        self._loop.add_signal_handler(signal.SIGHUP, do)

    def leave(self) -> None:
        """Leave; asked again, cut."""
        if self.leaving.is_set():
            self.hurried.set()
        self.leaving.set()

    def drain(self) -> None:
        """Leave with the grace; asked again, nothing more."""
        self.leaving.set()

    def _interrupt(self) -> None:
        if not self.leaving.is_set():
            self.grace = False
        self.leave()


async def _started(fleet: Fleet, signals: _Signals) -> str:
    """Start the workers, unless a signal comes first. Returns why they do not serve, if so."""
    starting = asyncio.ensure_future(fleet.start(START_S))
    leaving = asyncio.ensure_future(signals.leaving.wait())
    await asyncio.wait((starting, leaving), return_when=asyncio.FIRST_COMPLETED)
    leaving.cancel()
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return "told to leave"
    return starting.result()


async def _leave(agent: Agent, workers: Workers, signals: _Signals) -> bool:
    """Drain, until everything is finished or a second signal comes."""
    draining = asyncio.ensure_future(agent.leave(grace=signals.grace))
    hurry = asyncio.ensure_future(signals.hurried.wait())
    await asyncio.wait((draining, hurry), return_when=asyncio.FIRST_COMPLETED)
    hurry.cancel()
    if not draining.done():
        draining.cancel()
        await asyncio.gather(draining, return_exceptions=True)
        return await workers.drain(0.0)
    return draining.result()


def _bind(config: Config, count: int) -> list[list[socket.socket]]:
    """Each listener's sockets, one a worker; last the admin port's only one."""
    bound: list[list[socket.socket]] = []
    try:
        for listener in config.listeners:
            bound += [bind(f"listener {listener.name}", listener.bind, count)]
        bound += [bind("admin", config.admin.bind, shared=False)]
    except OSError:
        for sock in (sock for sockets in bound for sock in sockets):
            sock.close()
        _release(config)
        raise
    return bound


def _release(config: Config) -> None:
    for text in (*(listener.bind for listener in config.listeners), config.admin.bind):
        release(text)


def _said(*lines: str) -> int:
    sys.stderr.write("\n".join(lines) + "\n")
    return WRONG


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return getattr(error, "strerror", None) or str(error)
