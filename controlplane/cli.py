"""Owns the ``splitway-control`` command: arguments and environment → settings → the server.

Never lets the API be reached from beyond loopback with a token that nobody chose.
"""

import argparse
import asyncio
import ipaddress
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import uvloop
from aiohttp.http_exceptions import HttpProcessingError

from controlplane.app import Settings, running
from controlplane.logs import FORMATTERS
from controlplane.store.backup import backup
from controlplane.store.base import StoreError
from controlplane.store.opening import store_file
from controlplane.tokens import ENVIRONMENT, TokenError, generated_token, given_token
from proxy import __version__
from proxy.model.address import Address, parse_bind

_BAD_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the control plane until SIGTERM or SIGINT. Returns the exit code."""
    options = _parser().parse_args(arguments)
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(FORMATTERS[options.log_format]())
    logging.basicConfig(level=logging.INFO, handlers=[output])
    logging.getLogger("aiohttp.server").addFilter(brief)
    # Alembic tells at every start that it is there.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        if options.command == "backup":
            return _backup(options.store, options.file)
        settings = _settings(options, os.environ)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings))
    except (StoreError, TokenError) as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"--bind {options.bind}: {error.strerror or error}")
    return 0


def brief(record: logging.LogRecord) -> bool:
    """Shortens what aiohttp logs of bytes that are no request: anybody may send them, without a
    token, and a traceback for each would fill the disk."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.exc_info = None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args = "what is no HTTP request was answered %d", (error.code,)
    return True


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(settings) as url:
        _say(f"control plane on {url}")
        await stop.wait()


def _settings(options: argparse.Namespace, env: Mapping[str, str]) -> Settings:
    bind: Address = options.bind
    path = store_file(options.store)
    token = given_token(options.token_file, env)
    if token is None:
        if not _is_loopback(bind.host):
            raise TokenError(
                f"--bind {bind}: beyond loopback a token must be given; "
                f"use --token-file FILE or {ENVIRONMENT}"
            )
        if path is None:
            raise TokenError(
                "--store postgresql://…: every control plane needs the same token; "
                f"use --token-file FILE or {ENVIRONMENT}"
            )
        file = Path(f"{path}.token")
        token, is_new = generated_token(file)
        if is_new:
            _say(f"new token in {file} (this is said once)")
    return Settings(
        options.store,
        bind.host,
        bind.port,
        token,
        require_reason=options.require_reason,
    )


def _backup(store: str, file: Path) -> int:
    path = store_file(store)
    if path is None:
        raise StoreError("backup copies SQLite stores; for PostgreSQL use pg_dump")
    backup(path, file)
    _say(f"{path} is copied to {file}")
    return 0


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="splitway-control",
        description="Holds the weights and tells every proxy. Without a command it serves.",
    )
    parser.add_argument(
        "--store",
        default="sqlite:///splitway.db",
        metavar="URL",
        help="sqlite:///relative.db, sqlite:////absolute.db or postgresql://user@host/database, "
        "whose password may come from PGPASSWORD or PGPASSFILE (default: %(default)s)",
    )
    parser.add_argument(
        "--bind",
        default="127.0.0.1:9800",
        type=_bind,
        metavar="HOST:PORT",
        help="where the API and the stream are served; port 0 takes any (default: %(default)s)",
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"holds the bearer token; without it {ENVIRONMENT} is used, and without that "
        "<store>.token, which the first start makes",
    )
    parser.add_argument(
        "--log-format",
        choices=sorted(FORMATTERS),
        default="text",
        help="of the log on standard error (default: %(default)s)",
    )
    parser.add_argument(
        "--require-reason", action="store_true", help="refuse changes that give no reason"
    )
    parser.add_argument("--version", action="version", version=f"splitway-control {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="[backup FILE]")
    saving = commands.add_parser(
        "backup",
        help="copies a SQLite store to FILE, while a control plane serves it or not",
        description="Copies a SQLite store, whole as of one moment, while it is in use or not.",
    )
    saving.add_argument("file", type=Path, metavar="FILE", help="must not be there yet")
    # Not the default again: it would win over what stands before the command.
    saving.add_argument(
        "--store", default=argparse.SUPPRESS, metavar="URL", help="as without a command"
    )
    return parser


def _bind(text: str) -> Address:
    try:
        address = parse_bind(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if address.is_unix:
        raise argparse.ArgumentTypeError("expected host:port; Unix sockets are not served here")
    return address


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _fail(message: str) -> int:
    sys.stderr.write(f"splitway-control: {message}\n")
    return _BAD_USAGE
