"""Owns how findings are said: plain lines, from the clients' own journal. Never judges itself.

``python -m loadtests.report JOURNAL`` prints them and exits 1 if the run was not good.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from loadtests.analysis import Findings, StepShares, analyse
from loadtests.journal import JournalError, decode_all, weights_text
from loadtests.tables import slot_of, tables_of

TOLERANCE = 0.01
"""How far a share seen over users may be from the share asked, 0–1."""


def findings_of(journal: Path) -> Findings:
    """What a journal file proves; nothing if it does not exist yet.

    Raises:
        JournalError: the file is not a journal.
    """
    if not journal.exists():
        return Findings()
    return analyse(decode_all(journal.read_bytes()), tables_of, slot_of)


def lines_of(findings: Findings, tolerance: float = TOLERANCE) -> list[str]:
    """The findings as lines for people, the verdict last."""
    faults = findings.faults(tolerance)
    return [
        *figures_of(findings),
        *(f"FAULT      {fault}" for fault in faults),
        "verdict    not good" if faults else "verdict    good",
    ]


def figures_of(findings: Findings) -> list[str]:
    """The findings as lines for people, without a verdict."""
    rate = findings.sent / findings.seconds if findings.seconds else 0.0
    speed = f"{rate:,.0f}/s, p50 {findings.p50_ms:.1f} ms, p99 {findings.p99_ms:.1f} ms"
    moved = f"{findings.changed:,} users changed version, {findings.had_to:,} had to"
    lines = [
        f"requests   sent {findings.sent:,}, failed {findings.failed:,} ({speed})",
        *(f"           {count:,} × {error}" for error, count in findings.failures[:10]),
        f"users      {findings.users:,} seen of {findings.population or findings.users:,}",
        f"moved      {moved}, {len(findings.without_need):,} without need",
    ]
    if findings.misplaced:
        lines.append(f"misplaced  {len(findings.misplaced):,} users")
    for step in findings.steps:
        lines += _step_lines(step)
    return lines


def _step_lines(step: StepShares) -> list[str]:
    asked = weights_text(step.weights) if step.weights else "unknown weights"
    settled = f", in force within {step.settled_ms:.0f} ms of the API's answer" if step.step else ""
    lines = [f"step {step.step}     {asked}: {step.users:,} users{settled}"]
    for version in sorted({*step.asked, *step.seen}):
        figures = [
            f"{name} {_percent(shares, version)}"
            for name, shares in (
                ("asked", step.asked),
                ("these users' own by slot", step.own),
                ("seen", step.seen),
            )
            if shares
        ]
        lines.append(f"           {version}: {', '.join(figures)}")
    return lines


def _percent(shares: Mapping[str, float], version: str) -> str:
    return f"{shares.get(version, 0.0):.2%}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a journal's findings; 0 when the run was good, 1 when not, 2 when it is no journal."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.report", description=__doc__)
    parser.add_argument("journal", type=Path)
    path = parser.parse_args(arguments).journal
    if not path.is_file():
        print(f"{path}: no such file", file=sys.stderr)
        return 2
    try:
        findings = findings_of(path)
    except JournalError as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines_of(findings)))
    return 1 if findings.faults(TOLERANCE) else 0


if __name__ == "__main__":
    sys.exit(main())
