"""Owns the order of a comparison: who is here, rounds, proxies in turn, what is written at the end.

Rounds are interleaved and each begins with another proxy, so that a machine that grows slower or
faster is the same to all. A proxy that fails is left out, loudly. Never measures by itself.
"""

import asyncio
import json
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from loadtests.compare.figures import Figures
from loadtests.compare.machine import Machine, this_machine
from loadtests.compare.measures import Bench, Contender, ProxyFailed
from loadtests.compare.options import Options
from loadtests.compare.page import PAGE, PLOT, body, write_page
from loadtests.compare.peers import PEERS, ROOT, SPLITWAY, find, version_of
from loadtests.compare.stage import Cores, Stage, cores_of
from loadtests.compare.table import tables_of

FAILED, UNUSABLE = 1, 2
SPARE_FILES = 1000
"""A proxy's connections to the back end, its files, and what the measure itself holds."""


def run(options: Options) -> int:
    """Compare; 0 when every proxy that is here was measured."""
    contenders = find_contenders(options)
    if options.scenarios and find("wrk") is None:
        say("wrk makes the load and is not here; get it: Debian package wrk (or --scenarios '')")
        return UNUSABLE
    if not contenders:
        say("none of the proxies is here")
        return UNUSABLE
    figures = Figures()
    versions = {each.name: version_of(each.executable, each.peer.ask) for each in contenders}
    failures = asyncio.run(_measure(options, contenders, figures))
    _report(options, figures, versions, failures)
    return FAILED if failures else 0


def find_contenders(options: Options) -> list[Contender]:
    """The proxies that are here; those that are not are named, with where to get them."""
    found = []
    for name in options.peers:
        peer = PEERS[name]
        executable = peer.find(options.binaries)
        if executable is None:
            say(f"SKIPPED {peer.name}: {peer.executable} is not here; get it: {peer.get}")
        else:
            found.append(Contender(peer, executable))
    return found


async def _measure(
    options: Options, contenders: list[Contender], figures: Figures
) -> dict[str, str]:
    """Fill ``figures``; returns who failed and how."""
    failures: dict[str, str] = {}
    _allow_files(options.connections)
    with tempfile.TemporaryDirectory(prefix="splitway-bench-") as folder:
        async with Stage(Path(folder), _cores(), ROOT) as stage:
            _leave_on_signals(stage)
            bench = Bench(stage, options, figures)
            await bench.start_backend(_nginx(options))
            for turn in range(options.rounds):
                say(f"round {turn + 1} of {options.rounds}")
                await bench.direct()
                for contender in in_turn(contenders, turn):
                    if contender.name not in failures:
                        await _measured(bench, contender, failures)
    for name in failures:
        figures.drop(name)
    return failures


async def _measured(bench: Bench, contender: Contender, failures: dict[str, str]) -> None:
    say(f"  {contender.name}")
    try:
        await bench.loaded(contender)
        await bench.idle(contender)
        if contender.peer is SPLITWAY:
            await bench.weights()
    except ProxyFailed as error:
        say(f"FAILED {contender.name}: {error}")
        failures[contender.name] = str(error)


def in_turn(contenders: list[Contender], turn: int) -> list[Contender]:
    """All of them, another one first in each round."""
    first = turn % len(contenders) if contenders else 0
    return contenders[first:] + contenders[:first]


def _nginx(options: Options) -> str | None:
    """The back end's nginx, if it is to be used."""
    if options.python_backend:
        return None
    nginx = find("nginx")
    if nginx is None:
        say(
            "nginx is not here; get it: Debian package nginx. Meanwhile the back end is Python:"
            " its own cost hides the differences, and nothing is to be published"
        )
    return nginx


def _cores() -> Cores:
    cores = cores_of(os.sched_getaffinity(0))
    if cores.load is None:
        say("there is one CPU only: proxy and load share it, and the figures are worth little")
    else:
        os.sched_setaffinity(0, {cores.load})
    return cores


def _allow_files(connections: int) -> None:
    """Raise the limit of open files for the proxies, which inherit it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most < connections + SPARE_FILES:
        say(f"only {most} files may be open: too few for {connections} connections (ulimit -Hn)")


def _leave_on_signals(stage: Stage) -> None:
    """The first signal ends everything in order, the second at once."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    asked = False

    def leave() -> None:
        nonlocal asked
        if asked or task is None:
            stage.kill_all()
        else:
            asked = True
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, leave)


def _report(
    options: Options, figures: Figures, versions: Mapping[str, str], failures: Mapping[str, str]
) -> None:
    machine = this_machine(ROOT)
    versions = {name: version for name, version in versions.items() if name not in failures}
    tables = tables_of(figures, options.rate)
    text = body(machine, versions, options, tables)
    print(text)
    if options.json is not None:
        options.json.write_text(_json(machine, versions, failures, figures))
        say(f"every figure: {options.json}")
    whole = options.full and len(versions) == len(PEERS) and not failures
    if options.docs is None and not whole:
        say("not a whole comparison: docs/ is left as it is (--docs FOLDER writes all the same)")
        return
    folder = options.docs or ROOT / "docs"
    folder.mkdir(parents=True, exist_ok=True)
    write_page(folder / PAGE, text)
    _draw(figures, folder / PLOT)


def _draw(figures: Figures, file: Path) -> None:
    try:
        from loadtests.compare.plot import draw
    except ImportError as error:
        say(f"no plot: {error}; get it: pip install --group bench (make bench does)")
        return
    draw(figures, SPLITWAY.name, file)
    say(f"written: {file.parent / PAGE}, {file}")


def _json(
    machine: Machine,
    versions: Mapping[str, str],
    failures: Mapping[str, str],
    figures: Figures,
) -> str:
    every = {
        "machine": asdict(machine),
        "versions": dict(versions),
        "failures": dict(failures),
        "figures": [asdict(figure) for figure in figures.all],
    }
    return json.dumps(every, indent=1) + "\n"


def say(line: str) -> None:
    """Tell whoever waits; the tables alone are on standard output."""
    print(line, file=sys.stderr, flush=True)
