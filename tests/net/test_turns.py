"""Who was answered before goes first; whoever waits loses nothing by it, and gains nothing."""

import asyncio
import re
import time
from collections.abc import Callable

import pytest

from proxy.model.config import Downstream, Limits
from proxy.net.downstream import WAIT_BYTES, DownstreamConnection
from proxy.net.plane import Plane
from proxy.net.turns import MOST, TURN_S, Turns
from tests.support.raw_backend import OK, RawBackend, Script, Visit, replying, said
from tests.support.raw_client import RawClient, get, post
from tests.support.running import Running, config_for, eventually, run
from tests.support.tunnels import SWITCHED, upgrade
from tests.support.wire import Memory, Wire

MANY = 2 * MOST


class Clock:
    """Moves when it is told to."""

    def __init__(self) -> None:
        self.now = 7.0

    def __call__(self) -> float:
        return self.now


class Waiter:
    """Notes that it had its turn, which takes ``seconds`` of a clock."""

    def __init__(
        self,
        seen: list["Waiter"],
        *,
        clock: Clock | None = None,
        seconds: float = 0.0,
        fails: bool = False,
    ) -> None:
        self._seen = seen
        self._clock = clock or Clock()
        self._seconds = seconds
        self._fails = fails
        self.transport: asyncio.Transport = Wire()

    def on_turn(self) -> None:
        self._seen.append(self)
        self._clock.now += self._seconds
        if self._fails:
            raise ValueError("at its turn")


