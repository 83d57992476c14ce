"""Owns what the Locust files are told by environment variables. Never reads them twice.

A missing or wrong one ends the run before it starts, with the name of the variable.
"""

import os
import sys
from pathlib import Path
from typing import NoReturn

from loadtests.journal import parse_steps


def refuse(name: str, problem: str) -> NoReturn:
    """Ends the process with a clear message."""
    sys.exit(f"{name}: {problem}")


def text(name: str, default: str | None = None) -> str:
    """A variable's text; without a default it must be set."""
    value = os.environ.get(name) or default
    if value is None:
        refuse(name, "must be set; see the top of the Locust file")
    return value


def number(name: str, default: float, least: float) -> float:
    """A variable as a number of at least ``least``."""
    value = text(name, f"{default:g}")
    try:
        parsed = float(value)
    except ValueError:
        refuse(name, f"{value!r} is not a number")
    if not least <= parsed < float("inf"):
        refuse(name, f"{value} is out of range; at least {least:g}")
    return parsed


def steps(name: str, default: str | None = None) -> list[dict[str, int]]:
    """A variable as weights step by step."""
    try:
        return parse_steps(text(name, default))
    except ValueError as error:
        refuse(name, str(error))


def journal_path() -> Path:
    """Where the journal is written."""
    return Path(text("LOAD_JOURNAL", "run/journal.jsonl"))
