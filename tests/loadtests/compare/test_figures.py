import pytest

from loadtests.compare.figures import Figure, Figures, Spread


def figures() -> Figures:
    made = Figures()
    for ours, theirs in ((20, 40), (26, 44), (21, 90)):
        made.add("ours", "keepalive", {"cpu_us": ours, "failed": 0})
        made.add("theirs", "keepalive", {"cpu_us": theirs, "failed": 0})
    made.add("ours", "churn", {"cpu_us": 1})
    return made


def test_medians_and_spreads_are_over_rounds() -> None:
    assert figures().spread("ours", "keepalive", "cpu_us") == Spread(21, 20, 26)
    assert figures().spread("theirs", "keepalive", "cpu_us") == Spread(44, 40, 90)
    assert figures().spread("theirs", "churn", "cpu_us") is None


def test_ratios_are_of_medians() -> None:
    made = figures()
    assert made.ratio("ours", "theirs", "keepalive", "cpu_us") == pytest.approx(21 / 44)
    assert made.ratio("theirs", "theirs", "keepalive", "cpu_us") == 1
    assert made.ratio("ours", "theirs", "churn", "cpu_us") is None
    assert made.ratio("ours", "theirs", "keepalive", "failed") is None, "by 0"


def test_the_ranking_begins_with_the_lowest() -> None:
    assert figures().ranking("keepalive", "cpu_us") == ["ours", "theirs"]
    assert figures().ranking("churn", "cpu_us") == ["ours"]
    assert figures().ranking("get1m", "cpu_us") == []


def test_a_proxy_that_is_dropped_is_nowhere() -> None:
    made = figures()
    made.drop("ours")
    assert made.ranking("keepalive", "cpu_us") == ["theirs"]
    assert Figure("theirs", "keepalive", "cpu_us", 40) in made.all
