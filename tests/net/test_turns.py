"""Who was answered before goes first; whoever waits loses nothing by it."""

import asyncio

import pytest

from proxy.net.downstream import LATE_BYTES
from proxy.net.turns import MOST, Turns
from tests.support.raw_backend import OK, RawBackend, Visit, replying
from tests.support.raw_client import RawClient, get, post
from tests.support.running import Running, config_for, eventually, run
from tests.support.tunnels import SWITCHED, upgrade

MANY = 8 * MOST


class Waiter:
    def __init__(self, seen: list["Waiter"], *, fails: bool = False) -> None:
        self._seen = seen
        self._fails = fails

    def on_turn(self) -> None:
        self._seen.append(self)
        if self._fails:
            raise ValueError("at its turn")


def test_a_turn_has_room_for_so_many_and_the_next_for_as_many_again() -> None:
    async def test() -> None:
        turns = Turns(asyncio.get_running_loop())
        for _ in range(2):
            assert [turns.take() for _ in range(MOST + 3)] == [True] * MOST + [False] * 3
            await asyncio.sleep(0.005)

    run(test)


def test_who_waits_comes_in_order_and_before_whoever_comes_later() -> None:
    async def test() -> None:
        seen: list[Waiter] = []
        turns = Turns(asyncio.get_running_loop())
        waiters = [Waiter(seen) for _ in range(2 * MOST + 1)]
        for waiter in waiters:
            turns.wait(waiter)
        for most in (MOST, 2 * MOST, 2 * MOST + 1):
            assert not turns.take()
            await asyncio.sleep(0)
            await eventually(lambda most=most: len(seen) >= most)  # type: ignore[misc]
        assert seen == waiters
        await asyncio.sleep(0.005)
        assert turns.take()

    run(test)


def test_one_that_fails_does_not_stop_the_others() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        failures: list[object] = []
        loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))
        seen: list[Waiter] = []
        turns = Turns(loop)
        waiters = [Waiter(seen, fails=number % 2 == 0) for number in range(MOST + 2)]
        for waiter in waiters:
            turns.wait(waiter)
        await eventually(lambda: len(seen) == len(waiters))
        assert len(failures) == len(waiters) // 2

    run(test)


def waits(running: Running) -> int:
    return sum(1 for connection in running.plane.connections if connection._late)


async def at_once(running: Running, payload: bytes) -> list[RawClient]:
    """New connections, all of which have sent before the proxy reads one of them."""
    clients = [RawClient(running.where) for _ in range(MANY)]
    for client in clients:
        await client.__aenter__()
    await eventually(lambda: len(running.plane.connections) >= MANY)
    for client in clients:
        client.write(payload)
    return clients


@pytest.mark.parametrize(
    "payload",
    [
        get("/"),
        get("/") + get("/second"),
        post(b"x" * 100),
        post(b"x" * (2 * LATE_BYTES)),
        get("/", "X-Long: " + "x" * 5_000),
    ],
)
def test_new_connections_that_come_together_are_all_answered(payload: bytes) -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config_for(backend.endpoint)) as running,
        ):
            clients = await at_once(running, payload)
            waited = 0
            while not waited and len(backend.visits) < MANY:
                waited = waits(running)
                await asyncio.sleep(0)
            assert waited or len(payload) > LATE_BYTES
            for client in clients:
                for _ in range(payload.count(b" HTTP/1.1\r\n")):
                    assert (await client.answer()).status == 200
                await client.__aexit__()
            await eventually(lambda: running.plane.load.held_bytes == 0)

    run(test)


def test_a_request_that_waits_is_answered_though_its_client_sends_no_more() -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config_for(backend.endpoint)) as running,
        ):
            clients = await at_once(running, get("/"))
            for client in clients:
                client.finish()
            for client in clients:
                assert (await client.answer()).status == 200
                assert await client.rest() == b""
                await client.__aexit__()

    run(test)


def test_pieces_of_bodies_that_wait_arrive_whole_and_in_order() -> None:
    body = bytes(range(256))

    async def script(visit: Visit) -> None:
        await visit.head()
        assert (await visit.until(body[-8:])).endswith(body)
        await visit.send(OK)

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
        ):
            raw = post(body)
            head, pieces = raw[: -len(body)], [body[at : at + 8] for at in range(0, 256, 8)]
            clients = await at_once(running, head)
            for piece in pieces:
                for client in clients:
                    client.write(piece)
                await asyncio.sleep(0)
            for client in clients:
                assert (await client.answer()).status == 200
                await client.__aexit__()

    run(test)


def test_early_bytes_of_a_tunnel_that_wait_are_passed_on() -> None:
    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(SWITCHED)
        await visit.send(await visit.until(b"early"))
        await visit.end()

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
        ):
            clients = await at_once(running, upgrade())
            for client in clients:
                client.write(b"early")
            for client in clients:
                assert b" 101 " in await client.head()
                assert await client.until(b"early") == b"early"
                await client.__aexit__()

    run(test)


def test_who_leaves_while_it_waits_is_forgotten() -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config_for(backend.endpoint)) as running,
        ):
            clients = await at_once(running, get("/"))
            for client in clients:
                client.reset()
            await eventually(lambda: not running.plane.connections and not running.plane._tasks)
            assert not running.plane.load.held_bytes

    run(test)
