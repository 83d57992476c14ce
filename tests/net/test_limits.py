"""What clients may use at most: connections, heads, held bytes, memory, descriptors.

Beyond a limit work is shed with 503 and ``Retry-After`` before it costs anything; who stays within
the limits is served meanwhile; what was used is given back.
"""

import asyncio
import contextlib
import os
import resource
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from loadtests.demo.children import Children
from proxy.core.local_reply import LocalReply
from proxy.http1.errors import BadRequest
from proxy.http1.request import RequestHead
from proxy.model.config import Config, Limits
from proxy.model.parse import parse_config
from proxy.net.downstream import SHED_AT_ONCE
from proxy.net.exchange import Exchange
from proxy.net.load import Load
from proxy.supervisor.room import memory_reader
from tests.support.raw_backend import OK, RawBackend, Visit, replying
from tests.support.raw_client import Answer, RawClient, get
from tests.support.road import ROOT, free_port, said, until
from tests.support.running import Running, eventually, run

SOON_S = 5.0


def config(endpoint: str, limits: str, more: str = "") -> Config:
    return parse_config(f"""
services: {{shop: {{versions: {{stable: {{endpoints: ["{endpoint}"]}}}}}}}}
routes: [{{service: shop}}]
limits: {{{limits}}}
{more}
""")


class Log:
    """What the access log is told: statuses, with the reason of refusals."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []

    def over(self, exchange: Exchange, _head: RequestHead, _client: str, _revision: int) -> None:
        self.lines.append((exchange.status, ""))

    def unserved(
        self,
        _head: RequestHead,
        answer: LocalReply | None,
        _client: str,
        _ident: bytes,
        _revision: int,
    ) -> None:
        self.lines.append((404 if answer is None else answer.status, ""))

    def refused(self, refusal: BadRequest, _client: str, _ident: bytes, _revision: int) -> None:
        self.lines.append((refusal.status, refusal.detail))


def is_shed(answer: Answer) -> None:
    """The whole of what an overloaded proxy says."""
    assert answer.status == 503
    assert answer.head.header(b"retry-after") == b"1"
    assert answer.head.header(b"connection") == b"close"


async def holding(visit: Visit) -> None:
    """Answers each request but those for /hold, which it keeps in hand."""
    while True:
        if (await visit.head()).startswith(b"GET /hold"):
            await visit.end()
        await visit.send(OK)


# Connections.


@contextlib.asynccontextmanager
async def busy(running: Running, count: int) -> AsyncIterator[list[RawClient]]:
    """So many connections with a request in hand."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(RawClient(running.where)) for _ in range(count)]
        for client in clients:
            client.write(get("/hold"))
        await eventually(lambda: running.counts().in_flight == count)
        yield clients


def test_one_connection_too_many_is_503_at_once_and_room_is_used_again() -> None:
    async def test() -> None:
        log = Log()
        async with (
            RawBackend(holding) as backend,
            Running(config(backend.endpoint, "connections: 3"), log=log) as running,
            busy(running, 3) as clients,
            asyncio.timeout(SOON_S),
        ):
            for request in (b"", get()):  # without a word of its own, and with
                async with RawClient(running.where) as late:
                    late.write(request)
                    is_shed(await late.answer())
                    assert await late.rest() == b""
            assert running.plane.load.shed["connections"] == 2
            assert running.registry.counts(shed=running.plane.load.shed).shed["connections"] == 2
            await running.counted({"OTHER 503": 2}, unrouted=True)
            assert [status for status, _ in log.lines] == [503, 503]
            assert all(reason for _, reason in log.lines)
            await eventually(lambda: len(running.plane.connections) == 3)
            clients[0].reset()
            await eventually(lambda: len(running.plane.connections) == 2)
            async with RawClient(running.where) as next_one:
                assert (await next_one.ask(get())).status == 200

    run(test)


