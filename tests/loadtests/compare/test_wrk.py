from pathlib import Path

import pytest

from loadtests.compare.scenarios import SCENARIOS
from loadtests.compare.wrk import Summary, UnreadableOutput, command, parse

PLAIN = """\
Running 5s test @ http://127.0.0.1:18001/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.10ms    1.01ms  20.11ms   50.17%
    Req/Sec    30.21k     1.99k   33.90k    99.00%
  Latency Distribution
     50%    1.98ms
     75%    2.40ms
     90%    3.10ms
     99%  812.00us
  150321 requests in 5.00s, 41.20MB read
Requests/sec:  30064.20
Transfer/sec:      8.24MB
"""
WITH_ERRORS = PLAIN.replace(
    "Requests/sec:",
    "  Socket errors: connect 1, read 20, write 300, timeout 4000\n"
    "  Non-2xx or 3xx responses: 70000\nRequests/sec:",
)


def test_the_summary_is_read() -> None:
    assert parse(PLAIN) == Summary(150_321, 30_064.2, 1.98, 0.812, 0)


def test_every_kind_of_failure_is_counted() -> None:
    assert parse(WITH_ERRORS).failed == 74_321


@pytest.mark.parametrize(
    ("text", "ms"), [("15.00us", 0.015), ("7.5ms", 7.5), ("1.20s", 1200), ("2.00m", 120_000)]
)
def test_units_of_time(text: str, ms: float) -> None:
    assert parse(PLAIN.replace("1.98ms", text)).p50_ms == pytest.approx(ms)


@pytest.mark.parametrize(
    "gone", ["150321 requests in", "Requests/sec:", "50%    1.98ms", "99%  812.00us", "1.98ms"]
)
def test_a_missing_figure_is_no_summary(gone: str) -> None:
    with pytest.raises(UnreadableOutput):
        parse(PLAIN.replace(gone, "nothing"))


def test_what_wrk_is_given() -> None:
    asked = command(Path("a.lua"), 16, 3, 81)
    assert asked[0] == "wrk"
    assert {"--connections=16", "--duration=3s", "--script=a.lua", "--latency"} <= set(asked)
    assert asked[-1] == "http://127.0.0.1:81/"


def test_scripts_hold_what_the_scenario_says() -> None:
    assert set(SCENARIOS) == {"keepalive", "post16k", "get1m", "churn"}
    script = SCENARIOS["post16k"].script()
    assert 'string.rep("b", 16384)' in script
    assert 'wrk.format("POST", "/api/items", fields, body)' in script
    assert '["Connection"] = "close"' in SCENARIOS["churn"].script()
    assert "local body = nil" in SCENARIOS["get1m"].script()
