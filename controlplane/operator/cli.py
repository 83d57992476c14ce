"""Owns the ``splitway`` command's arguments. Never decides what is good: the control plane does.

A reading command prints a table, or the API's JSON with ``--json``. What goes wrong is one line on
standard error (a file's problems: one line each) and an exit code that is not 0.
"""

import asyncio
import os
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import msgspec
import typer

from controlplane.operator import history, reports, show, tokens
from controlplane.operator.calling import Connection, asked
from controlplane.operator.calling import call as _call
from controlplane.operator.calling import client_of as _client
from controlplane.operator.calling import failed as _failed
from controlplane.operator.client import Client, ask_proxy, service_path
from controlplane.operator.explaining import explain_by
from controlplane.operator.trust import Trust
from controlplane.operator.waiting import NotConfirmedError, RefusedError, wait_for
from controlplane.tokens import ENVIRONMENT
from proxy import __version__
from proxy.core.question import ParameterError
from proxy.model.config import Config, traffic_of
from proxy.model.errors import ConfigError
from proxy.model.parse import parse_config

Json = Annotated[bool, typer.Option("--json", help="The API's answer instead of a table.")]
Reason = Annotated[str, typer.Option(help="Why; kept with the revision.")]
IfMatch = Annotated[
    int | None, typer.Option(metavar="REVISION", help="Only if this is the newest revision.")
]
Wait = Annotated[
    bool, typer.Option("--wait", help="Return when every connected proxy has confirmed.")
]
Timeout = Annotated[
    float, typer.Option(min=0.1, max=86_400, help="Seconds that --wait waits at most.")
]
_REFUSED, _NOT_CONFIRMED = 2, 3
"""Exit codes of --wait."""
ServiceName = Annotated[str, typer.Argument(metavar="SERVICE")]

app = typer.Typer(
    help="Reads and changes what Splitway's control plane tells its proxies.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
weights = typer.Typer(help="The weights of one service.", no_args_is_help=True)
config = typer.Typer(help="All services and routes.", no_args_is_help=True)
app.add_typer(weights, name="weights")
app.add_typer(config, name="config")
app.add_typer(history.revision, name="revision")
app.add_typer(history.audit, name="audit")
app.add_typer(tokens.tokens, name="tokens")
app.command()(history.freeze)
app.command()(history.unfreeze)
app.command()(reports.reports)


def main() -> None:
    """Runs the command line."""
    app(prog_name="splitway")


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"splitway {__version__}")
        raise typer.Exit


@app.callback()
def connect(
    context: typer.Context,
    url: Annotated[
        str, typer.Option(envvar="SPLITWAY_URL", help="The control plane.")
    ] = "http://127.0.0.1:9800",
    token_file: Annotated[
        Path | None, typer.Option(help=f"Holds the token; without it {ENVIRONMENT} is used.")
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(envvar="SPLITWAY_CA_FILE", help="Whose certificates are believed (https)."),
    ] = None,
    cert_file: Annotated[
        Path | None,
        typer.Option(envvar="SPLITWAY_CERT_FILE", help="Your own certificate, for mutual TLS."),
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(envvar="SPLITWAY_KEY_FILE", help="Its key.")
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="The release.")
    ] = False,
) -> None:
    """Reads and changes what Splitway's control plane tells its proxies."""
    context.obj = Connection(url, token_file, Trust(ca_file, cert_file, key_file))


@app.command()
def services(context: typer.Context, json: Json = False) -> None:
    """Lists services, their versions, weights and shares."""
    answer = _call(_client(context).read("/v1/services"))
    (show.show_json if json else show.show_services)(answer)


@app.command()
def proxies(context: typer.Context, json: Json = False) -> None:
    """Lists proxies, the revision each is on, and why one refused."""
    answer = _call(_client(context).read("/v1/proxies"))
    (show.show_json if json else show.show_proxies)(answer)


@app.command()
def revisions(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 20,
    json: Json = False,
) -> None:
    """Lists who changed what and why, newest first."""
    answer = _call(_client(context).read("/v1/revisions", {"limit": str(limit)}))
    (show.show_json if json else show.show_revisions)(answer)


@weights.command("get")
def weights_get(context: typer.Context, service: ServiceName, json: Json = False) -> None:
    """Shows the weights of a service."""
    answer = _call(_client(context).read(service_path(service)))
    (show.show_json if json else show.show_weights)(answer)


