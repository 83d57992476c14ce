"""Whole messages leave at the end of a turn, in order, and none is lost or taken for another's."""

import asyncio
from collections.abc import Callable

import pytest

from proxy.net.outbox import LARGE_BYTES, MOST, MOST_BYTES, Outbox
from tests.support.raw_backend import OK, RawBackend, replying, said
from tests.support.raw_client import RawClient, get, post
from tests.support.running import Running, config_for, run
from tests.support.wire import Memory, Wire

NO_ROUTE = "/elsewhere"
EVIL = said(b"evil")


class Noting:
    """Notes that it was flushed."""

    def __init__(self, seen: list["Noting"], *, fails: bool = False) -> None:
        self._seen = seen
        self._fails = fails
        self.transport: asyncio.Transport = Wire()

    def flush(self) -> None:
        self._seen.append(self)
        if self._fails:
            raise ValueError("cannot be sent")


def test_a_turn_is_sent_at_its_end_in_order() -> None:
    async def test() -> None:
        outbox = Outbox(asyncio.get_running_loop())
        seen: list[Noting] = []
        senders = [Noting(seen) for _ in range(3)]
        for sender in senders:
            outbox.add(sender)
        assert seen == []
        await asyncio.sleep(0)
        assert seen == senders
        outbox.add(senders[0])  # another turn
        await asyncio.sleep(0)
        assert seen == [*senders, senders[0]]

    run(test)


def test_many_do_not_wait_for_the_end() -> None:
    async def test() -> None:
        outbox = Outbox(asyncio.get_running_loop())
        seen: list[Noting] = []
        senders = [Noting(seen) for _ in range(MOST + 1)]
        for sender in senders:
            outbox.add(sender)
        assert seen == senders[:MOST]
        await asyncio.sleep(0)
        assert seen == senders

    run(test)


def test_while_other_work_waits_everything_is_sent_at_once() -> None:
    async def test() -> None:
        outbox = Outbox(asyncio.get_running_loop())
        seen: list[Noting] = []
        senders = [Noting(seen) for _ in range(3)]
        outbox.add(senders[0])
        outbox.hurry()
        assert seen == senders[:1]
        outbox.add(senders[1])
        assert seen == senders[:2]
        outbox.hurry()
        await asyncio.sleep(0)
        outbox.add(senders[2])
        assert seen == senders[:2]
        await asyncio.sleep(0)
        assert seen == senders

    run(test)


def test_one_that_fails_is_cut_and_the_others_are_sent() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        said_of: list[BaseException] = []
        loop.set_exception_handler(lambda _, context: said_of.append(context["exception"]))
        outbox = Outbox(loop)
        seen: list[Noting] = []
        bad, good = Noting(seen, fails=True), Noting(seen)
        outbox.add(bad)
        outbox.add(good)
        await asyncio.sleep(0)
        assert seen == [bad, good]
        assert bad.transport.is_closing()
        assert not good.transport.is_closing()
        assert [str(error) for error in said_of] == ["cannot be sent"]

    run(test)


# Connections without sockets: exactly what is there within one turn.


class Turn:
    """A plane with one endpoint, to which one connection has served already; turns end when told.

    Attributes:
        asked: the connection to the endpoint.
    """

    def __init__(self, running: Running) -> None:
        self.memory = Memory(running.plane, lambda _memory, _wire: False)
        self.plane = running.plane
        wire = self.memory.connect()
        wire.protocol.data_received(b"")
        self.give(wire, get("/"))
        self.memory.flush()
        (self.asked,) = self.memory.endpoints
        self.memory.hear(self.asked, OK)
        self.asked.out.clear()
        wire.out.clear()
        self.wire = wire

    def give(self, wire: Wire, data: bytes) -> None:
        """Bytes of a client. The turn goes on."""
        self.memory._stock()
        wire.protocol.data_received(data)

    def hear(self, data: bytes) -> None:
        """Bytes of the endpoint. The turn goes on."""
        self.asked.protocol.data_received(data)

    def over(self) -> None:
        """The end of the turn."""
        self.memory.flush()


def in_turns(test: Callable[[Turn], None]) -> None:
    async def whole() -> None:
        async with Running(config_for("http://127.0.0.1:1", path="/")) as running:
            turn = Turn(running)
            test(turn)
            for connection in list(turn.plane.connections):
                connection.connection_lost(None)
            turn.memory.clear()
            assert not turn.plane.load.held_bytes

    run(whole)


def test_a_request_and_its_answer_leave_at_the_end_of_their_turns() -> None:
    def test(turn: Turn) -> None:
        turn.give(turn.wire, get("/a"))
        assert turn.asked.out == b""
        turn.over()
        assert turn.asked.out.startswith(b"GET /a ")
        turn.hear(said(b"a"))
        assert turn.wire.out == b""
        turn.over()
        assert turn.wire.out.endswith(b"\r\n\r\na")

    in_turns(test)


def test_what_is_large_leaves_at_once() -> None:
    def test(turn: Turn) -> None:
        turn.give(turn.wire, post(b"x" * MOST_BYTES))
        assert turn.asked.out.endswith(b"x" * MOST_BYTES)
        turn.hear(said(b"y" * MOST_BYTES))
        assert turn.wire.out.endswith(b"y" * MOST_BYTES)

    in_turns(test)


