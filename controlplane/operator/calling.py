"""Owns what every command does to call the API: where, with which token, and how it fails."""

import asyncio
import os
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from controlplane.operator.client import CallError, Client
from controlplane.operator.trust import Trust
from controlplane.tokens import ENVIRONMENT, TokenError, given_token


@dataclass(frozen=True)
class Connection:
    """What stands before the subcommand."""

    url: str
    token_file: Path | None
    trust: Trust


def client_of(context: typer.Context) -> Client:
    """The control plane that the command line names.

    Raises: typer.Exit: there is no token, or none that can be used.
    """
    connection: Connection = context.obj
    try:
        token = given_token(connection.token_file, os.environ)
    except TokenError as error:
        raise failed(str(error)) from None
    if token is None:
        raise failed(f"no token: give --token-file FILE or set {ENVIRONMENT}")
    return Client(connection.url, token, connection.trust)


def asked(reason: str, *, dry_run: bool) -> dict[str, str] | None:
    """The query of a change; ``None`` where there is nothing to say."""
    query = {"reason": reason} if reason else {}
    return query | ({"dry_run": "true"} if dry_run else {}) or None


def call(calling: Coroutine[Any, Any, Any]) -> Any:
    """What the call answers.

    Raises: typer.Exit: it failed, and that was told.
    """
    try:
        return asyncio.run(calling)
    except CallError as error:
        raise failed(str(error)) from None


def failed(message: str) -> typer.Exit:
    """Tells what went wrong, and ends the command."""
    typer.echo(f"splitway: {message}", err=True)
    return typer.Exit(1)
