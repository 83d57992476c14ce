from datetime import UTC, datetime

from controlplane import fleet as module
from controlplane.fleet import REMEMBERED_S, Fleet
from controlplane.model import OnRevision, Refusal
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


def test_where_a_proxy_runs_is_listed() -> None:
    here = fleet()
    here.join(Hello("p1", "1.0", zone="eu-1a", place={"pod": "shop-7f9c"}), "", 0)
    (info,) = here.proxies(0)
    assert (info.zone, info.place) == ("eu-1a", {"pod": "shop-7f9c"})


def test_a_refusal_stays_until_that_or_a_newer_revision_is_in_force() -> None:
    here = fleet()
    member = here.join(hello("p1"), "", 1)
    here.nack(member, 3, (Problem("routes", "no"),))
    here.ack(member, 2)
    (info,) = here.proxies(3)
    assert (info.revision, info.refused, info.problems) == (2, 3, (Problem("routes", "no"),))
    here.ack(member, 3)
    (info,) = here.proxies(3)
    assert (info.revision, info.refused, info.problems) == (3, None, ())


def test_of_an_endless_refusal_only_the_head_is_kept() -> None:
    here = fleet()
    here.nack(here.join(hello("p1"), "", 1), 2, (Problem("f" * 9999, "m" * 9999),) * 1000)
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


def test_convergence_counts_who_confirmed_who_is_behind_and_who_refused() -> None:
    here = fleet()
    quick, newer, mute, refusing = (here.join(hello(name), "10.0.0.1", 1) for name in "abcd")
    here.ack(quick, 2)
    here.ack(newer, 3)
    problems = (Problem("routes", "no"),)
    here.nack(refusing, 2, problems)
    told = here.convergence(2)
    assert (told.revision, told.connected, told.done) == (2, 4, False)
    assert (told.confirmed, told.behind, told.refused) == (2, 1, 1)
    assert told.revisions == (OnRevision(3, 1), OnRevision(2, 1), OnRevision(1, 2))
    assert told.refusals == (Refusal("d", "10.0.0.1", 2, problems),)
    here.leave(refusing)
    here.leave(mute)
    told = here.convergence(2)
    assert (told.connected, told.confirmed, told.refused, told.done) == (2, 2, 0, True)
    assert told.refusals == ()


def test_a_refusal_of_what_came_before_is_none_of_what_comes_now() -> None:
    here = fleet()
    member = here.join(hello("p1"), "", 1)
    here.nack(member, 2, ())
    assert (here.convergence(3).refused, here.convergence(3).behind) == (0, 1)
    assert (here.convergence(1).confirmed, here.convergence(1).refused) == (1, 0)
    here.ack(member, 3)
    assert here.convergence(2).done


def test_a_revision_has_come_everywhere_where_nobody_is() -> None:
    here = fleet()
    here.leave(here.join(hello("p1"), "", 1))
    told = here.convergence(1)
    assert (told.connected, told.done, told.revisions) == (0, True, ())


def test_what_comes_after_the_end_of_a_connection_is_not_counted() -> None:
    here = fleet()
    member = here.join(hello("p1"), "", 1)
    here.leave(member)
    here.leave(member)
    here.ack(member, 2)
    here.nack(member, 3, ())
    assert (here.on(1), here.on(2), here.convergence(3).refused) == (0, 0, 0)


def test_of_many_refusals_the_first_by_name_are_told() -> None:
    here = fleet()
    for number in range(100):
        here.nack(here.join(hello(f"p{number:03}"), "", 1), 2, ())
    told = here.convergence(2)
    assert told.refused == 100
    assert [refusal.instance for refusal in told.refusals] == [f"p{n:03}" for n in range(20)]


def test_a_thousand_more_cost_a_change_no_more() -> None:
    """Counts are kept: thousands leave at once when the server stops."""
    here = fleet()
    members = [here.join(hello(f"p{number}"), "", 1) for number in range(1_000)]
    twin = here.join(hello("p0"), "", 1)
    for member in members:
        here.ack(member, 2)
        here.leave(member)
    assert (here.connected(), here.on(1), here.on(2)) == (1, 1, 0)
    here.leave(twin)
    assert (here._named, here._on) == ({}, {})
