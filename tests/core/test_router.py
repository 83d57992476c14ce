import itertools
from collections import Counter

import pytest

from proxy.core.decision import Decision, Reason
from proxy.core.forwarded import TrustedProxies
from proxy.core.message import HeadView
from proxy.core.router import Router, compile_router, explain
from proxy.core.slot import SLOTS, seed_of, slot_of
from proxy.core.split import canonical_table, encode, move_table
from proxy.model.config import (
    KeyFrom,
    KeySource,
    Match,
    PathMatch,
    Route,
    Service,
    Sticky,
    Timeouts,
    Traffic,
    Version,
)
from proxy.model.errors import ConfigError
from proxy.model.wire import Snapshot, SplitTable
from tests.support.heads import Head

PEER = "203.0.113.9"
USER = KeyFrom(header="X-User-Id")
CATCH_ALL = (Route(service="shop"),)


def service(
    weights: dict[str, int], *key: KeySource, salt: str = "", versions: tuple[str, ...] = ()
) -> Service:
    return Service(
        versions={
            name: Version(endpoints=(f"http://{name}-1:80", f"http://{name}-2:80"))
            for name in versions or weights
        },
        weights=weights,
        sticky=Sticky(key=key),
        salt=salt,
        timeouts=Timeouts(connect_s=1.5),
    )


def snapshot(
    *routes: Route, tables: dict[str, SplitTable] | None = None, **services: Service
) -> Snapshot:
    traffic = Traffic(services=services, routes=routes or CATCH_ALL)
    return Snapshot(revision=7, traffic=traffic, tables=tables or {})


def compiled(taken: Snapshot) -> Router:
    slots = itertools.count(0, 2_500)
    return compile_router(
        taken,
        TrustedProxies(),
        lambda: next(slots) % SLOTS,
        lambda: "Aa0_-Aa0_-Aa0_-Aa0_-Aa",
        lambda: 0.0,
    )


def decided(router: Router, head: HeadView) -> Decision:
    decision = router.decide(head, PEER)
    assert isinstance(decision, Decision)
    return decision


def user(name: str) -> Head:
    return Head("/", ("x-user-id", name))


SPLIT = {"stable": 70, "canary": 30}


def test_the_slot_of_the_key_names_the_version() -> None:
    router = compiled(snapshot(shop=service(SPLIT, USER)))
    table = canonical_table(SPLIT)
    for number in range(200):
        decision = decided(router, user(f"u{number}"))
        slot = slot_of(b"u%d" % number, seed_of("shop"))
        assert decision.slot == slot
        assert decision.target.version == table.version_at(slot)
        assert (decision.source, decision.reason) == ("header", Reason.SPLIT)
        assert not decision.set_cookies


def test_shares_seen_over_all_slots_are_the_shares_asked() -> None:
    draws = iter(range(SLOTS))
    router = compile_router(
        snapshot(shop=service(SPLIT)),
        TrustedProxies(),
        lambda: next(draws),
        lambda: "",
        lambda: 0.0,
    )
    seen = Counter(decided(router, Head()).target.version for _ in range(SLOTS))
    assert seen == {"stable": 7_000, "canary": 3_000}


def test_the_salt_reseeds_the_users() -> None:
    plain = compiled(snapshot(shop=service(SPLIT, USER)))
    named = compiled(snapshot(shop=service(SPLIT, USER, salt="shop")))
    fresh = compiled(snapshot(shop=service(SPLIT, USER, salt="shop-2")))
    assert decided(plain, user("u1")) == decided(named, user("u1"))
    assert decided(fresh, user("u1")).slot == slot_of(b"u1", seed_of("shop-2"))


def test_a_header_first_chain_falls_through_to_its_other_sources() -> None:
    router = compiled(snapshot(shop=service(SPLIT, USER, KeyFrom(cookie="s"), "client_ip")))
    by_header = decided(router, user("u1"))
    by_cookie = decided(router, Head("/", ("x-user-id", ""), ("cookie", "s=u1")))
    assert (by_header.source, by_cookie.source) == ("header", "cookie")
    assert by_cookie.slot == by_header.slot
    assert by_cookie.reason is Reason.SPLIT
    assert decided(router, Head()).source == "client_ip"


def test_without_a_key_the_slot_is_drawn_for_each_request() -> None:
    router = compiled(snapshot(shop=service(SPLIT, USER)))
    decisions = [decided(router, Head()) for _ in range(4)]
    assert [decision.slot for decision in decisions] == [0, 2_500, 5_000, 7_500]
    assert {(decision.source, decision.reason) for decision in decisions} == {
        ("random", Reason.RANDOM)
    }


def test_a_generated_id_is_set_and_then_kept_to() -> None:
    router = compiled(snapshot(shop=service(SPLIT, "generated")))
    first = decided(router, Head())
    assert first.source == "generated"
    assert first.set_cookies
    again = decided(router, Head("/", ("cookie", first.set_cookies[0].decode().partition(";")[0])))
    assert not again.set_cookies
    assert (again.slot, again.target) == (first.slot, first.target)


