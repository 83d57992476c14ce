from datetime import UTC, datetime

from controlplane import fleet as module
from controlplane.fleet import REMEMBERED_S, Fleet
from proxy.model.errors import Problem
from proxy.model.wire import Hello

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def fleet(clock: Clock | None = None) -> Fleet:
    return Fleet(lambda: NOW, clock or Clock())


def hello(instance: str) -> Hello:
    return Hello(instance, "1.0")


def test_a_proxy_is_listed_with_what_it_said() -> None:
    here = fleet()
    here.join(hello("p1"), "10.0.0.1", 3)
    (info,) = here.proxies(target=4)
    assert (info.instance, info.release, info.address) == ("p1", "1.0", "10.0.0.1")
    assert (info.connected, info.connected_since, info.disconnected_at) == (True, NOW, None)
    assert (info.revision, info.target, here.on(3), here.on(4)) == (3, 4, 1, 0)


def test_a_refusal_stays_until_that_or_a_newer_revision_is_in_force() -> None:
    here = fleet()
    member = here.join(hello("p1"), "", 1)
    member.nack(3, (Problem("routes", "no"),))
    member.ack(2)
    (info,) = here.proxies(3)
    assert (info.revision, info.refused, info.problems) == (2, 3, (Problem("routes", "no"),))
    member.ack(3)
    (info,) = here.proxies(3)
    assert (info.revision, info.refused, info.problems) == (3, None, ())


def test_of_an_endless_refusal_only_the_head_is_kept() -> None:
    here = fleet()
    here.join(hello("p1"), "", 1).nack(2, (Problem("f" * 9999, "m" * 9999),) * 1000)
    (info,) = here.proxies(2)
    assert len(info.problems) == 20
    assert len(info.problems[0].message) == len(info.problems[0].field) == 300


def test_who_left_is_remembered_for_a_while() -> None:
    clock = Clock()
    here = fleet(clock)
    here.leave(here.join(hello("p1"), "", 1))
    clock.now_s = REMEMBERED_S - 1
    (info,) = here.proxies(1)
    assert (info.connected, info.disconnected_at, here.connected()) == (False, NOW, 0)
    clock.now_s = REMEMBERED_S
    assert here.proxies(1) == []


def test_who_comes_back_is_listed_once() -> None:
    here = fleet()
    here.leave(here.join(hello("p1"), "", 1))
    here.join(hello("p1"), "", 1)
    assert [info.connected for info in here.proxies(1)] == [True]


def test_a_dead_connection_that_ends_late_does_not_hide_the_living_one() -> None:
    here = fleet()
    dead = here.join(hello("p1"), "", 1)
    here.join(hello("p1"), "", 1)
    assert [info.connected for info in here.proxies(1)] == [True, True]
    here.leave(dead)
    assert [info.connected for info in here.proxies(1)] == [True]


def test_names_without_end_do_not_fill_the_memory() -> None:
    here = fleet()
    for number in range(module._MAX_REMEMBERED + 10):
        here.leave(here.join(hello(f"p{number}"), "", 1))
    listed = {info.instance for info in here.proxies(1)}
    assert len(listed) == module._MAX_REMEMBERED
    assert "p0" not in listed
