import msgspec
import pytest

from controlplane.changes import checked, shares, tables_after, with_weights
from controlplane.model import Revision, UnknownServiceError
from proxy.core.split import canonical_table, decode, encode, movement
from proxy.model.config import Route, Service, Traffic, Version, weights_of
from proxy.model.errors import ConfigError


def service(**weights: int) -> Service:
    versions = {name: Version((f"http://{name}:80",)) for name in weights}
    return Service(versions=versions, weights=weights)


def traffic(**services: Service) -> Traffic:
    return Traffic(services=services)


def revision(number: int, of: Traffic, before: Revision | None = None) -> Revision:
    return Revision(number, of, tables_after(before or Revision(0), of))


def moved(before: Revision, after: Revision, name: str = "shop") -> int:
    return sum(movement(decode(before.tables[name]), decode(after.tables[name])).values())


def test_a_new_service_gets_the_canonical_table() -> None:
    first = revision(1, traffic(shop=service(a=90, b=10)))
    assert decode(first.tables["shop"]) == canonical_table({"a": 90, "b": 10})


def test_only_the_slots_that_must_move_do() -> None:
    first = revision(1, traffic(shop=service(a=10, b=45, c=45)))
    second = revision(2, traffic(shop=service(a=20, b=40, c=40)), first)
    assert moved(first, second) == 1000
    assert decode(second.tables["shop"]).counts() == {"a": 2000, "b": 4000, "c": 4000}


def test_the_table_depends_on_the_way_it_came() -> None:
    first = revision(1, traffic(shop=service(a=10, b=45, c=45)))
    second = revision(2, traffic(shop=service(a=45, b=10, c=45)), first)
    back = revision(3, traffic(shop=service(a=10, b=45, c=45)), second)
    assert moved(second, back) == 3500


def test_what_is_not_changed_keeps_its_table() -> None:
    first = revision(1, traffic(shop=service(a=10, b=45, c=45), other=service(x=1, y=1)))
    second = revision(2, traffic(shop=service(a=20, b=40, c=40), other=service(x=1, y=1)), first)
    third = revision(3, second.traffic, second)
    assert third.tables == second.tables
    assert second.tables["other"] is first.tables["other"]


def test_a_removed_service_has_no_table_and_starts_afresh_when_it_is_back() -> None:
    first = revision(1, traffic(shop=service(a=10, b=45, c=45)))
    moved_on = revision(2, traffic(shop=service(a=45, b=10, c=45)), first)
    gone = revision(3, traffic(), moved_on)
    assert gone.tables == {}
    back = revision(4, moved_on.traffic, gone)
    assert decode(back.tables["shop"]) == canonical_table({"a": 45, "b": 10, "c": 45})


def test_a_removed_version_gives_its_slots_to_the_others_only() -> None:
    first = revision(1, traffic(shop=service(a=50, b=30, c=20)))
    second = revision(2, traffic(shop=service(a=50, b=30)), first)
    slots = decode(second.tables["shop"]).counts()
    assert slots == {"a": 6250, "b": 3750}
    assert moved(first, second) == 2000


def test_a_new_salt_starts_afresh_and_the_default_salt_spelled_out_does_not() -> None:
    first = revision(1, traffic(shop=service(a=10, b=45, c=45)))
    second = revision(2, traffic(shop=service(a=45, b=10, c=45)), first)
    for salt, is_kept in (("shop", True), ("summer", False)):
        salted = msgspec.structs.replace(second.traffic.services["shop"], salt=salt)
        third = revision(3, traffic(shop=salted), second)
        canonical = encode(canonical_table(salted.weights))
        assert (third.tables["shop"] == second.tables["shop"]) is is_kept
        assert (third.tables["shop"] == canonical) is not is_kept


def test_more_versions_than_one_table_may_name_are_replaced_all_the_same() -> None:
    first = revision(1, traffic(shop=service(**{f"a{i}": 1 for i in range(40)})))
    second = revision(2, traffic(shop=service(**{f"b{i}": 1 for i in range(40)})), first)
    assert set(decode(second.tables["shop"]).names) == {f"b{i}" for i in range(40)}


def test_weights_replace_the_whole_and_a_version_not_named_gets_nothing() -> None:
    changed = with_weights(
        traffic(shop=service(a=1, b=1, c=1), other=service(x=1)), "shop", {"b": 2}
    )
    assert changed.services["shop"].weights == {"a": 0, "b": 2, "c": 0}
    assert changed.services["other"].weights == {"x": 1}


def test_weights_of_nobody() -> None:
    with pytest.raises(UnknownServiceError, match="'shp'; services: shop"):
        with_weights(traffic(shop=service(a=1)), "shp", {"a": 1})


def test_every_wrong_weight_is_named() -> None:
    with pytest.raises(ConfigError) as error:
        with_weights(traffic(shop=service(a=1, b=1)), "shop", {"a": -1, "z": 1})
    fields = {problem.field for problem in error.value.problems}
    assert fields == {"services.shop.weights.a", "services.shop.weights.z"}


def test_a_route_to_nowhere_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"routes\[0\].service"):
        checked(Traffic(routes=(Route("shop"),)))


def test_weights_left_out_are_spelled_out() -> None:
    alone = Service(versions={"only": Version(("http://a:80",))})
    assert weights_of(alone) == {"only": 1}
    assert shares(alone) == {"only": 1.0}


def test_shares_are_exact_to_a_slot() -> None:
    assert shares(service(a=1, b=1, c=1)) == {"a": 0.3334, "b": 0.3333, "c": 0.3333}
    assert shares(service(a=1, b=0)) == {"a": 1.0, "b": 0.0}