def test_idle_connections_make_room() -> None:
    async def test() -> None:
        async with (
            RawBackend(holding) as backend,
            Running(config(backend.endpoint, "connections: 4")) as running,
            busy(running, 2),
            RawClient(running.where) as idle,
            RawClient(running.where) as silent,
        ):
            assert (await idle.ask(get())).status == 200
            async with asyncio.timeout(SOON_S):
                while True:  # those that were used a moment ago are spared for a moment
                    async with RawClient(running.where) as late:
                        answer = await late.ask(get())
                    if answer.status == 200:
                        break
                    is_shed(answer)
                    await asyncio.sleep(0.05)
                gone = [asyncio.ensure_future(client.rest()) for client in (idle, silent)]
                done, _ = await asyncio.wait(gone, return_when=asyncio.FIRST_COMPLETED)
                assert all(task.result() == b"" for task in done)
                for task in gone:
                    task.cancel()
                await asyncio.gather(*gone, return_exceptions=True)
            assert running.counts().in_flight == 2  # no request was given up for it

    run(test)


def test_a_flood_of_connections_costs_a_bounded_number_of_answers() -> None:
    flood = SHED_AT_ONCE + 200

    async def test() -> None:
        async with (
            RawBackend(holding) as backend,
            Running(config(backend.endpoint, "connections: 2")) as running,
            busy(running, 2),
        ):
            most = 0
            loop = asyncio.get_running_loop()
            with contextlib.ExitStack() as stack:
                for _ in range(flood):
                    sock = stack.enter_context(socket.socket())
                    sock.setblocking(False)
                    await loop.sock_connect(sock, running.where)
                    most = max(most, len(running.plane.connections))
                await eventually(lambda: running.plane.load.shed["connections"] == flood)
                assert most <= 2 + SHED_AT_ONCE + 1
            await eventually(lambda: len(running.plane.connections) == 2)
            assert running.counts().in_flight == 2

    run(test)


@pytest.mark.parametrize("files", [64, 256, 1_024, 20_000])
@pytest.mark.parametrize("wanted", [0, 5, 1_000_000])
def test_the_limit_of_open_files_bounds_the_connections(files: int, wanted: int) -> None:
    """With room for what is no connection of a client's: endpoints', listeners, logs."""
    load = Load(files, lambda _own: (0, 0))
    load.limit(Limits(connections=wanted))
    assert 0 < load.most_connections < files
    if wanted == 5:
        assert load.most_connections == 5
    elif files >= 256:
        assert files / 3 < load.most_connections <= files * 2 / 3


# Heads.


@pytest.mark.parametrize(
    ("limits", "raw", "status"),
    [
        ("head_bytes: 2000", get("/", "X-A: " + "x" * 1_900), 200),
        ("head_bytes: 2000", get("/", "X-A: " + "x" * 2_000), 431),
        ("head_bytes: 2000", get("/", "X-A: " + "x" * 2_000)[:-4], 431),
        ("head_bytes: 200000", get("/", "X-A: " + "x" * 150_000), 200),
        ("fields: 10", get("/", *["a: b"] * 9), 200),
        ("fields: 10", get("/", *["a: b"] * 10), 431),
        ("fields: 500", get("/", *["a: b"] * 499), 200),
        ("fields: 500", get("/", *["a: b"] * 500), 431),
        ("target_bytes: 300", get("/" + "t" * 299), 200),
        ("target_bytes: 300", get("/" + "t" * 300), 414),
        ("target_bytes: 20000", get("/" + "t" * 19_999), 200),
        ("target_bytes: 20000", get("/" + "t" * 20_000), 414),
        ("target_bytes: 300, head_bytes: 2000", get("/" + "t" * 5_000), 414),
        ("target_bytes: 300, head_bytes: 2000", get("/" + "t" * 5_000)[:4_000], 414),
        ("", get("/", "X-A: " + "x" * 65_000), 200),
        ("", get("/", "X-A: " + "x" * 65_600), 431),
        ("", get("/", *["a: b"] * 127), 200),
        ("", get("/", *["a: b"] * 128), 431),
        ("", get("/" + "t" * 8_191), 200),
        ("", get("/" + "t" * 8_192), 414),
    ],
)
@pytest.mark.parametrize("pieces", [1, 3])
def test_heads_have_limits_that_can_be_set(
    limits: str, raw: bytes, status: int, pieces: int
) -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config(backend.endpoint, limits)) as running,
            RawClient(running.where) as client,
        ):
            for at in range(pieces):
                await client.send(raw[len(raw) * at // pieces : len(raw) * (at + 1) // pieces])
                await asyncio.sleep(0)
            answer = await client.answer()
            assert answer.status == status
            assert answer.head.reusable == (status == 200)
            assert len(backend.visits) == int(status == 200)

    run(test)


# Bytes that wait.


HEAD_PART = get("/", "X-A: " + "x" * 6_000)[:-2]
HELD = 65_536


def test_unfinished_heads_are_held_up_to_a_bound_and_others_are_served() -> None:
    async def test() -> None:
        log = Log()
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config(backend.endpoint, f"held_bytes: {HELD}"), log=log) as running,
            RawClient(running.where) as good,
            contextlib.AsyncExitStack() as stack,
            asyncio.timeout(SOON_S),
        ):
            load = running.plane.load
            most, shed, waiting = 0, 0, []
            for _ in range(30):
                client = await stack.enter_async_context(RawClient(running.where))
                before = load.held_bytes
                client.write(HEAD_PART)
                answered = asyncio.ensure_future(client.answer())
                await eventually(lambda b=before, a=answered: load.held_bytes > b or a.done())  # type: ignore[misc]
                most = max(most, load.held_bytes)
                if before + len(HEAD_PART) > HELD:
                    is_shed(await answered)
                    shed += 1
                else:
                    waiting.append((client, answered))
                assert (await good.ask(get())).status == 200
            assert most <= HELD + len(HEAD_PART)
            assert shed == 20
            assert load.shed["held_bytes"] == shed
            await running.counted({"OTHER 503": shed}, unrouted=True)
            assert sum(status == 503 for status, _ in log.lines) == shed
            for client, answered in waiting:  # they kept to the limit: they may end their heads
                client.write(b"\r\n")
                assert (await answered).status == 200
            assert load.held_bytes == 0

    run(test)


