"""What several processes have seen is what one would have."""

from proxy.model.spread import WIDTH, Tally
from proxy.model.taken import joined, summed
from proxy.model.users import Sketch
from proxy.model.wire import ReportRow, Sample, Spread, Taken, UsersSeen


def sampled(*users: int) -> Sample:
    sketch = Sketch()
    for user in users:
        sketch.add(user)
    return sketch.sample()


def spread(*users: int) -> Spread:
    tally = Tally((10,), WIDTH)
    for user in users:
        tally.add(user, 11, charged=False)
    return tally.spread()


def served(endpoint: str, requests: int, *, version: str = "b") -> ReportRow:
    slow = Spread((10,), (requests, 0, requests))
    latency = {11: requests}
    return ReportRow("shop", version, "", requests, 0, latency, endpoint=endpoint, spread=slow)


def test_processes_are_joined_by_version_segment_and_endpoint() -> None:
    one, two, none = sampled(1, 2), sampled(2, 3), sampled()
    first = Taken(
        (
            UsersSeen("shop", "b", "", one, one, spread(1, 2)),
            UsersSeen("shop", "a", "", one, none, spread(1)),
        ),
        (served("http://y:80", 1), served("http://x:80", 2)),
    )
    second = Taken(
        (UsersSeen("shop", "b", "", two, none, spread(2, 3)),),
        (served("http://x:80", 3), served("http://x:80", 3, version="a")),
    )
    nobody = Taken((UsersSeen("shop", "a", "", None, None, spread(0)),))
    assert joined([first, second, nobody, Taken()]) == Taken(
        (
            UsersSeen("shop", "a", "", one, none, spread(1, 0)),
            UsersSeen("shop", "b", "", sampled(1, 2, 3), one, spread(1, 2, 2, 3)),
        ),
        (
            served("http://x:80", 3, version="a"),
            served("http://x:80", 5),
            served("http://y:80", 1),
        ),
    )


def test_rows_about_the_same_are_one_and_none_is_changed() -> None:
    rows = served("http://x:80", 1), served("", 2), served("http://x:80", 4)
    assert summed(rows) == (served("http://x:80", 5), served("", 2))
    assert rows[0] == served("http://x:80", 1)
