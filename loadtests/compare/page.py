"""Owns the page of the documents that shows a comparison. What stands outside of its two marks is
written by hand and never touched.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from loadtests.compare.machine import Machine
from loadtests.compare.options import Options
from loadtests.compare.table import Table

PAGE = "benchmarks.md"
PLOT = "benchmarks.svg"
BEGIN = "<!-- make bench writes from here -->"
END = "<!-- to here -->"


class NoMarks(Exception):
    """The page has no place for the figures."""


def body(
    machine: Machine, versions: Mapping[str, str], options: Options, tables: Iterable[Table]
) -> str:
    """What stands between the marks."""
    peers = ", ".join(f"{name} {version}" for name, version in versions.items())
    commit = f" (commit {machine.commit})" if machine.commit else ""
    facts = (
        f"Measured on {machine.date}: {machine.cpu}, {machine.cores} CPUs, {machine.kernel}.",
        f"{peers}{commit}; Python {machine.python}, uvloop {machine.uvloop}.",
        f"Rounds: {options.rounds}, {options.seconds} s for each load; medians are shown.",
    )
    parts = ["\n".join(facts), f"![CPU per request of each proxy]({PLOT})"]
    parts += [f"### {table.title}\n\n{table.what}\n\n{table.text.rstrip()}" for table in tables]
    return "\n\n".join(parts) + "\n"


def placed(page: str, text: str) -> str:
    """The page with ``text`` between its marks.

    Raises:
        NoMarks: one is missing, or they are the wrong way round.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise NoMarks(f"the page has no lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"


def write_page(file: Path, text: str) -> None:
    """Put ``text`` into the page, or begin one."""
    page = file.read_text() if file.exists() else f"# Benchmarks\n\n{BEGIN}\n{END}\n"
    file.write_text(placed(page, text))
