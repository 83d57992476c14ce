"""Pins keep users, a rollback moves them all; a tester's word goes before everything."""

import re

import pytest

from proxy.core.assign import Means, compile_assign
from proxy.core.decision import Decision, Reason, Target
from proxy.core.forwarded import TrustedProxies
from proxy.core.pin import Pin, PinKeys
from proxy.core.split import canonical_table
from proxy.model.config import (
    Balance,
    DrainUntil,
    KeyFrom,
    Override,
    PinCookie,
    Service,
    Sticky,
    Version,
)
from tests.support.heads import Head

SECRET = "sixteen characters"
NOW = 1_790_000_000
VERSION = Version(endpoints=("http://a:1",))


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


def service_of(
    weights: dict[str, int], *, override: Override | None = None, policy: str = "round_robin",
    mode: str = "pin", **pin: object,
) -> Service:  # fmt: skip
    return Service(
        versions=dict.fromkeys(weights, VERSION),
        weights=weights,
        sticky=Sticky(
            key=(KeyFrom(header="X-User-Id"),),
            mode=mode,  # type: ignore[arg-type]
            pin=PinCookie(secrets=(SECRET,), **pin) if mode == "pin" else None,  # type: ignore[arg-type]
            override=override,
        ),
        balance=Balance(policy),  # type: ignore[arg-type]
    )


