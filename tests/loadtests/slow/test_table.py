"""How the findings are shown and judged."""

import math
from dataclasses import replace

import pytest

from loadtests.slow.good import Figures
from loadtests.slow.table import Held, Row, misses, table

QUIET = Figures(requests=1_000, failures=0, p50_ms=1.0, p99_ms=4.0, worst_ms=9.0)
HELD = Held(opened=9_000, closed=8_999, rss_bytes=10_240.0)


def test_the_table_has_every_figure() -> None:
    slow = Row("heads", QUIET, replace(QUIET, p99_ms=6.0, failures=3), HELD)
    flood = Row("long-head", QUIET, replace(QUIET, worst_ms=48.7), note="1000/s: 431 × 7")
    lines = [" ".join(line.split()) for line in table([slow, flood]).splitlines()]
    assert lines[1:] == [
        "heads 1,000 3 1.00 1.00 6.00 4.00 1.50 9.0 9.0 9,000 8,999 10.0",
        "long-head 1,000 0 1.00 1.00 4.00 4.00 1.00 48.7 9.0 1000/s: 431 × 7",
    ]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (Row("heads", QUIET, replace(QUIET, p99_ms=8.0), HELD), ""),
        (Row("heads", QUIET, replace(QUIET, p99_ms=8.1), HELD), "p99 is 2.0 times"),
        (Row("heads", QUIET, replace(QUIET, p99_ms=math.nan), HELD), "p99 is nan times"),
        (
            Row("heads", QUIET, replace(QUIET, failures=1), HELD),
            "1 of the good client's requests",
        ),
        (Row("heads", QUIET, replace(QUIET, worst_ms=400.0), HELD), ""),
        (Row("long-head", QUIET, replace(QUIET, p99_ms=40.0, worst_ms=50.0)), ""),
        (Row("long-head", QUIET, replace(QUIET, worst_ms=51.0)), "waited 51 ms"),
        (
            Row("long-head", QUIET, replace(QUIET, failures=2)),
            "2 of the good client's requests",
        ),
    ],
)
def test_what_does_not_hold_is_named(row: Row, words: str) -> None:
    found = misses([row])
    assert len(found) == int(bool(words))
    assert all(f"{row.attack}: " in line and words in line for line in found)