class Crowd:
    """Keeps every turn full until it leaves: whatever may wait, waits for one turn."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.transport: asyncio.Transport = Wire()
        self.stays = True
        for body in (False, True):
            turns.wait(self, body=body)

    def on_turn(self) -> None:
        if self.stays:
            for body, waiting in ((False, self._turns._heads), (True, self._turns._bodies)):
                if self not in waiting:
                    self._turns.wait(self, body=body)


def waiting(plane: Plane) -> int:
    return sum(1 for connection in plane.connections if connection._waits)


# The turns themselves.


def test_a_turn_has_room_for_so_many_and_the_next_for_as_many_again() -> None:
    async def test() -> None:
        turns = Turns(asyncio.get_running_loop())
        for _ in range(3):
            taken = []
            for _ in range(MOST + 3):
                taken.append(turns.take(body=True))
                time.sleep(0.001)  # noqa: ASYNC251 a turn may take long, and is one all the same
            assert taken == [True] * MOST + [False] * 3
            await eventually(lambda: not turns._spent)

    run(test)


def test_who_waits_comes_in_order_and_before_whoever_comes_later() -> None:
    async def test() -> None:
        seen: list[Waiter] = []
        clock = Clock()
        turns = Turns(asyncio.get_running_loop(), clock=clock)
        waiters = [Waiter(seen, clock=clock, seconds=TURN_S) for _ in range(5)]
        for waiter in waiters:
            turns.wait(waiter, body=True)
        for count in range(1, 6):
            assert not turns.take(body=True)
            turns._next()
            assert seen == waiters[:count]
        assert turns.take(body=True)

    run(test)


@pytest.mark.parametrize(
    ("others_s", "count"), [(0.0, 4), (4 * TURN_S, 4), (16 * TURN_S, 8), (400 * TURN_S, 200)]
)
def test_who_waits_has_a_part_of_the_time_of_all_others(others_s: float, count: int) -> None:
    async def test() -> None:
        seen: list[Waiter] = []
        clock = Clock()
        turns = Turns(asyncio.get_running_loop(), clock=clock)
        for _ in range(1_000):
            # A trifle more than a quarter, or rounded sums would leave room for one more.
            turns.wait(Waiter(seen, clock=clock, seconds=TURN_S / 4 * 1.000_001), body=True)
        for times in (1, 2):
            clock.now += others_s
            turns._next()
            assert len(seen) == pytest.approx(times * count, abs=1)
        turns._bodies.clear()

    run(test)


def test_new_connections_and_bodies_take_turns() -> None:
    async def test() -> None:
        seen: list[Waiter] = []
        turns = Turns(asyncio.get_running_loop(), clock=Clock())
        bodies = [Waiter(seen) for _ in range(6)]
        for waiter in bodies[:4]:
            turns.wait(waiter, body=True)
        assert turns.take(body=False)
        assert not turns.take(body=True)
        heads = [Waiter(seen) for _ in range(3)]
        for waiter in heads:
            turns.wait(waiter, body=False)
        assert not turns.take(body=False)
        turns._next()
        assert seen == [
            heads[0], bodies[0], heads[1], bodies[1], heads[2], bodies[2], bodies[3],
        ]  # fmt: skip

    run(test)


def test_one_that_fails_is_cut_and_does_not_stop_the_others() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        failures: list[object] = []
        loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))
        seen: list[Waiter] = []
        turns = Turns(loop)
        waiters = [Waiter(seen, fails=number % 2 == 0) for number in range(MOST + 2)]
        for waiter in waiters:
            turns.wait(waiter, body=True)
        await eventually(lambda: len(seen) == len(waiters))
        assert len(failures) == len(waiters) // 2
        cut = [number for number, waiter in enumerate(waiters) if waiter.transport.is_closing()]
        assert cut == list(range(0, len(waiters), 2))

    run(test)


# On sockets, many at once.


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
        post(b"x" * (2 * WAIT_BYTES)),
        get("/", "X-Long: " + "x" * (WAIT_BYTES + 1)),
    ],
    ids=["one", "two", "body", "large-body", "large-head"],
)
def test_new_connections_that_come_together_are_all_answered(payload: bytes) -> None:
    async def script(visit: Visit) -> None:
        while True:
            head = await visit.head()
            if b"POST" in head:
                await visit.until(b"x" * (len(payload) - payload.index(b"x")))
            await visit.send(OK)

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
        ):
            clients = await at_once(running, payload)
            waited = 0
            while not waited and len(backend.visits) < MANY:
                waited = waiting(running.plane)
                await asyncio.sleep(0)
            assert bool(waited) == (len(payload) <= WAIT_BYTES)
            for client in clients:
                for _ in range(payload.count(b" HTTP/1.1\r\n")):
                    assert (await client.answer()).status == 200
                await client.__aexit__()
            await eventually(lambda: running.plane.load.held_bytes == 0)

    run(test)


def crowded(script: Script, test: Callable[[Running, RawBackend], object]) -> None:
    """Run ``test`` with a proxy in which whatever may wait does."""

    async def whole() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
        ):
            crowd = Crowd(running.plane.turns)
            await test(running, backend)  # type: ignore[misc]
            crowd.stays = False
            await eventually(lambda: not running.plane.load.held_bytes)

    run(whole)


def test_a_request_that_waits_is_answered_though_its_client_sends_no_more() -> None:
    async def test(running: Running, _: RawBackend) -> None:
        async with RawClient(running.where) as client:
            client.write(get("/") + get("/second"))
            client.finish()
            assert (await client.answer()).status == 200
            assert (await client.answer()).status == 200
            assert await client.rest() == b""

    crowded(replying(OK), test)


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


def test_early_bytes_of_a_tunnel_are_passed_on() -> None:
    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(SWITCHED)
        await visit.send(await visit.until(b"early"))
        await visit.end()

    async def test(running: Running, _: RawBackend) -> None:
        for together in (True, False):
            async with RawClient(running.where) as client:
                client.write(upgrade() + b"early" * together)
                if not together:
                    await eventually(lambda: not waiting(running.plane))
                    client.write(b"early")
                assert b" 101 " in await client.head()
                assert await client.until(b"early") == b"early"
        await eventually(lambda: not running.plane.connections)

    crowded(script, test)


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
            await eventually(lambda: not running.plane.load.held_bytes)

    run(test)


def test_a_connection_that_was_answered_never_waits() -> None:
    async def test(running: Running, _: RawBackend) -> None:
        async with RawClient(running.where) as client:
            await client.ask(get("/"))
            (connection,) = running.plane.connections
            for request in (get("/"), post(b"12345"), get("/")[:9]):
                connection.data_received(request)
                assert not connection._waits
            connection.data_received(get("/")[9:])

    async def script(visit: Visit) -> None:
        while True:
            head = await visit.head()
            if b"POST" in head:
                await visit.until(b"12345")
            await visit.send(OK)

    crowded(script, test)


def test_a_slow_head_is_cut_as_if_nothing_had_waited() -> None:
    """Its later pieces do not wait, or each of them would begin the head's time anew."""

    async def test() -> None:
        config = config_for("http://127.0.0.1:1", downstream=Downstream(head_s=0.4))
        async with Running(config) as running:
            crowd = Crowd(running.plane.turns)
            async with RawClient(running.where) as client:
                start = running.plane.loop.time()
                client.write(b"GET / HTTP/1.1\r\n")
                answer = asyncio.create_task(client.answer())
                while not answer.done():
                    client.write(b"X: 1\r\n")
                    await asyncio.wait([answer], timeout=0.05)
                assert (await answer).status == 408
                assert running.plane.loop.time() - start < 5
            crowd.stays = False

    run(test)


