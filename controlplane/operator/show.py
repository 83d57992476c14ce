"""Owns what an operator sees: tables for people, JSON for programs. Never calls the API.

Names come from proxies and files: nothing in them may move the cursor or colour the screen.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
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
        what = (proxy["instance"], proxy["address"], proxy["release"])
        rows.append((*what, state, since, revision, _where(proxy)))
    _table(("INSTANCE", "ADDRESS", "RELEASE", "STATE", "SINCE", "REVISION", "WHERE"), rows)
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


def show_difference(answer: dict[str, Any]) -> None:
    """One line a field; then, for each service, who moves from where to where."""
    rows = [
        (change["path"], _value(change, "before"), _value(change, "after"))
        for change in answer["fields"]
    ]
    _table(("FIELD", "BEFORE", "AFTER"), rows)
    moves = [
        (service["service"], move["from"], move["to"], percent(move["slots"] / 10_000))
        for service in answer["services"]
        for move in service["moves"]
    ]
    if moves:
        _table(("SERVICE", "FROM", "TO", "USERS"), moves)
    for service in answer["services"]:
        if service["redrawn"]:
            _line(f"{service['service']}: the salt changes, every user is drawn anew")
    if answer["after"] is None:
        _line(f"tried on revision {answer['before']}; nothing was changed")
    else:
        _line(f"from revision {answer['before']} to {answer['after']}")


def show_audit(answer: dict[str, Any]) -> None:
    """One line an entry, and the seal to keep."""
    names = ("actor", "address", "action", "target", "reason")
    rows = [
        (entry["number"], time(entry["at"]), *(entry[name] for name in names))
        for entry in answer["entries"]
    ]
    _table(("NUMBER", "AT", *(name.upper() for name in names)), rows)
    _line(f"head {answer['head']}")


def show_freezes(answer: dict[str, Any]) -> None:
    """One line a freeze."""
    found = {"(everything)": answer["all"], **answer["services"]}
    rows = [
        (
            name,
            freeze["author"],
            time(freeze["at"]),
            time(freeze["until"]) if freeze["until"] else "",
            freeze["reason"],
        )
        for name, freeze in found.items()
        if freeze
    ]
    _table(("FROZEN", "BY", "AT", "UNTIL", "REASON"), rows)


def show_tokens(answer: dict[str, Any]) -> None:
    """One line a token."""
    rows = [
        (
            token["id"],
            token["name"],
            token["role"],
            ", ".join(token["services"]) if token["services"] is not None else "all",
            "living" if token["living"] else "revoked" if token["revoked_at"] else "expired",
            time(token["created_at"]),
            token["created_by"],
            *(time(token[name]) if token[name] else "" for name in ("expires_at", "used_at")),
        )
        for token in answer["tokens"]
    ]
    names = ("ID", "NAME", "ROLE", "SERVICES", "STATE", "MADE AT", "BY", "EXPIRES", "USED")
    _table(names, rows)


_COUNTED = ("REQUESTS", "ERRORS", "P50", "P95", "P99")


def show_reports(
    rows: Sequence[Sequence[object]],
    reports: int,
    gaps: Sequence[tuple[datetime, datetime]],
    *,
    by_endpoint: bool,
) -> None:
    """One line a version, and segment or endpoint; then how many reports it is from, and what is
    not known."""
    names = (*_COUNTED,) if by_endpoint else (*_COUNTED, "USERS", "NEW", "ERRING")
    _table(("VERSION", "ENDPOINT" if by_endpoint else "SEGMENT", *names), rows)
    if not rows:
        _line("nothing of this was counted")
    for begin, end in gaps:
        _line(f"no reports from {time(begin.isoformat())} to {time(end.isoformat())}")
    _line(f"{reports} reports of proxies")


def _value(change: dict[str, Any], name: str) -> str:
    if name not in change:
        return "-"
    return msgspec.json.encode(change[name]).decode()


def show_explained(answer: dict[str, Any]) -> None:
    """One line a fact; of a list, one line an entry."""
    rows = []
    for name, value in answer.items():
        label = name.replace("_", " ")
        for entry in value if isinstance(value, list) else (value,):
            rows.append((label, _word(entry)))
            label = ""
    _table(("", ""), rows)


def _where(proxy: dict[str, Any]) -> str:
    # A control plane of an earlier release does not tell.
    parts = (proxy.get("zone", ""), *proxy.get("place", {}).values())
    return " ".join(part for part in parts if part)


@contextmanager
def convergence() -> Iterator[Callable[[dict[str, Any]], None]]:
    """Shows on standard error how far a revision has come, for each answer that it is given: a bar
    on a terminal, elsewhere a line whenever it has come further."""
    if not sys.stderr.isatty():
        yield _line_by_line()
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f} proxies"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
    with bar:
        task = bar.add_task("confirming", total=None)

        def tell(answer: dict[str, Any]) -> None:
            bar.update(
                task,
                description=f"revision {answer['revision']}",
                total=answer["connected"],
                completed=answer["confirmed"],
            )

        yield tell


def refusals(answer: dict[str, Any]) -> Iterator[str]:
    """Who refused a revision and why, a line each; what comes from a proxy cannot colour it."""
    for refusal in answer["refusals"]:
        for problem in refusal["problems"] or [{"field": "", "message": "no reason given"}]:
            where = f"{problem['field']}: " if problem["field"] else ""
            told = f"{refusal['instance']} refused {refusal['revision']}: "
            yield _plain(told + where + problem["message"]).plain
    if (more := answer["refused"] - len(answer["refusals"])) > 0:
        yield f"and {more} more; see splitway proxies"


def _line_by_line() -> Callable[[dict[str, Any]], None]:
    said = ""

    def tell(answer: dict[str, Any]) -> None:
        nonlocal said
        line = (
            f"revision {answer['revision']}: confirmed by {answer['confirmed']}"
            f" of {answer['connected']} proxies"
        )
        if line != said:
            said = line
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    return tell


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
