"""The picture is written, names every proxy, and is the same for the same figures."""

from pathlib import Path

import pytest

from loadtests.compare.figures import Figures
from loadtests.compare.plot import draw
from loadtests.compare.table import DIRECT


def figures() -> Figures:
    made = Figures()
    for proxy, cpu_us in (("Splitway", 18.0), ("Envoy", 1420.0)):
        for more in (0.0, 1.5):
            made.add(proxy, "keepalive", {"cpu_us": cpu_us + more})
            made.add(proxy, "rate", {"added_p99_ms": cpu_us / 100, "p50_ms": 1})
    made.add(DIRECT, "rate", {"p50_ms": 0.1})
    return made


def test_the_plot_shows_every_proxy(tmp_path: Path) -> None:
    draw(figures(), "Splitway", tmp_path / "plot.svg")
    text = (tmp_path / "plot.svg").read_text()
    for words in ("Splitway", "Envoy", "keepalive: CPU µs/request", "1,421"):
        assert words in text
    assert "churn" not in text
    assert DIRECT not in text


def test_the_same_figures_make_the_same_file(tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        draw(figures(), "Splitway", tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


@pytest.mark.parametrize("name", ["plot.png", "plot.svg"])
def test_a_plot_of_nothing_is_still_a_file(tmp_path: Path, name: str) -> None:
    draw(Figures(), "Splitway", tmp_path / name)
    assert (tmp_path / name).stat().st_size > 0
