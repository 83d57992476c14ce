"""Owns the tables: which figures stand where, and their text. It is Markdown that a terminal shows
as well. Never measures and never decides what is good.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loadtests.compare.figures import Figures, Spread
from loadtests.compare.options import IDLE, RATE, WEIGHTS
from loadtests.compare.scenarios import SCENARIOS

BASES = ("Envoy", "HAProxy")
DIRECT = "(direct)"
"""Stands for no proxy at all."""
START = "start"
NONE = "–"


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of each proxy."""

    title: str
    name: str
    spec: str
    spread: bool = False
    """Show the lowest and the highest round too."""


_LOAD = (
    Column("CPU µs/request (range)", "cpu_us", ".1f", spread=True),
    Column("requests/s", "rps", ",.0f"),
    Column("p50 ms", "p50_ms", ".2f"),
    Column("p99 ms", "p99_ms", ".2f"),
    Column("PSS MB", "pss_mb", ".0f"),
    Column("failed", "failed", ",.0f"),
)
_RATE = (
    Column("added p50 ms", "added_p50_ms", "+.3f"),
    Column("added p90 ms", "added_p90_ms", "+.3f"),
    Column("added p99 ms (range)", "added_p99_ms", "+.3f", spread=True),
    Column("p50 ms", "p50_ms", ".3f"),
    Column("p99 ms", "p99_ms", ".3f"),
    Column("failed", "failed", ",.0f"),
)
_IDLE = (
    Column("KB each (range)", "kb_each", ".1f", spread=True),
    Column("PSS before MB", "pss_before_mb", ".0f"),
    Column("PSS after MB", "pss_after_mb", ".0f"),
    Column("connections", "connections", ",.0f"),
    Column("lost", "failed", ",.0f"),
)
_START = (Column("seconds (range)", "start_s", ".3f", spread=True),)
_WEIGHTS = (
    Column("ms (range)", "applied_ms", ".1f", spread=True),
    Column("slowest ms", "slowest_ms", ".1f"),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one table shows.

    Attributes:
        what: in words.
        rank: the figure that orders the proxies.
        bases: proxies that the first column is also shown as a multiple of.
    """

    work: str
    title: str
    what: str
    columns: tuple[Column, ...]
    rank: str
    bases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """One table with its heading."""

    title: str
    what: str
    text: str


def tables_of(figures: Figures, rate: float) -> list[Table]:
    """A table for each work that was measured."""
    plans = [
        Plan(name, name, f"{scenario.what}.", _LOAD, "cpu_us", BASES)
        for name, scenario in SCENARIOS.items()
    ]
    paced = f"{rate:,.0f} requests/s"
    plans += [
        Plan(RATE, paced, "Latency added to a direct connection, open loop.", _RATE, "p50_ms"),
        Plan(IDLE, "Idle connections", "Memory of one that is kept alive.", _IDLE, "kb_each"),
        Plan(START, "Start", "From starting the process to its first 200.", _START, "start_s"),
        Plan(
            WEIGHTS, "Weights", "From the API's call to the first answer of the new version.",
            _WEIGHTS, "applied_ms",
        ),
    ]  # fmt: skip
    return [Table(plan.title, plan.what, text) for plan in plans if (text := _text(figures, plan))]


def _text(figures: Figures, plan: Plan) -> str:
    """The table's text; empty when nothing of its work was measured."""
    proxies = figures.ranking(plan.work, plan.rank)
    if not proxies:
        return ""
    lead, *others = plan.columns
    bases = [base for base in plan.bases if base in proxies]
    title = [
        "proxy", lead.title, *(f"× {base}" for base in bases), *(each.title for each in others),
    ]  # fmt: skip

    def row(proxy: str) -> list[str]:
        shown = {
            each: cell(figures.spread(proxy, plan.work, each.name), each) for each in plan.columns
        }
        ratios = [_ratio(figures.ratio(proxy, base, plan.work, lead.name)) for base in bases]
        return [proxy, shown[lead], *ratios, *(shown[each] for each in others)]

    return markdown(title, map(row, proxies))


def cell(spread: Spread | None, column: Column) -> str:
    """A figure's text."""
    if spread is None:
        return NONE
    text = format(spread.median, column.spec)
    if not column.spread:
        return text
    return f"{text} ({spread.low:{column.spec}}–{spread.high:{column.spec}})"


def _ratio(ratio: float | None) -> str:
    return NONE if ratio is None else f"{ratio:.2f}"


def markdown(title: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose columns are as wide as their widest cell; the first one leans to the left."""
    lines = [list(title), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    texts = [
        [line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]
        for line in (lines[0], rule, *lines[1:])
    ]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in texts)
