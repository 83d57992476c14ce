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
    pss_bytes: float
    """Of each connection, at their most."""


@dataclass(frozen=True, slots=True)
class Row:
    """One attack and the good client beside it."""

    attack: str
    good: Figures
    held: Held | None = None
    note: str = ""


HEADER = ("attack", "requests", "failed", "p50 ms", "p99 ms", "p99 alone", "ratio", "worst ms",
          "held", "closed", "KiB each", "")  # fmt: skip


def ratio(quiet: Figures, row: Row) -> float:
    """How many times the p99 is what it was without the attack."""
    return row.good.p99_ms / quiet.p99_ms


def cells(quiet: Figures, row: Row) -> tuple[str, ...]:
    """One row's text."""
    good, held = row.good, row.held
    return (
        row.attack,
        f"{good.requests:,}",
        str(good.failures),
        f"{good.p50_ms:.2f}",
        f"{good.p99_ms:.2f}",
        f"{quiet.p99_ms:.2f}",
        f"{ratio(quiet, row):.2f}",
        f"{good.worst_ms:.1f}",
        f"{held.opened:,}" if held else "",
        f"{held.closed:,}" if held else "",
        f"{held.pss_bytes / 1024:.1f}" if held else "",
        row.note,
    )


def table(quiet: Figures, rows: Sequence[Row]) -> str:
    """All of it, in columns."""
    lines = [HEADER, cells(quiet, Row("none", quiet)), *(cells(quiet, row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            text.ljust(width) if at in (0, len(widths) - 1) else text.rjust(width)
            for at, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def misses(quiet: Figures, rows: Sequence[Row]) -> list[str]:
    """What was promised and does not hold."""
    found = []
    for row in rows:
        if row.good.failures:
            found.append(f"{row.attack}: {row.good.failures} of the good client's requests failed")
        if row.held is not None and not ratio(quiet, row) <= MOST_RATIO:
            found.append(f"{row.attack}: p99 is {ratio(quiet, row):.1f} times what it was")
        if row.held is None and not row.good.worst_ms <= MOST_STALL_MS:
            found.append(f"{row.attack}: the good client waited {row.good.worst_ms:.0f} ms")
    return found
