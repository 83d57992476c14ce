"""Heads and bodies made to be expensive: how they are answered, how long the loop stands still.

A heartbeat in the same loop measures the longest stall. It counts this test's own client, too, so
the bound is generous: it shows what is quadratic, not what is slow. The real figure is measured on
two processes by ``python -m loadtests.slow``.
"""

import asyncio
from types import TracebackType
from typing import Self

import pytest

from tests.support.raw_backend import OK, RawBackend, replying
from tests.support.raw_client import RawClient, get
from tests.support.running import Running, config_for, eventually, run

BOUND_S = 1.0
BEAT_S = 0.001
TINY = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"


class Heartbeat:
    """The longest time in which the loop called nobody else."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._handle: asyncio.TimerHandle
        self.longest_s = 0.0

    async def __aenter__(self) -> Self:
        self._last = self._loop.time()
        self._handle = self._loop.call_later(BEAT_S, self._beat)
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._handle.cancel()
        if error is None:
            stall_s = max(self.longest_s, self._loop.time() - self._last)
            assert stall_s < BOUND_S, f"the loop stood still for {stall_s * 1_000:.0f} ms"

    def _beat(self) -> None:
        now = self._loop.time()
        self.longest_s = max(self.longest_s, now - self._last)
        self._last = now
        self._handle = self._loop.call_later(BEAT_S, self._beat)


def test_the_heartbeat_sees_a_stall() -> None:
    async def test() -> None:
        heartbeat = Heartbeat()
        await heartbeat.__aenter__()
        until = asyncio.get_running_loop().time() + BOUND_S + 0.05
        while asyncio.get_running_loop().time() < until:
            pass
        with pytest.raises(AssertionError, match="stood still for"):
            await heartbeat.__aexit__(None, None, None)

    run(test)


CHUNKED = "Transfer-Encoding: chunked"
REFUSED = [
    ("one field of 64 KB", get("/", "X-Fill: " + "x" * 65_536), 431),
    ("64 KB of fields", get("/", *(f"X-{number}: {'y' * 900}" for number in range(80))), 431),
    ("64 KB without an end", get("/", "X-Fill: " + "x" * 200_000)[:-4], 431),
    ("10,000 fields", get("/", *["a: b"] * 10_000), 431),
    ("10,000 fields of one name", get("/", *["x-forwarded-for: 1"] * 10_000), 431),
    ("10,000 options", get("/", "Connection: " + "a," * 40_000), 431),
    ("a target of 100 KB", get("/" + "t" * 100_000), 414),
    ("a target of 100 KB without an end", get("/" + "t" * 100_000)[:100_000], 414),
    ("a target of 10 KB", get("/" + "/../%2f" * 1_500), 414),
    ("a method of 64 KB", b"M" * 70_000 + b" / HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    ("a chunk extension of 1 MB",
     get("/", CHUNKED, method="POST") + b"1;" + b"e" * 1_000_000 + b"\r\na\r\n0\r\n\r\n", 400),
    ("1 MB of zeros ahead of a size",
     get("/", CHUNKED, method="POST") + b"0" * 1_000_000 + b"1\r\na\r\n0\r\n\r\n", 400),
    ("trailers of 1 MB",
     get("/", CHUNKED, method="POST") + b"0\r\n" + b"X-T: y\r\n" * 125_000 + b"\r\n", 400),
    ("a trailer of 1 MB",
     get("/", CHUNKED, method="POST") + b"0\r\nX-T: " + b"y" * 1_000_000 + b"\r\n\r\n", 400),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "status"), [case[1:] for case in REFUSED],
                         ids=[case[0] for case in REFUSED])  # fmt: skip
@pytest.mark.parametrize("routed", [True, False])
def test_what_is_too_much_is_refused_before_anyone_hears_of_it(
    raw: bytes, status: int, routed: bool
) -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config_for(backend.endpoint, path=None if routed else "/never")) as running,
            RawClient(running.where) as client,
            Heartbeat(),
        ):
            client.write(raw)
            answer = await client.answer()
            assert answer.status in ((status,) if routed or status != 400 else (400, 404))
            assert not answer.head.reusable
            assert backend.visits == []

    run(test)


def test_a_head_of_64_kb_byte_by_byte() -> None:
    """Quadratic work would be 2 GB looked through."""
    raw = get("/", "X-Fill: " + "x" * 70_000)

    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            answered = asyncio.ensure_future(client.answer())
            async with Heartbeat():
                for byte in raw:
                    client.write(bytes((byte,)))
                    await asyncio.sleep(0)
                    if answered.done():
                        break
                assert (await answered).status == 431
            assert backend.visits == []

    run(test)


@pytest.mark.parametrize("piece", [1, 100])
def test_a_chunk_extension_in_small_pieces(piece: int) -> None:
    """The request is the endpoint's by then, but no end of its body is."""

    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
            Heartbeat(),
        ):
            answered = asyncio.ensure_future(client.answer())
            client.write(get("/", CHUNKED, method="PUT") + b"1;")
            sent = 0
            while not answered.done() and sent < 1_000_000:
                client.write(b"e" * piece)
                sent += piece
                await asyncio.sleep(0)
            answer = await answered
            assert sent < 1_000_000  # cut long before
            # The endpoint may have answered its head already; the client is told or cut.
            assert answer.status in (200, 400)
            assert all(b"eee" not in visit.received for visit in backend.visits)

    run(test)


@pytest.mark.parametrize(("path", "status"), [(b"yes", 200), (b"no", 404)])
def test_ten_thousand_tiny_requests_in_one_write(path: bytes, status: int) -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config_for(backend.endpoint, path="/yes")) as running,
            RawClient(running.where) as client,
            Heartbeat(),
        ):
            client.write(TINY % path * 10_000)
            codes = {(await client.answer()).status for _ in range(10_000)}
            assert codes == {status}
            assert len(backend.visits) == (1 if status == 200 else 0)

    run(test)


def test_others_have_their_turn_between_pipelined_requests() -> None:
    """The flood comes in one read; it must not be answered in one go."""

    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config_for(backend.endpoint, path="/yes")) as running,
            RawClient(running.where) as flood,
            RawClient(running.where) as good,
        ):
            flood.write(TINY % b"no" * 10_000)
            answered = asyncio.ensure_future(good.ask(get("/yes")))
            await eventually(lambda: bool(running.counts("", "").requests))
            assert (await answered).status == 200
            assert sum(running.counts("", "").requests.values()) < 5_000
            for _ in range(10_000):
                assert (await flood.answer()).status == 404

    run(test)


def test_a_good_client_is_served_between_expensive_ones() -> None:
    async def attack(running: Running, raw: bytes, status: int) -> None:
        for _ in range(5):
            async with RawClient(running.where) as client:
                client.write(raw)
                assert (await client.answer()).status == status

    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as good,
            Heartbeat(),
        ):
            attacks = [asyncio.ensure_future(attack(running, raw, status))
                       for _, raw, status in REFUSED]  # fmt: skip
            while not all(work.done() for work in attacks):
                assert (await good.ask(get())).status == 200
            for work in attacks:
                await work
            assert len(backend.visits) == 1  # the good client's

    run(test)
