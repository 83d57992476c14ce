"""Owns ``splitway revision``, ``splitway audit`` and ``splitway freeze``: what was changed, going
back to it, and stopping it. Never judges a change: the control plane does.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from controlplane.audit import BEGINNING, Chain
from controlplane.operator import show
from controlplane.operator.calling import asked, call, client_of, failed

Json = Annotated[bool, typer.Option("--json", help="The API's answer instead of a table.")]
Reason = Annotated[str, typer.Option(help="Why; kept with the change.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would change.")]
IfMatch = Annotated[
    int | None, typer.Option(metavar="REVISION", help="Only if this is the newest revision.")
]
Number = Annotated[int, typer.Argument(metavar="REVISION", min=1)]
ServiceOrAll = Annotated[
    str | None, typer.Argument(metavar="[SERVICE]", help="Without it: everything.")
]

revision = typer.Typer(help="One revision: what it was, and back to it.", no_args_is_help=True)
audit = typer.Typer(help="The log of everything that was changed.", no_args_is_help=True)


@revision.command("show")
def revision_show(context: typer.Context, number: Number) -> None:
    """Prints a revision: who, when, why, services and routes."""
    show.show_json(call(client_of(context).read(f"/v1/revisions/{number}")))


@revision.command("diff")
def revision_diff(
    context: typer.Context,
    number: Number,
    to: Annotated[
        int | None, typer.Option(min=1, help="The other one; without it, the one before.")
    ] = None,
    json: Json = False,
) -> None:
    """Shows what a revision changed: fields, and which users moved."""
    query = {"to": str(to)} if to is not None else None
    answer = call(client_of(context).read(f"/v1/revisions/{number}/diff", query))
    (show.show_json if json else show.show_difference)(answer)


@revision.command("restore")
def revision_restore(
    context: typer.Context,
    number: Number,
    reason: Reason = "",
    if_match: IfMatch = None,
    dry_run: DryRun = False,
) -> None:
    """Makes a new revision with the services and routes of an old one."""
    path = f"/v1/revisions/{number}/restore"
    query = asked(reason, dry_run=dry_run)
    answer = call(client_of(context).change("POST", path, query, if_match=if_match))
    if dry_run:
        show.show_difference(answer)
    else:
        typer.echo(f"revision {answer['revision']}")


@audit.command("list")
def audit_list(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 20,
    json: Json = False,
) -> None:
    """Lists who did what, when, from where and why, newest first."""
    answer = call(client_of(context).read("/v1/audit", {"limit": str(limit)}))
    (show.show_json if json else show.show_audit)(answer)


@audit.command("export")
def audit_export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Must not be there yet.")],
) -> None:
    """Writes the whole log to a file as JSON lines."""
    try:
        with file.open("xb") as out:
            call(client_of(context).download("/v1/audit/export", out.write))
    except OSError as error:
        raise failed(f"{file}: {error.strerror}") from None
    typer.echo(str(file))


@audit.command("verify")
def audit_verify(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Without it the server's log is read.")
    ] = None,
    head: Annotated[
        str | None, typer.Option(metavar="SEAL", help="The last seal, as it is known.")
    ] = None,
) -> None:
    """Finds the first entry of the log that was edited, removed, added or reordered.

    What was cut off at the end can be missed only if the last seal is known from elsewhere.
    """
    chain = Chain()
    for line in _lines(context, file):
        if flaw := chain.take(line):
            raise failed(f"entry {flaw.number} {flaw.message}")
    if head is not None and chain.head != head:
        raise failed(f"entry {chain.entries + 1} is missing: the log ends with {chain.head}")
    if chain.head == BEGINNING:
        typer.echo("0 entries")
    else:
        typer.echo(f"{chain.entries} entries, head {chain.head}")


def freeze(
    context: typer.Context,
    service: ServiceOrAll = None,
    reason: Annotated[str, typer.Option(help="Why; shown to whoever is refused.")] = "",
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Such as 2026-01-02T03:04:05Z.")
    ] = None,
) -> None:
    """Allows no change of a service, or of anything, until `unfreeze`."""
    body = {"reason": reason} | ({"until": until} if until else {})
    show.show_freezes(call(client_of(context).replace(_freeze_path(service), body)))


def unfreeze(context: typer.Context, service: ServiceOrAll = None, reason: Reason = "") -> None:
    """Lifts a freeze."""
    query = asked(reason, dry_run=False)
    show.show_freezes(call(client_of(context).change("DELETE", _freeze_path(service), query)))


def _freeze_path(service: str | None) -> str:
    return f"/v1/services/{quote(service, safe='')}/freeze" if service else "/v1/freeze"


def _lines(context: typer.Context, file: Path | None) -> Iterator[bytes]:
    if file is None:
        pieces: list[bytes] = []
        call(client_of(context).download("/v1/audit/export", pieces.append))
        yield from b"".join(pieces).splitlines()
        return
    try:
        with file.open("rb") as lines:
            for line in lines:
                yield line.removesuffix(b"\n")
    except OSError as error:
        raise failed(f"{file}: {error.strerror}") from None
