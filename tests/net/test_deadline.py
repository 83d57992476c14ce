"""A deadline that moves at the price of a store."""

import asyncio

from proxy.net.deadline import Deadline


class Clock:
    """A loop of which only the clock and the timers are there, turned by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.armed: dict[asyncio.TimerHandle, float] = {}
        self._loop = asyncio.new_event_loop()
        self._loop.close()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: object) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, (), self._loop)  # type: ignore[arg-type]
        self.armed[handle] = when
        return handle

    def turn(self, to: float) -> None:
        """Moves the time on and fires what is due."""
        self.now = to
        for handle, when in list(self.armed.items()):
            if when <= to:
                del self.armed[handle]
                if not handle.cancelled():
                    handle._run()

    @property
    def waiting(self) -> list[float]:
        return [when for handle, when in self.armed.items() if not handle.cancelled()]


def make() -> tuple[Clock, Deadline, list[float]]:
    clock = Clock()
    fired: list[float] = []
    return clock, Deadline(clock, lambda: fired.append(clock.now)), fired  # type: ignore[arg-type]


def test_fires_once() -> None:
    clock, deadline, fired = make()
    deadline.set(5)
    clock.turn(104)
    assert fired == []
    clock.turn(105)
    clock.turn(200)
    assert fired == [105]
    assert clock.waiting == []


def test_moving_it_out_keeps_the_one_timer() -> None:
    clock, deadline, fired = make()
    for step in range(10):
        clock.now = 100 + step
        deadline.set(5)
    assert clock.waiting == [105]
    clock.turn(105)
    assert (fired, clock.waiting) == ([], [114])
    clock.turn(114)
    assert fired == [114]


def test_moving_it_in_arms_anew() -> None:
    clock, deadline, fired = make()
    deadline.set(50)
    deadline.set(5)
    assert clock.waiting == [105]
    clock.turn(105)
    assert fired == [105]


def test_cleared_and_closed_ones_never_fire() -> None:
    clock, deadline, fired = make()
    deadline.set(5)
    deadline.clear()
    clock.turn(110)
    assert (fired, clock.waiting) == ([], [])
    deadline.set(5)
    deadline.close()
    deadline.close()
    clock.turn(200)
    assert (fired, clock.waiting) == ([], [])
