"""Owns how a wrong configuration is reported. Never prints, never exits.

A configuration is refused whole: every problem is collected first, then raised at once.
"""

from collections.abc import Iterable

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """One mistake: which field, what is wrong with it, and where it stands."""

    field: str
    """Dotted path from the top, e.g. ``services.shop.weights.canary``; empty for the whole text."""
    message: str
    file: str = ""
    line: int = 0
    """1-based; 0 where the text has no lines (a request body built by a program)."""

    def __str__(self) -> str:
        field = f"{self.field}: " if self.field else ""
        if self.file and self.line:  # the form that editors and CI make a link of
            return f"{self.file}:{self.line}: {field}{self.message}"
        tail = f", line {self.line}" if self.line else ""
        return f"{field}{self.message}{tail}"


class ConfigError(Exception):
    """A configuration that is refused as a whole; holds every problem found in it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))
