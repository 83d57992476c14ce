"""Owns how the findings are shown and judged. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.slow.good import Figures

MOST_RATIO = 2.0
"""Of the good client's p99 under a slow attack by its p99 without."""
MOST_STALL_MS = 50.0
"""The longest that one flood may keep the good client waiting."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a slow attack held of the proxy."""

    opened: int
    closed: int
    rss_bytes: float
    """That the proxy grew by for each connection, at their most."""


@dataclass(frozen=True, slots=True)
class Row:
    """One attack and the good client beside it."""

    attack: str
    alone: Figures
    """Just before."""
    good: Figures
    held: Held | None = None
    note: str = ""


HEADER = ("attack", "requests", "failed", "p50 ms", "alone", "p99 ms", "alone", "ratio",
          "worst ms", "alone", "held", "closed", "KiB each", "")  # fmt: skip


def ratio(row: Row) -> float:
    """How many times the p99 is what it was without the attack."""
    return row.good.p99_ms / row.alone.p99_ms


def cells(row: Row) -> tuple[str, ...]:
    """One row's text."""
    good, alone, held = row.good, row.alone, row.held
    return (
        row.attack,
        f"{good.requests:,}",
        str(good.failures),
        f"{good.p50_ms:.2f}",
        f"{alone.p50_ms:.2f}",
        f"{good.p99_ms:.2f}",
        f"{alone.p99_ms:.2f}",
        f"{ratio(row):.2f}",
        f"{good.worst_ms:.1f}",
        f"{alone.worst_ms:.1f}",
        f"{held.opened:,}" if held else "",
        f"{held.closed:,}" if held else "",
        f"{held.rss_bytes / 1024:.1f}" if held else "",
        row.note,
    )


def table(rows: Sequence[Row]) -> str:
    """All of it, in columns."""
    lines = [HEADER, *(cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            text.ljust(width) if at in (0, len(widths) - 1) else text.rjust(width)
            for at, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def misses(rows: Sequence[Row]) -> list[str]:
    """What was promised and does not hold."""
    found = []
    for row in rows:
        if row.good.failures:
            found.append(f"{row.attack}: {row.good.failures} of the good client's requests failed")
        if row.held is not None and not ratio(row) <= MOST_RATIO:
            found.append(f"{row.attack}: p99 is {ratio(row):.1f} times what it was")
        if row.held is None and not row.good.worst_ms <= MOST_STALL_MS:
            found.append(f"{row.attack}: the good client waited {row.good.worst_ms:.0f} ms")
    return found
