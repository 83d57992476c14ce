from loadtests.compare.figures import Figures
from loadtests.compare.table import DIRECT, markdown, tables_of

LOAD = {"rps": 12345.6, "p50_ms": 1.234, "p99_ms": 9.876, "pss_mb": 22.4, "failed": 0}


def figures() -> Figures:
    made = Figures()
    for cpu_us in (18.0, 20.04, 30.0):
        made.add("Splitway", "keepalive", {**LOAD, "cpu_us": cpu_us})
    made.add("HAProxy", "keepalive", {**LOAD, "cpu_us": 16})
    made.add("Envoy", "keepalive", {**LOAD, "cpu_us": 40, "failed": 1234})
    return made


def rows_of(text: str) -> dict[str, list[str]]:
    lines = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in text.splitlines()]
    return {line[0]: line[1:] for line in lines}


def test_a_load_s_table_has_ranges_ratios_and_failures() -> None:
    (table,) = tables_of(figures(), 1000)
    rows = rows_of(table.text)
    assert list(rows)[2:] == ["HAProxy", "Splitway", "Envoy"]
    assert rows["proxy"][:3] == ["CPU µs/request (range)", "× Envoy", "× HAProxy"]
    assert rows["Splitway"] == [
        "20.0 (18.0–30.0)", "0.50", "1.25", "12,346", "1.23", "9.88", "22", "0",
    ]  # fmt: skip
    assert rows["Envoy"][1:3] == ["1.00", "2.50"]
    assert rows["Envoy"][-1] == "1,234"


def test_ratios_only_to_who_is_there() -> None:
    made = figures()
    made.drop("Envoy")
    (table,) = tables_of(made, 1000)
    assert "Envoy" not in table.text
    assert "× HAProxy" in table.text


def test_the_direct_connection_has_no_added_latency() -> None:
    made = Figures()
    plain = {"p50_ms": 0.1, "p90_ms": 0.2, "p99_ms": 0.3, "failed": 0}
    made.add(DIRECT, "rate", plain)
    made.add("nginx", "rate", {**plain, "p50_ms": 0.15, "added_p50_ms": 0.05, "added_p90_ms": -0.01,
                               "added_p99_ms": 0.2})  # fmt: skip
    (table,) = tables_of(made, 2500)
    assert table.title == "2,500 requests/s"
    rows = rows_of(table.text)
    assert rows[DIRECT] == ["–", "–", "–", "0.100", "0.300", "0"]
    assert rows["nginx"][:3] == ["+0.050", "-0.010", "+0.200 (+0.200–+0.200)"]


def test_nothing_measured_makes_no_table() -> None:
    assert tables_of(Figures(), 1000) == []


def test_other_measures_have_their_tables() -> None:
    made = Figures()
    idle = {"kb_each": 7.77, "pss_before_mb": 20, "pss_after_mb": 98, "connections": 10_000,
            "failed": 0}  # fmt: skip
    made.add("Splitway", "idle", idle)
    made.add("Splitway", "start", {"start_s": 0.3456})
    made.add("Splitway", "weights", {"applied_ms": 4.2, "slowest_ms": 9.9})
    titles = {table.title: rows_of(table.text)["Splitway"] for table in tables_of(made, 1000)}
    assert titles == {
        "Idle connections": ["7.8 (7.8–7.8)", "20", "98", "10,000", "0"],
        "Start": ["0.346 (0.346–0.346)"],
        "Weights": ["4.2 (4.2–4.2)", "9.9"],
    }


def test_columns_are_aligned() -> None:
    assert markdown(["a", "number"], [["bcd", "1"], ["e", "12"]]) == (
        "| a   | number |\n| --- | -----: |\n| bcd |      1 |\n| e   |     12 |\n"
    )