@weights.command("set")
def weights_set(
    context: typer.Context,
    service: ServiceName,
    assignments: Annotated[list[str], typer.Argument(metavar="VERSION=WEIGHT")],
    reason: Reason = "",
    if_match: IfMatch = None,
    dry_run: history.DryRun = False,
    wait: Wait = False,
    timeout: Timeout = 60.0,
) -> None:
    """Replaces the weights of a service; a version that is not named gets 0.

    With --wait the exit code is 2 when a proxy refuses, 3 when time is up.
    """
    body = {"weights": _weights(assignments), "reason": reason}
    path, query = service_path(service), asked("", dry_run=dry_run)
    client = _client(context)
    answer = _call(client.replace(path, body, query, if_match))
    (show.show_difference if dry_run else show.show_weights)(answer)
    if wait and not dry_run:
        _wait(client, answer["revision"], timeout, f"/v1/services/{quote(service, safe='')}")


@config.command("get")
def config_get(context: typer.Context, json: Json = False) -> None:
    """Prints services and routes in a form that `config push` takes back."""
    answer = _call(_client(context).read("/v1/config"))
    if json:
        show.show_json(answer)
        return
    typer.echo(f"revision {answer['revision']}", err=True)
    document = {"services": answer["services"], "routes": answer["routes"]}
    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    typer.echo(text.replace("${", "$${"))  # read from a file, `${` would open a variable


@config.command("push")
def config_push(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    reason: Reason = "",
    if_match: IfMatch = None,
    dry_run: history.DryRun = False,
    wait: Wait = False,
    timeout: Timeout = 60.0,
) -> None:
    """Sends a file's services and routes; a proxy's whole file is good, too.

    ${NAME} stands for this shell's variables. With --wait the exit code is 2 when a proxy refuses,
    3 when time is up.
    """
    traffic = traffic_of(_config_in(file))
    if not traffic.services:
        # A proxy's file without them would take every service away.
        raise _failed(f"{file}: no services; nothing was sent (the API takes an empty document)")
    query = asked(reason, dry_run=dry_run)
    client = _client(context)
    answer = _call(client.replace("/v1/config", traffic, query, if_match))
    if dry_run:
        show.show_difference(answer)
        return
    typer.echo(f"revision {answer['revision']}")
    if wait:
        _wait(client, answer["revision"], timeout)


@app.command("explain")
def explain_request(
    path: Annotated[str, typer.Argument(metavar="PATH", help="With its query.")] = "/",
    proxy: Annotated[
        str, typer.Option(envvar="SPLITWAY_PROXY", help="The proxy's admin port.")
    ] = "http://127.0.0.1:9900",
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A proxy's file, in place of a proxy.")
    ] = None,
    method: Annotated[str, typer.Option(help="Of the request.")] = "GET",
    host: Annotated[str, typer.Option(help="Its Host.")] = "localhost",
    header: Annotated[
        list[str] | None, typer.Option(metavar="NAME:VALUE", help="A field; may be repeated.")
    ] = None,
    client: Annotated[str, typer.Option(help="The address it comes from.")] = "127.0.0.1",
    json: Json = False,
) -> None:
    """Says where a request would go, and why: its route, key, slot, version and endpoints."""
    described = [("method", method), ("host", host), ("path", path), ("client", client)]
    described += [("header", each) for each in header or ()]
    if file is None:
        answer = _call(ask_proxy(proxy, described))
    else:
        try:
            answer = explain_by(_config_in(file), described)
        except ParameterError as error:
            raise _failed(f"{error.parameter}: {error}") from None
        except ConfigError as error:
            raise _failed(str(error)) from None
    (show.show_json if json else show.show_explained)(answer)


def _config_in(file: Path) -> Config:
    try:
        return parse_config(file.read_text(encoding="utf-8-sig"), file=str(file), env=os.environ)
    except OSError as error:
        raise _failed(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise _failed(f"{file}: not UTF-8 at byte {error.start}") from None
    except ConfigError as error:
        raise _failed(str(error)) from None


def _weights(assignments: list[str]) -> dict[str, int]:
    parsed: dict[str, int] = {}
    for text in assignments:
        version, equals, number = text.rpartition("=")
        if not (equals and version and re.fullmatch("[0-9]{1,18}", number)):
            raise _failed(f"{text!r}: write VERSION=WEIGHT, the weight a whole number, canary=10")
        if version in parsed:
            raise _failed(f"{version!r} is given twice")
        parsed[version] = int(number)
    return parsed


def _wait(client: Client, revision: int, timeout_s: float, path: str = "/v1") -> None:
    try:
        with show.convergence() as tell:
            asyncio.run(wait_for(client, revision, timeout_s, tell, path))
    except RefusedError as error:
        for line in show.refusals(error.answer):
            typer.echo(f"splitway: {line}", err=True)
        raise typer.Exit(_REFUSED) from None
    except NotConfirmedError as error:
        typer.echo(f"splitway: {error}", err=True)
        raise typer.Exit(_NOT_CONFIRMED) from None


if __name__ == "__main__":
    main()