def test_a_body_that_is_not_whole_leaves_at_once_and_in_order() -> None:
    def test(turn: Turn) -> None:
        whole = post(b"0123456789")
        turn.give(turn.wire, whole[:-5])
        turn.give(turn.wire, whole[-5:])
        assert turn.asked.out.endswith(b"\r\n\r\n0123456789")

    in_turns(test)


def test_answers_on_one_connection_keep_their_order() -> None:
    def test(turn: Turn) -> None:
        turn.give(turn.wire, get("/1") + b"GET http://%\r\n\r\n")
        turn.over()
        turn.hear(said(b"one"))  # the proxy refuses what is behind it in the same turn
        turn.over()
        assert turn.wire.out.startswith(b"HTTP/1.1 200 ")
        assert turn.wire.out.index(b"\r\n\r\none") < turn.wire.out.index(b"HTTP/1.1 400 ")

    in_turns(test)


def test_an_answer_is_not_lost_to_the_end_of_the_clients_bytes() -> None:
    def test(turn: Turn) -> None:
        turn.give(turn.wire, get("/a"))
        turn.over()
        turn.hear(said(b"a"))
        assert not turn.wire.protocol.eof_received()  # it has no more to ask: to be closed
        assert turn.wire.out.endswith(b"\r\n\r\na")

    in_turns(test)


def test_a_last_answer_is_sent_and_then_the_connection_is_closed() -> None:
    def test(turn: Turn) -> None:
        turn.give(turn.wire, get("/a", "Connection: close"))
        turn.over()
        turn.hear(said(b"a"))
        assert not bool(turn.wire.closed)
        assert turn.wire.paused  # what still comes is nobody's
        turn.over()
        assert turn.wire.out.endswith(b"\r\n\r\na")
        assert turn.wire.closed
        assert not turn.wire.aborted

    in_turns(test)


def test_an_answer_ahead_of_its_request_reaches_nobody() -> None:
    """Bytes on a kept connection before the request was sent are no answer to it."""

    def test(turn: Turn) -> None:
        turn.give(turn.wire, get("/a"))
        turn.hear(EVIL)
        turn.over()
        assert turn.asked.aborted
        assert turn.asked.out == b""
        assert b"evil" not in turn.wire.out

    in_turns(test)


@pytest.mark.parametrize("request_", [get("/a"), post(b"abc")])
@pytest.mark.parametrize("cut", [b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"])
def test_a_connection_lost_before_the_request_was_sent_costs_nothing(
    cut: bytes, request_: bytes
) -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(said(b"new"))) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            memory = Memory(running.plane, lambda _memory, _wire: False)
            memory._stock()
            (stale,) = memory.endpoints
            stale.protocol.served = 1
            (connection,) = running.plane.connections
            connection.data_received(request_)
            if cut:
                stale.protocol.data_received(cut)
            else:
                stale.protocol.eof_received()
            answer = await client.answer()
            assert (answer.status, answer.body) == (200, b"new")
            assert stale.out == b""
            memory.clear()

    run(test)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_that_was_sent_is_repeated_only_if_it_may_be(method: str) -> None:
    def test(turn: Turn) -> None:
        turn.give(turn.wire, get("/a", method=method))
        turn.over()
        (connection,) = turn.plane.connections
        exchange = connection._exchange
        assert exchange is not None
        assert exchange._whole is (method == "GET")
        turn.hear(OK)

    in_turns(test)


def test_the_end_of_the_proxy_sends_what_waits() -> None:
    async def test() -> None:
        async with Running(config_for("http://127.0.0.1:1", path="/")) as running:
            turn = Turn(running)
            turn.give(turn.wire, get("/a"))
            turn.over()
            turn.hear(said(b"a"))
            await running.plane.close()
            assert turn.wire.out.endswith(b"\r\n\r\na")
            turn.wire.settle()
            turn.memory.clear()

    run(test)


def test_a_large_piece_of_a_body_does_not_overtake_what_waits() -> None:
    def test(turn: Turn) -> None:
        def arrived(path: bytes) -> bool:
            return any(b"GET %b " % path in wire.out for wire in turn.memory.endpoints)

        def kept() -> None:
            turn.memory._stock()
            turn.memory.endpoints[-1].protocol.served = 1  # on a new one nothing waits

        turn.give(turn.memory.connect(), get("/big"))
        turn.over()
        big = next(wire for wire in turn.memory.endpoints if b"/big" in wire.out)
        kept()
        turn.give(turn.wire, get("/a"))
        assert not arrived(b"/a")
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
        big.protocol.data_received(head + b"x" * LARGE_BYTES)
        assert arrived(b"/a")
        kept()
        turn.give(turn.memory.connect(), get("/small"))
        assert not arrived(b"/small")
        turn.give(turn.memory.connect(), post(b"y" * LARGE_BYTES))
        assert arrived(b"/small")

    in_turns(test)


def test_a_client_that_leaves_in_its_turn_costs_the_endpoint_nothing() -> None:
    def test(turn: Turn) -> None:
        turn.give(turn.wire, get("/a"))
        turn.wire.abort()
        turn.wire.settle()
        turn.over()
        assert turn.asked.out == b""

    in_turns(test)


def test_a_crowd_that_waits_does_not_keep_what_is_ready_waiting() -> None:
    def test(turn: Turn) -> None:
        turn.give(turn.wire, get("/a"))
        turn.plane.turns._most = 0
        turn.give(turn.memory.connect(), get("/b"))
        assert turn.asked.out.startswith(b"GET /a ")

    in_turns(test)