def test_what_waits_is_within_the_bound_of_what_is_held() -> None:
    async def test() -> None:
        async with RawBackend(replying(OK)) as backend:
            config = config_for(backend.endpoint, limits=Limits(held_bytes=65_536))
            async with Running(config) as running:
                running.plane.load.most_held_bytes = 2 * len(get("/"))
                crowd = Crowd(running.plane.turns)
                async with RawClient(running.where) as first, RawClient(running.where) as second:
                    await eventually(lambda: len(running.plane.connections) == 2)
                    one, other = running.plane.connections
                    one.data_received(get("/"))
                    other.data_received(get("/"))
                    assert (one._waits, other._waits) == (True, False)
                    for client in (first, second):
                        assert (await client.answer()).status == 200
                assert not any(running.plane.load.shed.values())
                crowd.stays = False

    run(test)


def test_a_drain_serves_what_waits() -> None:
    async def test(running: Running, _: RawBackend) -> None:
        async with RawClient(running.where) as client:
            await eventually(lambda: len(running.plane.connections) == 1)
            (connection,) = running.plane.connections
            connection.data_received(get("/"))
            assert connection._waits
            drained = asyncio.create_task(running.plane.drain(5))
            answer = await client.answer()
            assert (answer.status, answer.head.header(b"connection")) == (200, b"close")
            assert await drained

    crowded(replying(OK), test)


def test_a_plane_that_is_closed_forgets_what_waits() -> None:
    async def test(running: Running, _: RawBackend) -> None:
        async with RawClient(running.where), RawClient(running.where):
            await eventually(lambda: len(running.plane.connections) == 2)
            for connection in running.plane.connections:
                connection.data_received(get("/"))
            assert waiting(running.plane) == 2
            await running.plane.close()
            await eventually(lambda: not running.plane.connections)

    crowded(replying(OK), test)


# Without sockets: exactly when what comes.


