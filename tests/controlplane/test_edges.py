from controlplane.edges import (
    LOOK_BACK_S,
    MIN_REQUESTS,
    chosen,
    edges_after,
    past_starts,
    stable_of,
    wanting,
)
from controlplane.model import Revision
from controlplane.rollup import CellKey, Figures
from proxy.model.config import Service, Traffic, Version
from proxy.model.wire import LAST_BUCKET


def service(**weights: int) -> Service:
    versions = {name: Version((f"http://{name}:80",)) for name in weights}
    return Service(versions=versions, weights=weights)


def traffic(**weights: int) -> Traffic:
    return Traffic(services={"shop": service(**weights)})


def past(latency: dict[int, int], version: str = "a", segment: str = "") -> tuple[CellKey, Figures]:
    requests = sum(latency.values())
    return CellKey(60, 0, "shop", version, segment), Figures(requests, 0, latency)


def test_edges_are_quantiles_of_the_version_that_most_users_had() -> None:
    rows = [
        past({90: 60, 120: 80}),
        past({90: 60, 160: 12}),
        past({10: 900}, "b"),
        past({10: 900}, segment="country=de"),
    ]
    assert chosen(rows, "a") == (90, 120, 160)
    assert stable_of(service(a=95, b=5)) == "a"
    assert stable_of(Service(versions={"only": Version(("http://o:80",))})) == "only"


def test_of_too_little_there_are_none() -> None:
    assert chosen([past({90: MIN_REQUESTS - 1})], "a") == ()
    assert chosen([past({90: MIN_REQUESTS})], "a") == (90,)
    assert chosen([], "a") == ()


def test_nothing_is_above_the_last_bucket() -> None:
    assert chosen([past({90: 900, LAST_BUCKET: 100})], "a") == (90,)
    assert chosen([past({LAST_BUCKET: 900})], "a") == ()


def test_they_stay_while_users_are_split_and_go_with_the_split() -> None:
    split = Revision(1, traffic(a=95, b=5), {}, {"shop": (90,)})
    assert edges_after(split, traffic(a=50, b=50)) == {"shop": (90,)}
    assert edges_after(split, traffic(a=0, b=100)) == {}
    assert edges_after(split, Traffic()) == {}


def test_they_are_wanted_where_weights_change_and_split_users() -> None:
    whole = Revision(1, traffic(a=100, b=0))
    assert list(wanting(whole, traffic(a=95, b=5), {})) == ["shop"]
    assert list(wanting(whole, traffic(a=0, b=100), {})) == []
    assert list(wanting(whole, traffic(a=95, b=5), {"shop": (90,)})) == []
    assert list(wanting(Revision(0), traffic(a=95, b=5), {})) == []  # there is no past
    # Split from the start: the first change of the weights has something to go by.
    split = Revision(1, traffic(a=95, b=5))
    assert list(wanting(split, traffic(a=95, b=5), {})) == []
    assert list(wanting(split, traffic(a=90, b=10), {})) == ["shop"]


def test_the_past_is_whole_intervals() -> None:
    assert past_starts(60, 7_299.0) == list(range(3_660, 7_261, 60))
    assert [len(past_starts(level_s, 0.0)) for level_s in LOOK_BACK_S] == [61, 169]