@pytest.mark.parametrize("weights", [{"only": 0}, {"only": 3, "idle": 0}])
def test_the_only_version_in_use(weights: dict[str, int]) -> None:
    given = service({} if weights == {"only": 0} else weights, USER, versions=tuple(weights))
    router = compiled(snapshot(shop=given))
    keyed, drawn = decided(router, user("u1")), decided(router, Head())
    assert keyed.target.version == drawn.target.version == "only"
    assert keyed.reason is drawn.reason is Reason.ONLY_VERSION
    assert (keyed.source, drawn.source) == ("header", "random")


def test_targets_are_every_version_with_what_it_needs() -> None:
    shop = service({"stable": 1, "canary": 2, "old": 0}, USER)
    router = compiled(snapshot(shop=shop, cart=service({"stable": 1})))
    assert [target.index for target in router.versions] == [0, 1, 2, 3]
    assert [(t.service, t.version, t.share) for t in router.versions] == [
        ("shop", "stable", 0.3333),
        ("shop", "canary", 0.6667),
        ("shop", "old", 0.0),
        ("cart", "stable", 1.0),
    ]
    canary = router.versions[1]
    assert canary.endpoints == ("http://canary-1:80", "http://canary-2:80")
    assert [timeouts.connect_s for timeouts in router.timeouts] == [1.5]
    assert decided(router, user("u1")).target in router.versions


def test_the_first_matching_route_wins() -> None:
    router = compiled(
        snapshot(
            Route(service="cart", match=Match(path=PathMatch(segment_prefix="/cart"))),
            Route(service="admin", match=Match(host="admin.example")),
            Route(service="shop"),
            Route(service="cart"),
            shop=service({"s": 1}),
            cart=service({"c": 1}),
            admin=service({"a": 1}),
        )
    )
    for head, expected in (
        (Head("/cart/1", host="admin.example"), (0, "cart")),
        (Head("/carts", host="admin.example"), (1, "admin")),
        (Head("/carts"), (2, "shop")),
    ):
        decision = decided(router, head)
        assert (decision.route, decision.target.service) == expected


def test_no_route_no_decision() -> None:
    only_api = Route(service="shop", match=Match(path=PathMatch(prefix="/api")))
    router = compiled(snapshot(only_api, shop=service({"s": 1})))
    assert router.decide(Head("/"), PEER) is None
    assert explain(router, Head("/"), PEER) == {"route": None, "reason": "no_route"}


def test_no_routes_at_all() -> None:
    taken = Snapshot(revision=1, traffic=Traffic(services={"shop": service({"s": 1})}))
    assert compiled(taken).decide(Head("/"), PEER) is None


def test_a_catch_all_route_never_reads_the_head() -> None:
    class Blind(Head):
        def header(self, name: bytes) -> bytes | None:
            raise AssertionError(name)

    assert decided(compiled(snapshot(shop=service(SPLIT))), Blind()).route == 0


def test_a_shipped_table_decides() -> None:
    history = move_table(canonical_table({"stable": 10, "canary": 45, "beta": 45}), SPLIT)
    taken = snapshot(shop=service(SPLIT, USER), tables={"shop": encode(history)})
    router = compiled(taken)
    for number in range(100):
        decision = decided(router, user(f"u{number}"))
        assert decision.target.version == history.version_at(decision.slot)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            encode(canonical_table({"stable": 60, "canary": 40})),
            "shop: .*canary 4000 slots, stable 6000 slots; .* say canary 3000 slots, stable 7000",
        ),
        (encode(canonical_table({"stable": 70, "beta": 30})), "gives beta 3000 slots"),
        (encode(canonical_table({"stable": 70, "canary": 29, "old": 1})), "old 100 slots"),
        (SplitTable(versions=("stable",), runs=(0, 1)), "tables.shop: .* covers 1 slots"),
    ],
)
def test_a_table_that_does_not_agree_is_refused(table: SplitTable, message: str) -> None:
    shop = service({**SPLIT, "old": 0}, USER)
    with pytest.raises(ConfigError, match=message):
        compiled(snapshot(shop=shop, tables={"shop": table}))


def test_every_bad_table_is_named() -> None:
    bad = SplitTable(versions=(), runs=())
    with pytest.raises(ConfigError) as refused:
        compiled(snapshot(shop=service(SPLIT), tables={"shop": bad, "ghost": bad}))
    assert [problem.field for problem in refused.value.problems] == ["tables.ghost", "tables.shop"]


def test_traffic_that_breaks_the_rules_is_refused() -> None:
    broken = snapshot(
        Route(service="ghost"), shop=service({"stable": 0, "canary": 0}), cart=service({"c": 1})
    )
    with pytest.raises(ConfigError) as refused:
        compiled(broken)
    fields = [problem.field for problem in refused.value.problems]
    assert fields == ["services.shop.weights", "routes[0].service"]


def test_explain_names_everything_but_the_key() -> None:
    router = compiled(snapshot(shop=service({"stable": 1, "canary": 0}, USER, "generated")))
    said = explain(router, user("u1"), PEER)
    assert said == {
        "route": 0,
        "service": "shop",
        "key_source": "header",
        "key_present": True,
        "slot": slot_of(b"u1", seed_of("shop")),
        "version": "stable",
        "endpoints": ["http://stable-1:80", "http://stable-2:80"],
        "reason": "only_version",
        "sets_cookie": False,
    }
    assert explain(router, Head(), PEER)["sets_cookie"] is True
    keyless = compiled(snapshot(shop=service(SPLIT)))
    assert explain(keyless, Head(), PEER)["key_present"] is False
