from controlplane.audience import LOOK_BACK_S, Gathering, before, within
from controlplane.rollup import CellKey, Figures, Stretch
from proxy.model.users import MOST, Sketch
from proxy.model.wire import Sample

DAY_S, HOUR_S = 86_400, 3_600


def met(*users: int) -> Sample:
    sketch = Sketch()
    for user in users:
        sketch.add(user)
    return sketch.sample()


def row(
    version: str, segment: str = "", users: Sample | None = None, erring: Sample | None = None
) -> tuple[CellKey, Figures]:
    sums = Figures(10, 1, {90: 10}, users=users, erring=erring)
    return CellKey(60, 0, "shop", version, segment), sums


def test_users_are_counted_once_over_all_intervals() -> None:
    gathering = Gathering()
    gathering.met_before([row("stable", users=met(1, 2)), row("canary", users=met(3))])
    gathering.met_before([row("canary", "country=de", met(5)), row("stable")])
    gathering.add([row("canary", users=met(1, 4), erring=met(4)), row("stable")])
    gathering.add([row("canary", users=met(3, 4, 5), erring=met(4)), row("canary", "country=de")])
    german, canary, stable = sorted(gathering.found(), key=lambda each: -len(each.segment))
    assert (canary.requests, canary.errors, canary.latency) == (20, 2, {90: 20})
    assert (canary.users, canary.new_users, canary.erring_users) == (4, 2, 1)
    assert (german.segment, german.users, german.new_users) == ("country=de", None, None)
    assert (stable.version, stable.requests, stable.erring_users) == ("stable", 10, None)


def test_of_many_users_the_new_ones_are_about_right() -> None:
    """Half of them were met before, in a sample of another depth."""
    step = 2**64 // 10_000
    everybody = [number * step for number in range(10_000)]
    gathering = Gathering()
    gathering.met_before([row("stable", users=met(*everybody[::2]))])
    gathering.add([row("canary", users=met(*everybody))])
    (found,) = gathering.found()
    assert found.users is not None
    assert found.new_users is not None
    assert abs(found.users - 10_000) < 10_000 * 3 * 1.2 / MOST**0.5
    assert abs(found.new_users - found.users / 2) < 0.1 * found.users


def test_the_past_is_looked_at_in_intervals_as_long_as_can_be() -> None:
    start = 10 * DAY_S + 5 * HOUR_S + 7 * 60 + 20
    hour, minute = 10 * DAY_S + 5 * HOUR_S, 10 * DAY_S + 5 * HOUR_S + 7 * 60
    assert list(before(start)) == [
        Stretch(HOUR_S, range(hour - LOOK_BACK_S, hour, HOUR_S)),
        Stretch(60, range(hour, minute, 60)),
        Stretch(10, range(minute, start, 10)),
    ]
    assert list(before(hour)) == [Stretch(HOUR_S, range(hour - LOOK_BACK_S, hour, HOUR_S))]


def test_a_stretch_is_of_intervals_that_begin_in_it() -> None:
    assert list(within(60, 61, 180).starts) == [120]
    assert list(within(60, 60, 181).starts) == [60, 120, 180]
    assert not within(60, 200, 100).starts
