"""Owns what an operator sees: tables for people, JSON for programs. Never calls the API.

Names come from proxies and files: nothing in them may move the cursor or colour the screen.
"""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDTH_OF_A_PIPE = 240
"""Where no terminal says its width, nothing should be cut."""


def show_json(answer: Any) -> None:
    """The answer as it came, indented."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode() + "\n")


def show_services(answer: dict[str, Any]) -> None:
    """One line a version."""
    rows = []
    for service in answer["services"]:
        name, proxies = service["name"], service["proxies"]
        told = f"{proxies['on_newest']} of {proxies['connected']}"
        for version, weight in service["weights"].items():
            rows.append((name, version, weight, percent(service["shares"][version]), told))
            name = told = ""
    _table(("SERVICE", "VERSION", "WEIGHT", "SHARE", "PROXIES ON NEWEST"), rows)


def show_weights(answer: dict[str, Any]) -> None:
    """One line a version, and the revision they belong to."""
    shares = answer["shares"]
    rows = [(name, weight, percent(shares[name])) for name, weight in answer["weights"].items()]
    _table(("VERSION", "WEIGHT", "SHARE"), rows)
    _line(f"{answer['service']}, revision {answer['revision']}")


def show_proxies(answer: dict[str, Any]) -> None:
    """One line a proxy; a refusal is spelled out below its line."""
    rows = []
    for proxy in answer["proxies"]:
        state = "connected" if proxy["connected"] else "gone"
        since = time(proxy["connected_since"] if proxy["connected"] else proxy["disconnected_at"])
        revision = f"{proxy['revision']} of {proxy['target']}"
        rows.append((proxy["instance"], proxy["address"], proxy["release"], state, since, revision))
    _table(("INSTANCE", "ADDRESS", "RELEASE", "STATE", "SINCE", "REVISION"), rows)
    for proxy in answer["proxies"]:
        for problem in proxy["problems"]:
            where = f"{problem['field']}: " if problem["field"] else ""
            _line(f"{proxy['instance']} refused {proxy['refused']}: {where}{problem['message']}")


def show_revisions(answer: dict[str, Any]) -> None:
    """One line a revision."""
    rows = [
        (note["revision"], time(note["at"]), note["author"], note["reason"])
        for note in answer["revisions"]
    ]
    _table(("REVISION", "AT", "AUTHOR", "REASON"), rows)


def show_explained(answer: dict[str, Any]) -> None:
    """One line a fact; of a list, one line an entry."""
    rows = []
    for name, value in answer.items():
        label = name.replace("_", " ")
        for entry in value if isinstance(value, list) else (value,):
            rows.append((label, _word(entry)))
            label = ""
    _table(("", ""), rows)


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def percent(share: float) -> str:
    """A share as people say it: at most two decimals, as exact as a slot."""
    return f"{share * 100:.2f}".rstrip("0").rstrip(".") + " %"


def time(text: str) -> str:
    """A UTC time to the second."""
    return f"{text[:19].replace('T', ' ')}Z"


def _table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(_plain(cell) for cell in row))
    _console().print(table)


def _line(text: str) -> None:
    _console().print(_plain(text), soft_wrap=True)


def _plain(value: object) -> Text:
    return Text("".join(char if char.isprintable() else "·" for char in str(value)))


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE, highlight=False)
