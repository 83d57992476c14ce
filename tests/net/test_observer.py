"""The contract between the data plane and whoever counts."""

from proxy.model.spread import columns
from proxy.model.users import users_in
from proxy.model.wire import Spread, Taken
from proxy.net.observer import VersionObserver
from proxy.telemetry.metrics import Registry


def test_the_real_counters_keep_it() -> None:
    registry = Registry()
    observer: VersionObserver = registry.version("shop", "stable")
    observer.started("header")
    observer.attempted("success")
    observer.finished("GET", 200, 0.5, 1, 2)
    observer.tunnels(2)
    observer.tunnels(-1)
    observer.moved(10, 20)
    observer.charged()
    observer.belonged(("country=de",), 200, 0.5, charged=True)
    observer.saw(7, ("country=de",), 0.5, (90,), charged=True)
    observer.served("http://a:80", 0.5, (90,), charged=True)
    observer.ejected()
    assert observer.in_flight == 0
    counts = registry.counts().versions[-1]
    assert counts.segments == {"country=de 2xx": 1}
    assert (counts.errors, counts.segment_errors) == (1, {"country=de": 1})
    assert counts.segment_latency == {"country=de": counts.latency}
    assert counts.ejections == 1
    assert (counts.requests, counts.attempts) == ({"GET 200": 1}, {"success": 1})
    assert (counts.in_flight, counts.request_bytes, counts.response_bytes) == (0, 11, 22)
    assert counts.tunnels == 1
    taken = registry.take()
    for each, segment in zip(taken.seen, ("", "country=de"), strict=True):
        assert each.segment == segment
        assert each.users is not None
        assert each.erring == each.users
        assert users_in(each.users) == [7]
        assert each.spread is not None
        assert [(sum(column), column[7]) for column in columns(each.spread)] == [(1, 1)] * 3
    (served,) = taken.served
    assert (served.endpoint, served.requests, served.errors) == ("http://a:80", 1, 1)
    assert (served.latency, served.spread) == (counts.latency, Spread((90,), (1, 1, 1)))
    assert registry.take() == Taken()
    names = {name for name in vars(VersionObserver) if not name.startswith("_")}
    assert names == {
        "started", "attempted", "finished", "belonged", "ejected", "in_flight", "tunnels", "moved",
        "charged", "saw", "served",
    }  # fmt: skip
