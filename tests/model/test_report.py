import pytest

from proxy.model.errors import ConfigError, Problem
from proxy.model.report import Report, field_of, item_of, lineage


def found(report: Report) -> list[tuple[str, int]]:
    with pytest.raises(ConfigError) as caught:
        report.refuse()
    return [(problem.field, problem.line) for problem in caught.value.problems]


def test_paths() -> None:
    assert field_of("", "routes") == "routes"
    assert field_of(item_of("routes", 0), "match") == "routes[0].match"
    assert field_of("a", "b\nc") == r"a.b\nc"
    assert field_of("", "x" * 81) == "x" * 80 + "…"
    assert list(lineage("routes[0].match")) == ["routes[0].match", "routes[0]", "routes", ""]


def test_nothing_wrong() -> None:
    Report("f").refuse()


def test_lines_come_from_the_nearest_field_and_set_the_order() -> None:
    report = Report("f")
    report.lines = {"": 1, "a": 3, "a.b": 5}
    report.add("a.b.c", "")
    report.add("a.x", "")
    report.add("z", "")
    report.add("y", "", 4)
    assert found(report) == [("z", 1), ("a.x", 3), ("y", 4), ("a.b.c", 5)]


def test_without_lines() -> None:
    report = Report("")
    report.add("a", "")
    assert found(report) == [("a", 0)]


def test_echoes_are_left_out() -> None:
    report = Report("f")
    report.add("a.b", "wrong")
    echoes = [Problem(field, "") for field in ("a", "a.b", "a.b.c", "needs-ab")]
    news = [Problem(field, "") for field in ("a.c", "z", "z", "needs-a")]
    needs = {"needs-ab": "a.b.x", "needs-a": "a"}
    report.add_dependent([*echoes, *news], lambda field: needs.get(field, ""))
    assert [field for field, _ in found(report)] == ["a.b", "a.c", "z", "z", "needs-a"]


def test_stop() -> None:
    report = Report("f")
    report.add("a", "first", 1)
    with pytest.raises(ConfigError, match=r"^f:1: a: first\nf:2: last$"):
        report.stop("last", 2)