class Room:
    """A plane with one endpoint that a test speaks for; whatever may wait waits."""

    def __init__(self, running: Running) -> None:
        self.memory = Memory(running.plane, lambda _memory, _wire: False)
        self.plane = running.plane
        self.plane.turns = Turns(self.plane.loop)
        self.crowd = Crowd(self.plane.turns)

    def connect(self) -> tuple[Wire, DownstreamConnection]:
        wire = self.memory.connect()
        return wire, wire.protocol

    def give(self, connection: DownstreamConnection, data: bytes) -> None:
        """Bytes of a client, at once."""
        self.memory._stock()
        connection.data_received(data)
        self.memory.flush()

    async def turn(self) -> None:
        """Everything that waits has had its turn."""
        self.memory._stock()
        seen: list[Waiter] = []
        self.plane.turns.wait(Waiter(seen), body=True)
        await eventually(lambda: bool(seen))
        self.memory.flush()

    def queued(self, connection: DownstreamConnection) -> int:
        """How often it is in the queues."""
        turns = self.plane.turns
        return (*turns._heads, *turns._bodies).count(connection)

    @property
    def arrived(self) -> bytes:
        """What endpoints got."""
        return b"".join(endpoint.out for endpoint in self.memory.endpoints)

    @property
    def endpoint(self) -> Wire:
        """The one that was asked."""
        (asked,) = (wire for wire in self.memory.endpoints if wire.out)
        return asked


def in_room(test: Callable[[Room], object]) -> None:
    async def whole() -> None:
        async with Running(config_for("http://127.0.0.1:1")) as running:
            room = Room(running)
            await test(room)  # type: ignore[misc]
            room.crowd.stays = False
            for connection in list(room.plane.connections):
                connection.connection_lost(None)
            room.memory.clear()
            assert not room.plane.load.held_bytes

    run(whole)


def test_what_comes_while_the_first_bytes_wait_is_behind_them() -> None:
    async def test(room: Room) -> None:
        wire, connection = room.connect()
        room.give(connection, get("/1") + get("/2")[:7])
        assert connection._waits
        assert wire.paused
        assert room.arrived == b""
        room.give(connection, get("/2")[7:])  # as if reading had not been paused
        assert b"GET /1 " in room.arrived
        assert b"GET /2 " not in room.arrived
        room.memory.hear(room.endpoint, OK)
        assert b"GET /2 " in room.arrived
        assert room.queued(connection) == 1
        await room.turn()
        assert wire.out.count(b"HTTP/1.1 200 OK") == 1
        assert room.arrived.count(b" HTTP/1.1\r\n") == 2

    in_room(test)


def test_a_turn_leaves_alone_what_waits_for_another_reason() -> None:
    """Requests behind one that is with its endpoint are not looked at from their beginning."""

    async def test(room: Room) -> None:
        _, connection = room.connect()
        room.give(connection, get("/1")[:5])
        room.give(connection, get("/1")[5:] + get("/2") + get("/3"))
        assert connection._part
        await room.turn()
        for number in (1, 2, 3):
            lines = re.findall(rb"GET /(\d) HTTP", room.arrived)
            assert lines == [b"%d" % each for each in range(1, number + 1)]
            asked = next(wire for wire in room.memory.endpoints if b"/%d " % number in wire.out)
            room.memory.hear(asked, OK)

    in_room(test)


def test_it_is_in_the_queue_once_however_often_it_waits() -> None:
    async def test(room: Room) -> None:
        _, connection = room.connect()
        for _ in range(50):
            room.give(connection, b"\r\n")  # nothing of a request yet
        assert room.queued(connection) == 1
        await room.turn()
        assert room.queued(connection) == 0

    in_room(test)


EVIL = get("/evil")
AHEAD = get("/", f"Content-Length: {2 * len(EVIL)}", method="POST")


async def uploading(room: Room) -> tuple[Wire, DownstreamConnection]:
    """A client whose request is with the endpoint, and a piece of whose body waits."""
    wire, connection = room.connect()
    room.give(connection, AHEAD)
    await room.turn()
    assert b"POST / " in room.arrived
    assert not bool(wire.paused)
    room.give(connection, EVIL)
    assert connection._waits
    assert bool(wire.paused)
    assert b"/evil" not in room.arrived
    return wire, connection


