"""Owns the order of events of a demo: start, wait until ready, load, sum up, stay, end.

Never parses a journal, never draws. Ends everything it started, whatever happens.
"""

import asyncio
import math
import os
import signal
import sys
import time

import aiohttp

from loadtests.control import Control, ControlError
from loadtests.demo.children import Child, Children
from loadtests.demo.live import Live, Tail
from loadtests.demo.setting import LANES, RATE, ROOT, SERVICE, STEPS, Setting, traffic_text
from loadtests.demo.show import Screen, say, to_try, urls
from loadtests.journal import JournalError, weights_text
from loadtests.recorder import now_us
from loadtests.report import TOLERANCE, figures_of, findings_of, lines_of

READY_S = 30.0
POLL_S = 0.05
DRAW_S = 0.5
LOCUST_EXTRA_S = 60.0
"""For Locust to start and to finish, beside the load itself."""
LOCUST_FAILED_REQUESTS = 1
"""Locust's own exit code for "some requests failed": the journal says it better."""
INTERRUPTED = 130


class NotReady(Exception):
    """Something did not come up, or did not end, in time."""


async def run(setting: Setting) -> int:
    """Runs the whole demo; returns the exit code."""
    async with Children(setting.folder, ROOT) as children:
        stop = _stop_on_signal(children)
        demo = _Demo(setting, children)
        work = asyncio.create_task(demo.start_and_load())
        death = asyncio.create_task(children.first_death())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({work, death, stopped}, return_when=asyncio.FIRST_COMPLETED)
            fault = await _fault_of(work, death)
            await demo.end_load()
            code = _sum_up(setting, fault, whole=demo.finished)
            if setting.stay and code == 0:
                code = await _stay(setting, death, stopped)
        finally:
            for task in (work, death, stopped):
                task.cancel()
            await asyncio.gather(work, death, stopped, return_exceptions=True)
            say("ending every process …")
    for name in children.killed:
        say(f"FAULT      {name} did not end in time and was killed")
    return code or bool(children.killed)


def _stop_on_signal(children: Children) -> asyncio.Event:
    """Ctrl-C and SIGTERM end the demo in order; the second one at once."""
    stop = asyncio.Event()

    def leave() -> None:
        if stop.is_set():
            children.kill_all()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, leave)
    return stop


async def _fault_of(work: "asyncio.Task[None]", death: "asyncio.Task[Exception]") -> str:
    """Why the load did not run to its end; empty when it did, or was stopped by the user."""
    if death.done():
        work.cancel()
    elif not work.done():
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        return ""
    results = await asyncio.gather(work, return_exceptions=True)
    if death.done():
        return str(death.result())
    match results[0]:
        case None:
            return ""
        case NotReady() | ControlError() | JournalError() as error:
            return str(error)
        case error:
            raise error


def _sum_up(setting: Setting, fault: str, *, whole: bool) -> int:
    """Prints what the clients' journal proves; returns the exit code it deserves."""
    say()
    if fault:
        say(f"FAULT      {fault}\n")
    elif not whole:
        say("interrupted: this is what there is\n")
    try:
        findings = findings_of(setting.journal)
    except JournalError as error:
        say(f"FAULT      {setting.journal}: {error}")
        return 1
    say("From the clients' own journal:")
    # Half a load proves nothing either way: what there is, is shown without a verdict.
    say("\n".join(lines_of(findings) if whole else figures_of(findings)))
    if fault or (whole and findings.faults(TOLERANCE)):
        return 1
    return 0 if whole else INTERRUPTED


async def _stay(
    setting: Setting, death: "asyncio.Task[Exception]", stopped: "asyncio.Task[bool]"
) -> int:
    say(f"\nEverything stays up until Ctrl-C:\n{urls(setting)}\nTry:\n{to_try(setting)}")
    await asyncio.wait({death, stopped}, return_when=asyncio.FIRST_COMPLETED)
    say()
    if death.done():
        say(f"FAULT      {death.result()}")
        return 1
    return 0