class Shop:
    """One service, asked by one user after another."""

    def __init__(self, service: Service, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        table = canonical_table(service.weights)
        counts = table.counts()
        targets = {
            ("shop", name): Target(
                index=index,
                service="shop",
                version=name,
                endpoints=("http://a:1",),
                share=counts.get(name, 0) / 10_000,
            )
            for index, name in enumerate(service.versions)
        }
        means = Means(TrustedProxies(()), lambda: 17, lambda: "i" * 22, self.clock)
        self._assign = compile_assign("shop", service, table, targets, means)

    def ask(self, *fields: tuple[str, str]) -> Decision:
        return self._assign(Head("/", *fields), "192.0.2.1", 0)

    def visit(self, cookie: str = "", user: str = "") -> tuple[str, str]:
        """The version, and the pin that the user holds then."""
        fields = [("cookie", f"a=b; splitway_pin={cookie}")] if cookie else []
        decision = self.ask(*fields, ("x-user-id", user))
        for value in decision.set_cookies:
            found = re.match(rb"splitway_pin=([^;]+)", value)
            assert found
            cookie = found[1].decode()
        return decision.target.version, cookie


def test_a_new_user_is_hashed_and_pinned() -> None:
    shop = Shop(service_of({"stable": 1, "canary": 0}))
    decision = shop.ask(("x-user-id", "u"))
    assert (decision.reason, decision.source) == (Reason.ONLY_VERSION, "header")
    (cookie,) = decision.set_cookies
    value = PinKeys("shop", [SECRET]).sign(Pin("stable", 0, NOW))
    assert cookie == (
        f"splitway_pin={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age=31536000".encode()
    )


def test_who_is_pinned_stays_while_weights_move_and_whoever_they_turn_out_to_be() -> None:
    version, pin = Shop(service_of({"stable": 0, "canary": 1})).visit(user="anonymous")
    assert version == "canary"
    later = Shop(service_of({"stable": 9_999, "canary": 1}))
    for user in ("anonymous", "after the login", ""):
        assert later.visit(pin, user) == ("canary", pin)
    decision = later.ask(("cookie", f"splitway_pin={pin}"))
    assert (decision.reason, decision.source, decision.slot) == (Reason.PIN, "pin", -1)
    assert decision.set_cookies == ()


@pytest.mark.parametrize(
    ("at_zero", "age_s", "stays"),
    [
        ("evict", 1, False),
        ("honor", 1, True),
        ("honor", 10**7, True),
        (DrainUntil(600.0), 599, True),
        (DrainUntil(600.0), 601, False),
    ],
)
def test_pins_at_weight_0(at_zero: object, age_s: int, *, stays: bool) -> None:
    clock = Clock()
    _, pin = Shop(service_of({"stable": 0, "canary": 1}, at_zero=at_zero), clock).visit()
    clock.now += age_s
    shop = Shop(service_of({"stable": 1, "canary": 0}, at_zero=at_zero), clock)
    version, after = shop.visit(pin)
    assert version == ("canary" if stays else "stable")
    assert (after == pin) is stays  # who has moved holds a pin of where they are


def test_a_rollback_moves_everyone_at_once_even_those_to_be_honoured() -> None:
    _, pin = Shop(service_of({"stable": 0, "canary": 1}, at_zero="honor")).visit()
    back = Shop(service_of({"stable": 1, "canary": 0}, at_zero="honor", epoch=1))
    version, pin = back.visit(pin)
    assert version == "stable"
    assert back.visit(pin) == ("stable", pin)


@pytest.mark.parametrize("pin", ["", "nonsense", "canary~0~1790000000~" + "A" * 22])
def test_a_pin_that_is_none_is_replaced(pin: str) -> None:
    version, after = Shop(service_of({"stable": 1, "canary": 0})).visit(pin)
    assert version == "stable"
    assert after.startswith("stable~")


def test_a_version_that_is_gone() -> None:
    _, pin = Shop(service_of({"stable": 0, "canary": 1})).visit()
    assert Shop(service_of({"stable": 1})).visit(pin)[0] == "stable"


def test_pins_are_renewed_before_they_end_and_with_a_new_key() -> None:
    clock = Clock()
    shop = Shop(service_of({"stable": 1, "canary": 0}, max_age_s=1_000), clock)
    _, pin = shop.visit()
    clock.now += 499
    assert shop.visit(pin)[1] == pin
    clock.now += 2
    renewed = shop.visit(pin)[1]
    assert renewed != pin
    assert shop.visit(renewed)[1] == renewed
    rotated = Service(
        versions={"stable": VERSION},
        sticky=Sticky(mode="pin", pin=PinCookie(secrets=("another secret of ours", SECRET))),
        weights={"stable": 1},
    )
    version, last = Shop(rotated, clock).visit(renewed)
    assert version == "stable"
    assert last != renewed


BY_HEADER = Override(header="X-Splitway-Version")


@pytest.mark.parametrize(
    ("override", "field", "version"),
    [
        (BY_HEADER, ("x-splitway-version", "canary"), "canary"),
        (BY_HEADER, ("x-splitway-version", "canary:"), "canary"),
        (BY_HEADER, ("x-splitway-version", "ghost"), "stable"),
        (BY_HEADER, ("x-splitway-version", ""), "stable"),
        (BY_HEADER, ("x-splitway-version", "canary:guess"), "stable"),
        (BY_HEADER, ("cookie", "X-Splitway-Version=canary"), "stable"),
        (Override(cookie="version"), ("cookie", "version=canary"), "canary"),
        (Override(cookie="version", secret=SECRET), ("cookie", "version=canary"), "stable"),
        (Override(cookie="version", secret=SECRET), ("cookie", "version=canary:no"), "stable"),
        (
            Override(cookie="version", secret=SECRET),
            ("cookie", f"version=canary:{SECRET}"),
            "canary",
        ),
        (None, ("x-splitway-version", "canary"), "stable"),
    ],
)
def test_a_testers_word(override: Override | None, field: tuple[str, str], version: str) -> None:
    shop = Shop(service_of({"stable": 1, "canary": 0}, override=override, mode="hash"))
    decision = shop.ask(field, ("x-user-id", "u"))
    assert decision.target.version == version
    assert (decision.reason is Reason.OVERRIDE) is (version == "canary")
    if version == "canary":
        assert (decision.source, decision.slot) == ("override", -1)


def test_a_testers_word_goes_before_a_pin_and_pins_nobody() -> None:
    _, pin = Shop(service_of({"stable": 1, "canary": 0})).visit()
    shop = Shop(service_of({"stable": 1, "canary": 0}, override=BY_HEADER))
    decision = shop.ask(("x-splitway-version", "canary"), ("cookie", f"splitway_pin={pin}"))
    assert decision.target.version == "canary"
    assert decision.set_cookies == ()


def test_endpoints_are_chosen_by_another_hash_than_versions() -> None:
    shop = Shop(service_of({"stable": 1, "canary": 1}, mode="hash", policy="ring_hash"))
    decisions = [shop.ask(("x-user-id", f"user-{number}")) for number in range(400)]
    again = [shop.ask(("x-user-id", f"user-{number}")) for number in range(400)]
    assert decisions == again
    for version in ("stable", "canary"):
        spreads = [each.spread for each in decisions if each.target.version == version]
        assert min(spreads) < 0.05 * 2**32
        assert max(spreads) > 0.95 * 2**32


def test_pinned_users_and_testers_share_the_endpoints_as_others_do() -> None:
    """``ring_hash`` goes by the sticky key, whatever decided on the version."""
    shop = Shop(
        service_of({"stable": 1}, policy="ring_hash", override=Override(header="X-Version"))
    )
    for user in ("a", "b", "c"):
        first = shop.ask(("x-user-id", user))
        cookie = first.set_cookies[0].decode().partition(";")[0]
        pinned = shop.ask(("x-user-id", user), ("cookie", cookie))
        tested = shop.ask(("x-user-id", user), ("x-version", "stable"))
        assert (pinned.reason, tested.reason) == (Reason.PIN, Reason.OVERRIDE)
        assert first.spread == pinned.spread == tested.spread > 0


def test_a_pin_of_the_future_is_worth_nothing() -> None:
    clock = Clock()
    shop = Shop(service_of({"stable": 1, "canary": 0}, at_zero="honor"), clock)
    keys = PinKeys("shop", (SECRET,))
    for ahead_s, reason in ((60, Reason.PIN), (3_600, Reason.ONLY_VERSION)):
        value = keys.sign(Pin("canary", 0, int(clock.now) + ahead_s))
        assert shop.ask(("cookie", f"splitway_pin={value}")).reason is reason