def test_a_piece_of_a_body_is_passed_on_at_its_turn() -> None:
    async def test(room: Room) -> None:
        wire, connection = await uploading(room)
        await room.turn()
        assert room.arrived.endswith(EVIL)
        assert not bool(wire.paused)
        room.give(connection, EVIL + get("/next"))
        await room.turn()
        assert room.arrived.endswith(EVIL + EVIL)
        assert wire.paused
        room.memory.hear(room.endpoint, OK)
        assert b"GET /next " in room.arrived

    in_room(test)


@pytest.mark.parametrize("answer", [OK, said(b"no", status=b"500 Oops")])
def test_an_answer_ahead_of_a_body_that_waits_makes_no_request_of_it(answer: bytes) -> None:
    async def test(room: Room) -> None:
        wire, connection = await uploading(room)
        room.memory.hear(room.endpoint, answer)
        assert b"Connection: close" in wire.out
        assert wire.ended
        assert not wire.paused  # what comes is thrown away
        await room.turn()
        room.give(connection, EVIL)
        await room.turn()
        assert b"/evil" not in room.arrived
        assert wire.out.count(b"HTTP/1.1 ") == 1

    in_room(test)


def test_a_cut_answer_ahead_of_a_body_that_waits_makes_no_request_of_it() -> None:
    async def test(room: Room) -> None:
        wire, connection = await uploading(room)
        room.memory.hear(room.endpoint, b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf")
        connection.truncate()
        assert wire.aborted
        await room.turn()
        assert b"/evil" not in room.arrived
        assert not connection._waits

    in_room(test)


def test_a_timeout_while_a_body_waits_is_the_proxys_own() -> None:
    """What came in time is looked at; what is late then is late."""

    async def test(room: Room) -> None:
        wire, connection = await uploading(room)
        connection._timed_out()
        assert room.arrived.endswith(EVIL)
        assert wire.out == b""
        assert not bool(wire.paused)
        connection._timed_out()
        assert b"HTTP/1.1 408 " in wire.out
        await room.turn()
        assert b"GET /evil" not in room.arrived.removesuffix(EVIL)
        assert wire.out.count(b"HTTP/1.1 ") == 1

    in_room(test)


def test_its_turn_does_not_open_what_the_endpoint_closed() -> None:
    """The endpoint takes no more: the client is not read from until it does."""

    async def test(room: Room) -> None:
        wire, connection = await uploading(room)
        connection.pause_request()
        await room.turn()
        assert room.arrived.endswith(EVIL)
        assert wire.paused
        connection.resume_request()
        assert not wire.paused

    in_room(test)


def test_what_the_endpoint_opens_does_not_end_the_wait() -> None:
    async def test(room: Room) -> None:
        wire, connection = await uploading(room)
        connection.pause_request()
        connection.resume_request()
        assert waiting(room.plane) == 1
        assert bool(wire.paused)
        assert b"/evil" not in room.arrived
        await room.turn()
        assert room.arrived.endswith(EVIL)
        assert not bool(wire.paused)

    in_room(test)


def test_an_end_while_a_body_waits_comes_behind_it() -> None:
    async def test(room: Room) -> None:
        wire, connection = room.connect()
        room.give(connection, post(b"whole"))
        room.memory._stock()
        assert connection.eof_received()
        assert room.arrived.endswith(b"whole")
        assert not wire.closed

    in_room(test)


def test_a_timeout_while_a_head_waits_is_the_proxys_own() -> None:
    async def test(room: Room) -> None:
        wire, connection = room.connect()
        room.give(connection, get("/"))
        connection._timed_out()
        assert b"GET / " in room.arrived
        assert wire.out == b""
        wire, connection = room.connect()
        room.give(connection, get("/late")[:-2])
        connection._timed_out()
        assert wire.out == b""
        connection._timed_out()
        assert b"HTTP/1.1 408 " in wire.out
        await room.turn()
        assert wire.out.count(b"HTTP/1.1 ") == 1
        assert b"/late" not in room.arrived

    in_room(test)