class _Demo:
    """The processes of one demo and the load on them."""

    def __init__(self, setting: Setting, children: Children) -> None:
        self._setting = setting
        self._children = children
        self._token = setting.token_file.read_text().strip()
        self._control = Control(setting.url(setting.ports.control), self._token)
        self._locust: Child | None = None
        self.finished = False
        """Whether the load ran to its end."""

    async def start_and_load(self) -> None:
        """Everything up to the end of the load."""
        say(f"demo in {self._setting.folder}")
        await self._start_services()
        await self._start_proxy()
        say(f"up:\n{urls(self._setting)}\n")
        await self._load()
        self.finished = True

    async def end_load(self) -> None:
        """Ends Locust if it still runs; it closes the journal first."""
        if self._locust:
            await self._children.end(self._locust)

    async def _start_services(self) -> None:
        setting, ports = self._setting, self._setting.ports
        for version, port in (("stable", ports.stable), ("canary", ports.canary)):
            await self._python(
                version, "loadtests.sample", f"--version={version}", f"--port={port}"
            )
        store = f"sqlite:///{setting.folder / 'splitway.db'}"
        await self._python(
            "control",
            "controlplane",
            f"--store={store}",
            f"--bind=127.0.0.1:{ports.control}",
            f"--token-file={setting.token_file}",
        )
        for name, port in (("stable", ports.stable), ("canary", ports.canary)):
            await self._until_ready(name, setting.url(port, "/healthz"))
        await self._until_ready("control", setting.url(ports.control, "/v1/proxies"))

    async def _start_proxy(self) -> None:
        setting = self._setting
        revision = await asyncio.to_thread(self._control.put_config, traffic_text(setting))
        await self._python("proxy", "proxy", f"--config={setting.proxy_config}", "--workers=1")
        await self._until_ready("proxy", setting.url(setting.ports.admin, "/readyz"))
        await asyncio.to_thread(self._control.await_settled, revision)

    async def _python(self, name: str, module: str, *arguments: str) -> None:
        await self._children.start(name, [sys.executable, "-m", module, *arguments])

    async def _until_ready(self, name: str, url: str) -> None:
        """Polls until the URL answers 200."""
        deadline, last = time.monotonic() + READY_S, "no answer"
        headers = {"Authorization": f"Bearer {self._token}"}
        timeout = aiohttp.ClientTimeout(total=2)
        async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
            while time.monotonic() < deadline:
                try:
                    async with session.get(url) as response:
                        if response.status == 200:
                            return
                        last = f"status {response.status}"
                except (aiohttp.ClientError, TimeoutError) as error:
                    last = str(error) or type(error).__name__
                await asyncio.sleep(POLL_S)
        raise NotReady(f"{name} was not ready after {READY_S:g} s: {url}: {last}")

    async def _load(self) -> None:
        setting = self._setting
        steps = " → ".join(weights_text(weights) for weights in STEPS)
        say(
            f"load: {setting.users:,} users, about {RATE} requests/s for {setting.load_s:g} s,"
            f" weights {steps}"
        )
        self._locust = await self._children.start(
            "locust", self._locust_command(), self._locust_environment(), lasting=False
        )
        ended = asyncio.create_task(self._locust.process.wait())
        try:
            async with asyncio.timeout(setting.load_s + LOCUST_EXTRA_S):
                await self._follow(ended)
        except TimeoutError:
            raise NotReady(f"Locust did not end in time:\n{self._locust.tail()}") from None
        finally:
            ended.cancel()
        if self._locust.process.returncode not in (0, LOCUST_FAILED_REQUESTS):
            raise NotReady(str(self._locust.death()))

    async def _follow(self, ended: "asyncio.Task[int]") -> None:
        """Draws the picture until Locust has ended."""
        tail, live, began_s = Tail(self._setting.journal), Live(), 0.0
        with Screen(self._setting.load_s) as screen:
            while not ended.done():
                await asyncio.wait({ended}, timeout=DRAW_S)
                for line in tail.lines():
                    live.take(line)
                    began_s = began_s or time.monotonic()
                if began_s:
                    screen.draw(live.picture(now_us()), time.monotonic() - began_s)

    def _locust_command(self) -> list[str]:
        setting = self._setting
        return [
            *(sys.executable, "-m", "locust"),
            *("-f", str(ROOT / "loadtests/locustfiles/weight_change.py")),
            *("--headless", "--only-summary", "--csv", str(setting.folder / "locust")),
            *("--host", setting.url(setting.ports.proxy)),
            *("-u", str(LANES), "-r", str(LANES)),
            # The stop time lets requests under way finish: every request sent is journaled.
            *("-t", f"{math.ceil(setting.load_s)}s", "--stop-timeout", "10"),
        ]

    def _locust_environment(self) -> dict[str, str]:
        setting = self._setting
        own = {k: v for k, v in os.environ.items() if not k.startswith(("LOCUST_", "LOAD_"))}
        return own | {
            "LOAD_CONTROL_URL": setting.url(setting.ports.control),
            "LOAD_CONTROL_TOKEN_FILE": str(setting.token_file),
            "LOAD_STEPS": ";".join(weights_text(weights) for weights in STEPS),
            "LOAD_STEP_S": str(setting.load_s / len(STEPS)),
            "LOAD_USERS": str(setting.users),
            "LOAD_SERIES": setting.series,
            "LOAD_RATE": str(RATE),
            "LOAD_SERVICE": SERVICE,
            "LOAD_JOURNAL": str(setting.journal),
        }
