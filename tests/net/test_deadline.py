"""Deadlines that move at the price of a store, on a clock turned by hand."""

import asyncio
from functools import partial
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from proxy.net.deadline import TICK_S, Deadline, Timers
from tests.support.running import run


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
        """Moves the time on and fires what is due, each at its moment."""
        while due := [when for when in self.waiting if when <= to]:
            self.now = min(due)
            for handle, when in list(self.armed.items()):
                if when <= self.now:
                    del self.armed[handle]
                    if not handle.cancelled():
                        handle._run()
        self.now = to

    @property
    def waiting(self) -> list[float]:
        return [when for handle, when in self.armed.items() if not handle.cancelled()]


def make(count: int = 1) -> tuple[Clock, list[Deadline], list[tuple[int, float]]]:
    clock = Clock()
    timers = Timers(clock)  # type: ignore[arg-type]
    fired: list[tuple[int, float]] = []

    def noting(number: int) -> Deadline:
        return Deadline(timers, lambda: fired.append((number, clock.now)))

    return clock, [noting(number) for number in range(count)], fired


def test_fires_once_and_not_early() -> None:
    clock, [deadline], fired = make()
    deadline.set(5)
    clock.turn(105)
    assert fired == []
    clock.turn(105 + TICK_S)
    clock.turn(200)
    assert fired == [(0, 105 + TICK_S)]
    assert clock.waiting == []


def test_moving_it_out_costs_no_timer() -> None:
    clock, [deadline], fired = make()
    for step in range(5):
        clock.now = 100 + step
        deadline.set(5)
    assert clock.waiting == [105 + TICK_S]
    clock.turn(108)
    assert (fired, clock.waiting) == ([], [109 + TICK_S])
    clock.turn(110)
    assert fired == [(0, 109 + TICK_S)]


def test_moving_it_in_is_heard() -> None:
    clock, [deadline], fired = make()
    deadline.set(50)
    deadline.set(5)
    assert clock.waiting == [105 + TICK_S]
    clock.turn(200)
    assert fired == [(0, 105 + TICK_S)]


def test_many_share_one_timer() -> None:
    clock, deadlines, fired = make(50)
    for number, deadline in enumerate(deadlines):
        deadline.set(5 + number % 2)
    assert len(clock.waiting) == 1
    clock.turn(200)
    assert sorted(number for number, _ in fired) == list(range(50))
    assert {when for _, when in fired} == {105 + TICK_S, 106 + TICK_S}


def test_cleared_and_closed_ones_never_fire() -> None:
    clock, [deadline], fired = make()
    deadline.set(5)
    deadline.clear()
    clock.turn(110)
    assert (fired, clock.waiting) == ([], [])
    deadline.set(5)
    deadline.close()
    deadline.close()
    clock.turn(200)
    assert (fired, clock.waiting) == ([], [])


def test_one_may_close_another_that_is_due_with_it() -> None:
    clock = Clock()
    timers = Timers(clock)  # type: ignore[arg-type]
    fired: list[str] = []
    pair: list[Deadline] = []

    def first_come() -> None:
        fired.append("one")
        for deadline in pair:
            deadline.close()

    pair += [Deadline(timers, first_come), Deadline(timers, first_come)]
    for deadline in pair:
        deadline.set(5)
    clock.turn(200)
    assert fired == ["one"]


def test_one_that_fires_may_be_set_again() -> None:
    clock = Clock()
    timers = Timers(clock)  # type: ignore[arg-type]
    fired: list[float] = []

    def again() -> None:
        fired.append(clock.now)
        if len(fired) < 3:
            deadline.set(1)

    deadline = Deadline(timers, again)
    deadline.set(1)
    clock.turn(200)
    assert len(fired) == 3
    assert all(1 <= after - before <= 1 + TICK_S for before, after in pairwise(fired))


def test_closed_timers_ring_no_more() -> None:
    clock = Clock()
    timers = Timers(clock)  # type: ignore[arg-type]
    deadline = Deadline(timers, lambda: None)
    deadline.set(1)
    timers.close()
    assert clock.waiting == []


step = st.tuples(st.integers(0, 4), st.sampled_from(["set", "clear", "turn"]), st.integers(1, 400))


@given(st.lists(step, max_size=40))
def test_each_fires_within_a_tick_of_what_was_set_last(steps: list[tuple[int, str, int]]) -> None:
    clock = Clock()
    timers = Timers(clock)  # type: ignore[arg-type]
    due: dict[int, float] = {}

    def expire(number: int) -> None:
        assert due.pop(number) <= clock.now

    deadlines = [Deadline(timers, partial(expire, number)) for number in range(5)]
    for number, action, sixteenths in steps:
        if action == "set":
            deadlines[number].set(sixteenths / 16)
            due[number] = clock.now + sixteenths / 16
        elif action == "clear":
            deadlines[number].clear()
            due.pop(number, None)
        else:
            clock.turn(clock.now + sixteenths / 16)
            assert all(clock.now < at + TICK_S for at in due.values()), "one is late"
    clock.turn(clock.now + 1000)
    assert not due


def test_a_deadline_that_moved_out_waits_on_in_a_real_loop() -> None:
    """What its compiled form must do too: its handle is gone and back again within one call."""

    async def test() -> None:
        timers = Timers(asyncio.get_running_loop())
        rang = asyncio.Event()
        deadline = Deadline(timers, rang.set)
        deadline.set(0.1)
        deadline.set(0.4)  # stays in the bucket of 0.1 s, looks there, and waits on
        await asyncio.wait_for(rang.wait(), 2)

    run(test)


def test_one_that_fails_does_not_stop_the_others() -> None:
    async def test() -> list[str]:
        loop = asyncio.get_running_loop()
        heard: list[str] = []
        loop.set_exception_handler(lambda _, context: heard.append(str(context["exception"])))
        timers = Timers(loop)
        rang = [asyncio.Event() for _ in range(8)]

        def fail() -> None:
            raise RuntimeError("owner")

        deadlines = [Deadline(timers, call) for event in rang for call in (fail, event.set)]
        for deadline in deadlines:
            deadline.set(0.05)
        async with asyncio.timeout(2):
            for event in rang:
                await event.wait()
        return heard

    assert set(asyncio.run(test())) == {"owner"}
