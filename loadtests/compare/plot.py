"""Owns the picture of a comparison: a panel for each work, a bar for each proxy. Nothing else
imports matplotlib, which only the ``bench`` group installs. Never measures.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure as Sheet

from loadtests.compare.figures import Figures, Spread
from loadtests.compare.options import IDLE, RATE
from loadtests.compare.scenarios import SCENARIOS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS, THEIRS = "#c2410c", "#94a3b8"
PANELS = (
    *((name, "cpu_us", f"{name}: CPU µs/request") for name in SCENARIOS),
    (RATE, "added_p99_ms", "added p99 at a fixed rate, ms"),
    (IDLE, "kb_each", "KB per idle connection"),
)
ACROSS = 2


def draw(figures: Figures, ours: str, file: Path) -> None:
    """Write the picture; its kind is that of the file's name."""
    panels = [panel for panel in PANELS if figures.ranking(panel[0], panel[1])]
    down = -(-len(panels) // ACROSS)
    # Text stays text, and the same figures make the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "splitway", "font.size": 9}):
        sheet = Sheet(figsize=(9, 0.4 + 2.1 * max(down, 1)), layout="constrained")
        for place, (work, name, title) in enumerate(panels, 1):
            axes = sheet.add_subplot(down, ACROSS, place)
            axes.set_title(title, loc="left", fontsize=10)
            _bars(axes, _spreads(figures, work, name), ours)
        metadata = {"Date": None} if file.suffix == ".svg" else None
        sheet.savefig(file, metadata=metadata)


def _spreads(figures: Figures, work: str, name: str) -> dict[str, Spread]:
    found = {proxy: figures.spread(proxy, work, name) for proxy in figures.ranking(work, name)}
    return {proxy: spread for proxy, spread in found.items() if spread}


def _bars(axes: "Axes", spreads: dict[str, Spread], ours: str) -> None:
    names = list(spreads)
    medians = [spread.median for spread in spreads.values()]
    below = [spread.median - spread.low for spread in spreads.values()]
    above = [spread.high - spread.median for spread in spreads.values()]
    colours = [OURS if name == ours else THEIRS for name in names]
    bars = axes.barh(
        names, medians, xerr=[below, above], color=colours, ecolor="#334155", capsize=2
    )
    axes.bar_label(bars, labels=[_label(median) for median in medians], padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)


def _label(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
