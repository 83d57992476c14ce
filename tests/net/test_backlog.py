"""How late a reader is, on a transport that says what it was told to."""

import asyncio
from typing import cast

import pytest

from proxy.model.config import Downstream
from proxy.net.backlog import Backlog

LIMIT_S = 30.0
LEAST = 1_000


class Transport:
    """Without a socket, what waits is what the transport's buffer holds."""

    def __init__(self) -> None:
        self.waiting = 0

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def get_extra_info(self, _: str) -> None:
        return None


class Behind:
    """A backlog under the same limits throughout."""

    def __init__(self, transport: Transport, least: int) -> None:
        self._limits = Downstream(write_s=LIMIT_S, min_bytes_per_s=least)
        self._backlog = Backlog(cast("asyncio.WriteTransport", transport))

    def look(self, now: float) -> float:
        return self._backlog.look(now, self._limits)

    def reads_on(self, now: float) -> bool:
        return self._backlog.reads_on(now, self._limits)

    def caught_up(self, now: float) -> None:
        self._backlog.caught_up(now, self._limits)


def backlog(least: int = LEAST) -> tuple[Transport, Behind]:
    transport = Transport()
    return transport, Behind(transport, least)


def test_before_it_was_looked_at_nobody_is_late() -> None:
    transport, behind = backlog()
    transport.waiting = 5
    assert behind.reads_on(1_000.0)
    behind.caught_up(2_000.0)
    assert behind.look(2_000.0) == LIMIT_S


@pytest.mark.parametrize("least", [0, LEAST])
def test_who_reads_nothing_has_the_limit(least: int) -> None:
    transport, behind = backlog(least)
    transport.waiting = 100_000
    assert behind.look(10.0) == LIMIT_S
    assert not behind.reads_on(10.0 + LIMIT_S)


@pytest.mark.parametrize(("read", "reads_on"), [(1, True), (0, False), (-1, False)])
def test_without_a_least_rate_a_byte_is_enough(read: int, reads_on: bool) -> None:
    transport, behind = backlog(0)
    transport.waiting = 100_000
    behind.look(0.0)
    transport.waiting -= read
    assert behind.reads_on(LIMIT_S) is reads_on
    assert behind.look(LIMIT_S) == LIMIT_S


def test_pieces_that_are_each_in_time_are_late_together() -> None:
    """Half the least rate: twice the limit is reached with the limit's lateness."""
    transport, behind = backlog()
    now, pieces = 0.0, 0
    while behind.look(now) > 0.0:
        transport.waiting = 5_000
        behind.look(now)
        now += 10.0  # in time for 10,000
        transport.waiting = 0
        behind.caught_up(now)
        pieces += 1
        assert pieces < 100
    assert now == 2 * LIMIT_S
    transport.waiting = 5_000
    behind.look(now)
    transport.waiting = 4_000
    assert not behind.reads_on(now + 1.5)


def test_who_is_quick_makes_up_for_having_been_late_and_no_more() -> None:
    transport, behind = backlog()
    for seconds, size in ((20.0, 1_000), (1.0, 10_000), (1.0, 500_000)):
        transport.waiting = size
        left_s = behind.look(0.0)
        transport.waiting = 0
        behind.caught_up(seconds)
    assert left_s == LIMIT_S - 10.0  # 19 s late, then 9 s made good
    assert behind.look(0.0) == LIMIT_S


def test_limits_that_change_hold_at_once() -> None:
    transport = Transport()
    behind = Backlog(cast("asyncio.WriteTransport", transport))
    transport.waiting = 100
    assert behind.look(0.0, Downstream(write_s=30.0)) == 30.0
    assert behind.look(1.0, Downstream(write_s=5.0)) == 5.0


def test_room_for_more_is_not_to_have_read_it_all() -> None:
    transport, behind = backlog()
    transport.waiting = 100_000
    behind.look(0.0)
    transport.waiting = 95_000  # in the kernel now
    behind.caught_up(20.0)  # 15 s more than 5,000 may take
    assert behind.look(20.0) == LIMIT_S - 15.0
