"""The data plane of one process: revisions, draining, nothing left behind."""

import asyncio

import pytest

from proxy.model.config import Config, Listener, Route, traffic_of
from proxy.model.errors import ConfigError
from proxy.model.wire import Snapshot, SplitTable
from proxy.net import plane as plane_module
from tests.support.raw_backend import OK, RawBackend, Script, Visit, replying, said
from tests.support.raw_client import RawClient, get, post
from tests.support.running import Running, config_for, eventually, run


def gated(gate: asyncio.Event, body: bytes = b"ok") -> Script:
    """Answers each request when the gate is open."""

    async def script(visit: Visit) -> None:
        while True:
            await visit.head()
            await gate.wait()
            await visit.send(said(body))

    return script


def test_a_request_in_hand_finishes_on_its_revision() -> None:
    gate = asyncio.Event()

    async def test() -> None:
        async with (
            RawBackend(gated(gate, b"old")) as old,
            RawBackend(replying(said(b"new"))) as new,
            Running(config_for(old.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            gate.set()
            assert (await client.ask(get())).body == b"old"
            gate.clear()
            client.write(get("/1") + get("/2"))
            await eventually(lambda: b"GET /1" in old.visits[0].received)
            running.install(config_for(new.endpoint))
            gate.set()
            assert (await client.answer()).body == b"old"
            assert (await client.answer()).body == b"new"
            await eventually(lambda: b"GET /2" not in old.visits[0].received)
            assert len(old.visits) == len(new.visits) == 1
            assert list(running.plane._pools) == [new.endpoint]

    run(test)


def test_pools_of_endpoints_that_stay_are_kept() -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            for _ in range(5):
                assert (await client.ask(get())).body == b"ok"
                running.install(config_for(backend.endpoint))
            assert running.plane.runtime.revision == 6
            assert len(backend.visits) == 1

    run(test)


def test_a_refused_revision_changes_nothing() -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            plane = running.plane
            before = plane.runtime
            good = config_for(backend.endpoint)
            bad = Config(services=good.services, routes=(Route(service="nobody"),))
            with pytest.raises(ConfigError):
                running.install(bad)
            broken = Snapshot(
                revision=9,
                traffic=traffic_of(good),
                tables={"shop": SplitTable(versions=("x",), runs=(0, 10_000))},
            )
            with pytest.raises(ConfigError):
                plane.install(good, broken)
            assert plane.runtime is before
            assert (await client.ask(get())).body == b"ok"

    run(test)


def test_trusted_proxies_and_the_debug_header() -> None:
    async def test() -> None:
        async def script(visit: Visit) -> None:
            while True:
                await visit.send(said(await visit.head()))

        async with RawBackend(script) as backend:
            config = config_for(
                backend.endpoint, trusted_proxies=("127.0.0.0/8",), debug_header=True
            )
            async with Running(config) as running, RawClient(running.where) as client:
                answer = await client.ask(get("/", "X-Forwarded-For: 6.6.6.6"))
                assert b"X-Forwarded-For: 6.6.6.6\r\n" in answer.body
                assert b"X-Forwarded-For: 127.0.0.1\r\n" in answer.body
                said_so = answer.head.header(b"x-splitway-decision") or b""
                assert b"revision=1; route=0; service=shop; version=stable;" in said_so
                assert backend.endpoint.encode() in said_so

    run(test)


def test_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plane_module, "DRAIN_IDLE_S", 0.1)
    monkeypatch.setattr(plane_module, "DRAIN_TICK_S", 0.01)
    gate = asyncio.Event()

    async def test() -> None:
        async with (
            RawBackend(gated(gate)) as backend,
            Running(config_for(backend.endpoint, path="/yes")) as running,
            RawClient(running.where) as busy,
            RawClient(running.where) as idle,
            RawClient(running.where) as asking,
            RawClient(running.where) as unrouted,
        ):
            assert (await idle.ask(get("/no"))).head.reusable
            busy.write(get("/yes"))
            await eventually(lambda: len(running.plane.connections) == 4)
            await eventually(lambda: bool(backend.visits and backend.visits[0].received))
            draining = asyncio.ensure_future(running.plane.drain(10))
            await eventually(lambda: running.plane.draining)
            assert not (await unrouted.ask(get("/no"))).head.reusable
            asking.write(get("/yes"))
            with pytest.raises(EOFError):
                await idle.more()
            with pytest.raises(ConnectionError):
                async with RawClient(running.where):
                    pass
            assert not draining.done()
            gate.set()
            for client in (busy, asking):
                answer = await client.answer()
                assert (answer.body, answer.head.reusable) == (b"ok", False)
                with pytest.raises(EOFError):
                    await client.more()
            assert await draining
            await running.counted({"GET 200": 2})

    run(test)


def test_what_does_not_finish_is_cut_at_the_deadline() -> None:
    async def test() -> None:
        async with (
            RawBackend(gated(asyncio.Event())) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            client.write(get())
            await eventually(lambda: bool(backend.visits and backend.visits[0].received))
            assert not await running.plane.drain(0.1)
            with pytest.raises((EOFError, ConnectionError)):
                await client.more()
            assert (await running.counted({"GET 499": 1})).attempts == {"client_gone": 1}

    run(test)


def test_everything_started_is_finished_and_nothing_is_left_behind() -> None:
    """Good, broken and cut requests side by side; the counters and the loop's tasks agree."""

    async def script(visit: Visit) -> None:
        while True:
            path = (await visit.head()).split(b" ")[1]
            if path == b"/reset":
                visit.reset()
                return
            if path == b"/half":
                await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
                return
            await visit.send(said(path))

    async def one(running: Running, number: int) -> None:
        kind = ("/fine", "/reset", "/half", "leave", "bad")[number % 5]
        async with RawClient(running.where) as client:
            if kind == "leave":
                client.write(get("/fine", "Content-Length: 5", method="POST"))
                await client.send(b"x")
                client.reset()
            elif kind == "bad":
                assert (await client.ask(b"bad\r\n\r\n")).status == 400
            elif kind == "/half":
                with pytest.raises((EOFError, ConnectionError)):
                    await client.ask(get(kind))
            else:
                assert (await client.ask(get(kind))).status == (200 if kind == "/fine" else 502)

    async def test() -> None:
        before = asyncio.all_tasks()
        async with RawBackend(script) as backend, Running(config_for(backend.endpoint)) as running:
            await asyncio.gather(*(one(running, number) for number in range(200)))
            await eventually(lambda: not running.plane.connections)
            counts = running.counts()
            assert counts.in_flight == 0
            assert counts.requests["GET 200"] == 80
            # A reset on a kept connection is repeated once, on a fresh one it is not.
            assert counts.requests["GET 502"] == 40
            assert sum(counts.requests.values()) == sum(counts.assignments.values())
            assert running.counts("", "").requests == {"OTHER 400": 40}
        await eventually(lambda: asyncio.all_tasks() == before)

    run(test)


def test_an_error_of_our_own_is_logged_and_does_not_stop_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken() -> None:
        raise RuntimeError("ours")

    async def test() -> None:
        async with Running(config_for("http://127.0.0.1:1")) as running:
            task = running.plane.spawn(broken())
            await asyncio.wait((task,))
            await eventually(lambda: not running.plane._tasks)

    run(test)
    assert "a request failed inside the proxy" in caplog.text


def test_request_ids_differ() -> None:
    async def test() -> None:
        async with (
            Running(config_for("http://127.0.0.1:1", path="/x")) as running,
            RawClient(running.where) as client,
        ):
            ids = {(await client.ask(post(b""))).head.header(b"x-request-id") for _ in range(50)}
            assert len(ids) == 50
            assert None not in ids

    run(test)


def test_listeners_are_not_the_planes_business() -> None:
    """The same traffic under another process's listeners is the same revision."""

    async def test() -> None:
        async with Running(config_for("http://127.0.0.1:1")) as running:
            config = config_for(
                "http://127.0.0.1:1", listeners=(Listener(name="other", bind="127.0.0.1:1"),)
            )
            running.install(config)
            assert running.plane.runtime.revision == 2

    run(test)