@pytest.mark.parametrize("leave", ["reset", "close", "timeout"])
def test_what_was_held_is_given_back(leave: str) -> None:
    async def test() -> None:
        more = "downstream: {head_s: 0.3, linger_s: 0.1}"
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config(backend.endpoint, f"held_bytes: {HELD}", more)) as running,
            asyncio.timeout(SOON_S),
        ):
            load = running.plane.load
            for _ in range(3):
                async with contextlib.AsyncExitStack() as stack:
                    for _ in range(15):
                        client = await stack.enter_async_context(RawClient(running.where))
                        client.write(HEAD_PART)
                        if leave == "reset":
                            stack.callback(client.reset)
                    await eventually(lambda: load.held_bytes > HELD - len(HEAD_PART))
                    if leave == "timeout":
                        await eventually(lambda: load.held_bytes == 0)
                await eventually(lambda: load.held_bytes == 0)
                await eventually(lambda: not running.plane.connections)

    run(test)


def test_requests_that_wait_their_turn_are_held_to_the_same_bound() -> None:
    """The one in hand is served; behind it the connection ends, and what waited reaches no one."""
    release = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        await release.wait()
        await visit.send(OK)
        assert await visit.end() == b""

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config(backend.endpoint, f"held_bytes: {HELD}")) as running,
            RawClient(running.where) as client,
            asyncio.timeout(SOON_S),
        ):
            load = running.plane.load
            client.write(get("/first") + get("/second", "X-A: " + "x" * 4_000) * 40)
            await eventually(lambda: load.shed["held_bytes"] > 0)
            assert load.held_bytes <= HELD
            release.set()
            answer = await client.answer()
            assert answer.status == 200
            assert not answer.head.reusable
            with contextlib.suppress(ConnectionError):
                assert await client.rest() == b""
            assert all(b"/second" not in visit.received for visit in backend.visits)
            await eventually(lambda: not running.plane.connections)
            assert load.held_bytes == 0

    run(test)


def test_a_few_pipelined_requests_are_no_overload() -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config(backend.endpoint, f"held_bytes: {HELD}")) as running,
            RawClient(running.where) as client,
            asyncio.timeout(SOON_S),
        ):
            client.write(get() * 500)
            for _ in range(500):
                assert (await client.answer()).status == 200
            assert not any(running.plane.load.shed.values())
            assert running.plane.load.held_bytes == 0

    run(test)


# Memory.


