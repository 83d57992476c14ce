"""Owns ``splitway tokens``: who may call the control plane. Never keeps a token: one that is made
is printed this once, or written to a file that only its owner may read.
"""

from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from controlplane.access.caller import Role
from controlplane.operator import show
from controlplane.operator.calling import asked, call, client_of, failed
from controlplane.operator.history import DryRun
from controlplane.secret_file import secret_file

Json = Annotated[bool, typer.Option("--json", help="The API's answer instead of a table.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the audit log.")]
Ident = Annotated[str, typer.Argument(metavar="ID", help="As `tokens list` shows it.")]

tokens = typer.Typer(help="Who may call the control plane.", no_args_is_help=True)


@tokens.command("list")
def tokens_list(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    json: Json = False,
) -> None:
    """Lists tokens without their secrets, newest first."""
    answer = call(client_of(context).read("/v1/tokens", {"limit": str(limit)}))
    (show.show_json if json else show.show_tokens)(answer)


@tokens.command("create")
def tokens_create(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="What the audit log calls who has it.")],
    role: Annotated[Role, typer.Option(help="What it may do.")],
    service: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this one; may be repeated.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="Such as 2026-01-02T03:04:05Z.")
    ] = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A new file, which only you may read.")
    ] = None,
) -> None:
    """Makes a token and prints it, this once."""
    body: dict[str, object] = {"name": name, "role": role.value, "reason": reason}
    body |= {"services": service} if service else {}
    body |= {"expires_at": expires} if expires else {}
    calling = client_of(context).add("/v1/tokens", body, asked("", dry_run=dry_run))
    if dry_run:
        show.show_difference(call(calling))
    else:
        _issue(calling, out, replace=False)


@tokens.command("rotate")
def tokens_rotate(
    context: typer.Context,
    ident: Ident,
    grace: Annotated[
        int, typer.Option(min=0, max=86_400, help="Seconds that the secret before works on.")
    ] = 3_600,
    reason: Reason = "",
    dry_run: DryRun = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Takes the place of the file's content.")
    ] = None,
) -> None:
    """Gives a token a new secret and prints it, this once."""
    query = {"grace_s": str(grace), **(asked(reason, dry_run=dry_run) or {})}
    path = f"/v1/tokens/{_checked(ident)}/rotate"
    calling = client_of(context).change("POST", path, query)
    if dry_run:
        show.show_difference(call(calling))
    else:
        _issue(calling, out, replace=True)


@tokens.command("revoke")
def tokens_revoke(
    context: typer.Context, ident: Ident, reason: Reason = "", dry_run: DryRun = False
) -> None:
    """Ends a token at once."""
    path, query = f"/v1/tokens/{_checked(ident)}", asked(reason, dry_run=dry_run)
    answer = call(client_of(context).change("DELETE", path, query))
    if dry_run:
        show.show_difference(answer)
    else:
        typer.echo(f"{answer['name']} ({answer['id']}) is revoked")


def _issue(calling: Coroutine[Any, Any, Any], out: Path | None, *, replace: bool) -> None:
    if out is None:
        answer = call(calling)
        typer.echo(answer["token"])
    else:
        try:
            with secret_file(out, replace=replace) as write:
                answer = call(calling)
                write(answer["token"])
        except OSError as error:
            calling.close()
            raise failed(f"--out {out}: {error.strerror}") from None
    typer.echo(f"{answer['name']} ({answer['id']}): shown this once", err=True)


def _checked(ident: str) -> str:
    if not (ident.isascii() and ident.isalnum()):
        raise failed(f"{ident[:40]!r} is no token's id; `splitway tokens list` shows them")
    return ident
