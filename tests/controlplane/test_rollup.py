import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from controlplane.rollup import (
    EVERYBODY,
    LEVELS,
    SHORTEST_S,
    CellKey,
    Cells,
    Figures,
    count,
    quantile_s,
    raised,
)
from proxy.model.wire import LAST_BUCKET, ReportRow, Spread
from proxy.telemetry.histogram import EDGES, bucket


def test_a_report_counts_where_it_began_at_every_level() -> None:
    cells: Cells = {}
    row = ReportRow("shop", "canary", "", 3, 1, {7: 3}, 0.05)
    count(cells, [row], 7_265.9, 10.0)
    assert raised(cells) == {
        CellKey(level_s, start, *name): figures
        for level_s, start in ((10, 7_260), (60, 7_260), (3_600, 7_200))
        for name, figures in (
            (EVERYBODY, Figures(reports=1, seconds=10.0)),
            (("shop", "canary", "", ""), Figures(3, 1, {7: 3}, 0.05)),
        )
    }


def test_a_report_without_rows_says_that_somebody_looked() -> None:
    cells: Cells = {}
    count(cells, [], 0.0, 10.0)
    count(cells, [], 5.0, 9.0)
    assert cells[CellKey(10, 0, *EVERYBODY)] == Figures(reports=2, seconds=19.0)
    assert len(raised(cells)) == len(LEVELS)


def test_an_interval_in_two_reports_is_one() -> None:
    row = ReportRow("shop", "canary", requests=1, latency={7: 1})
    cells: Cells = {}
    count(cells, [row], 0.0, 10.0)
    count(cells, [row], 0.0, 0.0)
    for level_s in LEVELS.values():
        sums = raised(cells)
        assert sums[CellKey(level_s, 0, *EVERYBODY)] == Figures(reports=1, seconds=10.0)
        assert sums[CellKey(level_s, 0, "shop", "canary", "")].requests == 2


def test_levels_begin_where_shorter_ones_do() -> None:
    lengths = list(LEVELS.values())
    assert lengths[0] == SHORTEST_S
    assert [long % short for short, long in pairwise(lengths)] == [0, 0]


def test_raising_changes_no_sum_of_the_shortest_level() -> None:
    cells: Cells = {}
    for start_s in (0.0, 10.0):
        count(cells, [ReportRow("shop", "canary", requests=1, latency={7: 1})], start_s, 10.0)
    sums = raised(cells)
    assert sums[CellKey(60, 0, "shop", "canary", "")].latency == {7: 2}
    assert sums[CellKey(10, 0, "shop", "canary", "")].latency == {7: 1}


def test_a_share_is_told_while_it_is_one() -> None:
    def shares(*told: float | None) -> float | None:
        cells: Cells = {}
        for share in told:
            count(cells, [ReportRow("shop", "canary", requests=1, share=share)], 0.0, 10.0)
        return cells[CellKey(10, 0, "shop", "canary", "")].share

    assert shares(0.05, 0.05) == 0.05
    assert shares(0.05, 0.1) is None
    assert shares(0.05, 0.1, 0.1) is None
    assert shares(None, 0.1) is None


def test_counting_changes_no_report() -> None:
    row = ReportRow("shop", "canary", requests=1, latency={7: 1})
    cells: Cells = {}
    count(cells, [row, row], 0.0, 10.0)
    assert row.latency == {7: 1}
    assert cells[CellKey(10, 0, "shop", "canary", "")].latency == {7: 2}


@given(st.lists(st.floats(0.0001, 100.0), min_size=1), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_at_most_a_bucket_above_the_true_one(times: list[float], q: float) -> None:
    latency: dict[int, int] = {}
    for seconds in times:
        latency[bucket(seconds)] = latency.get(bucket(seconds), 0) + 1
    true = sorted(times)[max(1, math.ceil(q * len(times))) - 1]
    found = quantile_s(latency, q)
    assert found is not None
    assert true <= found <= true * 2 ** (1 / 16) * 1.0001


def test_quantiles_of_nothing_and_of_what_took_too_long() -> None:
    assert quantile_s({}, 0.5) is None
    assert quantile_s({LAST_BUCKET: 1}, 0.5) == EDGES[-1]


def test_endpoints_are_not_kept_by_hours() -> None:
    spread = Spread((90,), (3, 1, 2))
    cells: Cells = {}
    for start_s in (0.0, 10.0):
        row = ReportRow("shop", "canary", "", 3, 1, {7: 3}, endpoint="http://a:80", spread=spread)
        count(cells, [row], start_s, 10.0)
    sums = raised(cells)
    key = CellKey(60, 0, "shop", "canary", "", "http://a:80")
    assert sums[key] == Figures(6, 2, {7: 6}, spread=Spread((90,), (6, 2, 4)))
    assert key._replace(level_s=10) in sums
    assert key._replace(level_s=3_600) not in sums
    assert CellKey(3_600, 0, *EVERYBODY) in sums