def test_over_its_memory_the_proxy_sheds_and_recovers() -> None:
    used = 0

    async def test() -> None:
        nonlocal used
        log = Log()
        async with (
            RawBackend(holding) as backend,
            Running(config(backend.endpoint, "memory_bytes: 1000000"), log=log) as running,
            busy(running, 1) as held,
            RawClient(running.where) as kept,
            asyncio.timeout(SOON_S),
        ):
            load = running.plane.load
            load._memory = lambda own: (used, own)
            assert (await kept.ask(get())).status == 200
            used = 1_000_001
            await eventually(lambda: load.is_over_memory)
            is_shed(await kept.ask(get()))
            async with RawClient(running.where) as fresh:
                is_shed(await fresh.ask(get()))
            assert load.shed["memory"] == 2
            await running.counted({"OTHER 503": 2}, unrouted=True)
            assert [status for status, _ in log.lines] == [200, 503, 503]
            assert len(held) == running.counts().in_flight == 1  # what is in hand goes on
            used = 990_000  # not by a hair: it would flicker
            load.look()
            assert load.is_over_memory
            used = 900_000
            await eventually(lambda: not load.is_over_memory)
            async with RawClient(running.where) as fresh:
                assert (await fresh.ask(get())).status == 200

    run(test)


def test_the_memory_of_this_process_is_what_is_read(tmp_path: Path) -> None:
    """The real readers: a limit of its own for the process, the container's where there is none."""
    used, limit = memory_reader(tmp_path)(123_456)
    assert limit == 123_456
    assert 1_000_000 < used < 10**11
    assert memory_reader(tmp_path)(0) == (0, 0)  # no container: no limit
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("950\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 100\nactive_file 3\n")
    load = Load(1_024, memory_reader(tmp_path))
    load.limit(Limits())
    assert (
        bool(load.is_over_memory) is False
    )  # pages of files do not count: the kernel gives them up first
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 10\n")
    load.look()
    assert bool(load.is_over_memory)
    load.limit(Limits(memory_bytes=10**12))
    assert bool(load.is_over_memory) is False


# A real process with few descriptors.

CROWD = 400
CPU_S = 1.0
"""Of a process that waits for two seconds; a loop that spins takes all of them."""


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def served(port: int) -> bool:
    try:
        async with RawClient(("127.0.0.1", port)) as client:
            return (await client.ask(get())).status == 200
    except (OSError, EOFError):
        return False


@pytest.mark.e2e
@pytest.mark.parametrize("limits", ["", "limits: {connections: 1000}"])
def test_descriptors_that_run_out_neither_spin_nor_stay_out(tmp_path: Path, limits: str) -> None:
    async def test() -> None:
        port = free_port()
        async with (
            RawBackend(replying(OK)) as backend,
            Children(tmp_path, cwd=tmp_path) as children,
        ):
            file = tmp_path / "proxy.yaml"
            file.write_text(
                f'listeners: [{{name: web, bind: "127.0.0.1:{port}"}}]\n'
                'admin: {bind: "127.0.0.1:0"}\n'
                "services: {shop: {versions: {stable: {endpoints: "
                f'["{backend.endpoint}"]}}}}}}}}\n'
                f"routes: [{{service: shop}}]\n{limits}\n"
            )
            command = [sys.executable, "-m", "proxy", f"--config={file}", "--workers=1"]
            child = await children.start(
                "proxy",
                ["/bin/sh", "-c", 'ulimit -n 256 && exec "$@"', "sh", *command],
                {**os.environ, "PYTHONPATH": str(ROOT)},
            )
            await said(child, "serving on")
            assert await served(port)
            pid = child.process.pid
            loop = asyncio.get_running_loop()
            with contextlib.ExitStack() as stack:
                for _ in range(CROWD):
                    sock = stack.enter_context(socket.socket())
                    sock.setblocking(False)
                    await loop.sock_connect(sock, ("127.0.0.1", port))
                before = cpu_seconds(pid)
                await asyncio.sleep(2)
                assert cpu_seconds(pid) - before < CPU_S
                assert child.process.returncode is None
            await until("the next client is served", lambda: served(port), SOON_S)
            before = cpu_seconds(pid)
            await asyncio.sleep(1)
            assert cpu_seconds(pid) - before < CPU_S / 2
            assert "Traceback" not in child.log.read_text()

    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2 * CROWD:
        pytest.skip("too few descriptors for the crowd itself")
    run(test)
