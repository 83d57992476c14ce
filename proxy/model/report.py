"""Owns the collecting of problems while a text is read, and which line each field stands on.

Never raises for the first mistake: only for the thousandth, after which a list helps nobody.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn

from proxy.model.errors import ConfigError, Problem

MAX_PROBLEMS = 1_000
_KEY_SHOWN = 80


def field_of(path: str, key: str) -> str:
    """The path of a mapping's entry."""
    name = key if key.isprintable() else ascii(key)[1:-1]
    name = name if len(name) <= _KEY_SHOWN else f"{name[:_KEY_SHOWN]}…"
    return f"{path}.{name}" if path else name


def item_of(path: str, index: int) -> str:
    """The path of a list's item."""
    return f"{path}[{index}]"


def lineage(field: str) -> Iterator[str]:
    """A field, then what holds it, up to the whole text (the empty path)."""
    while field:
        yield field
        field = field[: max(field.rfind("."), field.rfind("["), 0)]
    yield ""


class Report:
    """The problems of one text, in the order they were found."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._problems: list[Problem] = []
        self.lines: dict[str, int] = {}
        """Where each field that was read stands."""

    def add(self, field: str, message: str, line: int = 0) -> None:
        """Notes one problem; without a line it gets that of the nearest field that has one.

        Raises: ConfigError when there are too many to be worth listing.
        """
        line = line or self._line_of(field)
        self._problems.append(Problem(field, message, self._file, line))
        if len(self._problems) >= MAX_PROBLEMS:
            last = f"there are more problems than these {MAX_PROBLEMS}"
            self._problems.append(Problem("", last, self._file, line))
            raise self._error()

    def stop(self, message: str, line: int) -> NoReturn:
        """Raises: ConfigError with this problem of the whole text, and those before."""
        self.add("", message, line)
        raise self._error()

    def add_dependent(self, found: Iterable[Problem], needs: Callable[[str], str]) -> None:
        """Notes problems between fields, but not the echoes of what is noted already.

        Args: needs: the field that a problem's field is compared with, or nothing.
        An echo stands on, above or below a field that is wrong by itself, or needs one that is:
        that field's own problem says what to do.
        """
        wrong = {problem.field for problem in self._problems}
        holding = {path for field in wrong for path in lineage(field)}
        for problem in found:
            above = {*lineage(problem.field), *lineage(needs(problem.field))}
            if problem.field not in holding and wrong.isdisjoint(above):
                self.add(problem.field, problem.message)

    def refuse(self) -> None:
        """Raises: ConfigError with everything noted so far, by line, if there is anything."""
        if self._problems:
            raise self._error()

    def _error(self) -> ConfigError:
        return ConfigError(sorted(self._problems, key=lambda problem: problem.line))

    def _line_of(self, field: str) -> int:
        return next((self.lines[path] for path in lineage(field) if path in self.lines), 0)
