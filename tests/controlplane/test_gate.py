from datetime import UTC, datetime, timedelta

import pytest

from controlplane.gate import (
    Freeze,
    Freezes,
    FrozenError,
    OutsideWindowError,
    Window,
    check_open,
    is_open,
    touched,
)
from proxy.model.config import Match, PathMatch, Route, Service, Traffic, Version

NOW = datetime(2026, 7, 1, 7, 30, tzinfo=UTC)  # a Wednesday; 9:30 in Berlin
FREEZE = Freeze("ada", "release day", NOW - timedelta(hours=1))
BERLIN = Window(("wed",), "09:00", "17:00", "Europe/Berlin")


@pytest.mark.parametrize(
    ("window", "now", "expected"),
    [
        (BERLIN, NOW, True),
        (BERLIN, NOW - timedelta(minutes=31), False),
        (BERLIN, NOW.replace(hour=15, minute=0), False),
        (BERLIN, NOW.replace(month=1, day=7), False),  # 8:30 in winter
        (BERLIN, NOW + timedelta(days=1), False),
        (Window(("tue",), "22:00", "08:00"), NOW, True),  # since yesterday
        (Window(("wed",), "22:00", "08:00"), NOW, False),
        (Window(("wed",), "22:00", "08:00"), NOW.replace(hour=23), True),
        (Window(("wed",), "00:00", "00:00"), NOW, True),  # all day
        (Window(("tue",), "00:00", "00:00"), NOW, False),
    ],
)
def test_when_a_window_is_open(window: Window, now: datetime, expected: bool) -> None:
    assert is_open(window, now) is expected


NONE = Freezes()


def check(
    freezes: Freezes = NONE, windows: tuple[Window, ...] = (), *, override: bool = False
) -> None:
    check_open(freezes, windows, ["shop"], NOW, override=override)


def test_nothing_stands_in_the_way() -> None:
    check()
    check(Freezes(services={"other": FREEZE}), (Window(("mon",), "00:00", "00:00"), BERLIN))


def test_a_freeze_tells_who_and_why_and_how_it_is_lifted() -> None:
    with pytest.raises(FrozenError, match=r"ada.*release day.*DELETE /v1/freeze lifts"):
        check(Freezes(all=FREEZE), override=True)
    with pytest.raises(FrozenError, match=r"'shop' is frozen.*/v1/services/shop/freeze"):
        check(Freezes(services={"shop": FREEZE}))


def test_a_freeze_that_is_over_stands_in_nobody_s_way() -> None:
    check(Freezes(all=Freeze("ada", "x", NOW - timedelta(hours=2), NOW)))
    with pytest.raises(FrozenError, match="until 2026-07-01 07:31 UTC"):
        check(Freezes(all=Freeze("ada", "x", NOW, NOW + timedelta(minutes=1))))


def test_outside_of_every_window() -> None:
    with pytest.raises(OutsideWindowError, match="mon 00:00-00:00 UTC"):
        check(windows=(Window(("mon",), "00:00", "00:00"),))
    check(windows=(Window(("mon",), "00:00", "00:00"),), override=True)


def service(port: int) -> Service:
    return Service(versions={"v": Version((f"http://a:{port}",))})


def route(prefix: str, name: str) -> Route:
    return Route(match=Match(path=PathMatch(prefix=prefix)), service=name)


ROUTES = (route("/a", "a"), route("/b", "b"), route("/c", "c"), route("/d", "d"))
SERVICES = {name: service(1) for name in "abcd"}


@pytest.mark.parametrize(
    ("after", "names"),
    [
        (Traffic(SERVICES, ROUTES), []),
        (Traffic({**SERVICES, "b": service(2)}, ROUTES), ["b"]),
        (Traffic({**SERVICES, "e": service(2)}, ROUTES), ["e"]),
        (Traffic({name: service(1) for name in "bcd"}, ROUTES[1:]), ["a"]),
        (Traffic(SERVICES, (ROUTES[0], ROUTES[2], ROUTES[1], ROUTES[3])), ["b", "c"]),
        (Traffic(SERVICES, (*ROUTES, route("/e", "a"))), ["a"]),
        (Traffic(SERVICES, (*ROUTES[:1], route("/x", "d"), *ROUTES[2:])), ["b", "d"]),
    ],
)
def test_which_services_a_change_touches(after: Traffic, names: list[str]) -> None:
    assert touched(Traffic(SERVICES, ROUTES), after) == names
