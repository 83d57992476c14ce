"""Owns the ``splitway-control`` command: arguments and environment → settings → the server.

Never lets the API be reached from beyond loopback with a token that nobody chose.
"""

import argparse
import asyncio
import logging
import os
import re
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import uvloop
from aiohttp.http_exceptions import HttpProcessingError

from controlplane.access.caller import Role
from controlplane.access.claims import NAME_CLAIM, OidcSettings, Rule, parse_rule
from controlplane.api.guard import is_loopback as _is_loopback
from controlplane.app import Settings, create_token, running
from controlplane.issuing import TokenRequest
from controlplane.logs import FORMATTERS
from controlplane.model import ControlError
from controlplane.retention import KEPT
from controlplane.secret_file import secret_file
from controlplane.store.backup import backup
from controlplane.store.base import StoreError
from controlplane.store.opening import store_file
from controlplane.tokens import BEYOND_LOOPBACK, ENVIRONMENT, TokenError, administrators_token
from proxy import __version__
from proxy.model.address import Address, parse_bind
from proxy.model.errors import ConfigError, Problem
from proxy.model.text_forms import check_name, check_origin

if TYPE_CHECKING:
    from controlplane.tls import ServerTls

_log = logging.getLogger(__name__)
_BAD_USAGE = 2
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


class UsageError(Exception):
    """Options that cannot be followed."""


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
        if options.command == "tokens":
            return _create_token(options)
        tls = _tls(options)
        settings = _settings(options, os.environ)
        allow_open_files()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, tls))
    except (ControlError, TokenError, UsageError, ConfigError) as error:
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


def allow_open_files() -> int:
    """Lets this process open as many files as it may: each stream of a proxy is one. Returns how
    many that are."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed != most:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        except (OSError, ValueError):  # a limit that the system itself does not take
            return allowed
    return most


async def _serve(settings: Settings, tls: "ServerTls | None") -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, tls.reload_now if tls else _keep)
    if tls is None and not _is_loopback(settings.host):
        _log.warning("tokens and weights cross the network in the clear; see --tls-cert")
    async with running(settings, tls) as url:
        _say(f"control plane on {url}")
        await stop.wait()


def _keep() -> None:
    """SIGHUP asks for new certificates; where there are none, nothing is to be done."""


def _tls(options: argparse.Namespace) -> "ServerTls | None":
    cert, key, client_ca = options.tls_cert, options.tls_key, options.tls_client_ca
    if cert is None and key is None and client_ca is None:
        return None
    if cert is None or key is None:
        raise UsageError("--tls-cert and --tls-key: give both")
    # Imported only where it is asked for: 5 MB of memory.
    from controlplane.tls import ServerTls, TlsError, TlsFiles

    try:
        return ServerTls(TlsFiles(cert, key, client_ca))
    except TlsError as error:
        raise UsageError(str(error)) from None


def _settings(options: argparse.Namespace, env: Mapping[str, str]) -> Settings:
    bind: Address = options.bind
    path = store_file(options.store)
    token = administrators_token(options.token_file, env)
    needs_admin = not _is_loopback(bind.host)
    if token is None and needs_admin and path is not None and not path.exists():
        raise TokenError(BEYOND_LOOPBACK)  # and nothing is made
    return Settings(
        options.store,
        bind.host,
        bind.port,
        token,
        require_reason=options.require_reason,
        needs_admin=needs_admin,
        first=_say_first,
        allowed_hosts=tuple(options.allowed_host),
        allowed_origins=tuple(options.allowed_origin),
        oidc=_oidc(options),
        report_every_s=options.report_every,
        kept={level: getattr(options, f"keep_{level}") for level in KEPT},
    )


def _oidc(options: argparse.Namespace) -> OidcSettings | None:
    issuer, audience, rules = options.oidc_issuer, options.oidc_audience, options.oidc_role
    if issuer is None and audience is None and not rules:
        return None
    if issuer is None or audience is None or not rules:
        raise UsageError("--oidc-issuer, --oidc-audience and --oidc-role: give all of them")
    if find_spec("jwt") is None:
        raise UsageError("--oidc-issuer: needs PyJWT; pip install 'splitway[oidc]'")
    # Imported only where it is asked for, and there only.
    from controlplane.access.issuer import check_issuer

    try:
        check_issuer(issuer)
    except ValueError as error:
        raise UsageError(f"--oidc-issuer: {error}") from None
    return OidcSettings(issuer, audience, tuple(rules), options.oidc_name_claim)


def _say_first(token: str) -> None:
    _say(f"first token, an administrator's; it is shown this once: {token}")


def _create_token(options: argparse.Namespace) -> int:
    wanted = _wanted(options)
    if options.out is None:
        _say(asyncio.run(create_token(options.store, wanted)).token)
        return 0
    try:
        with secret_file(options.out, replace=False) as write:
            write(asyncio.run(create_token(options.store, wanted)).token)
    except OSError as error:
        raise TokenError(f"--out {options.out}: {error.strerror}") from None
    return 0


def _wanted(options: argparse.Namespace) -> TokenRequest:
    """Raises: ConfigError."""
    asked = {
        "name": options.name,
        "role": options.role,
        "services": options.service,
        "expires_at": options.expires,
    }
    try:
        return msgspec.convert(asked, TokenRequest)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$.")
        raise ConfigError([Problem(where.removesuffix("`"), message)]) from None


def _backup(store: str, file: Path) -> int:
    path = store_file(store)
    if path is None:
        raise StoreError("backup copies SQLite stores; for PostgreSQL use pg_dump")
    backup(path, file)
    _say(f"{path} is copied to {file}")
    return 0


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
        help=f"holds an administrator's token of your choice; without it {ENVIRONMENT} is used, "
        "and without that only the store's tokens are good, of which the first start makes one",
    )
    parser.add_argument(
        "--allowed-host",
        type=_host,
        action="append",
        default=[],
        metavar="NAME",
        help="a name that this server is asked under; may be repeated. Needed for names that lead "
        "to loopback, and for pages; beyond loopback it refuses all other names",
    )
    parser.add_argument(
        "--allowed-origin",
        type=_origin,
        action="append",
        default=[],
        metavar="ORIGIN",
        help="pages of https://ops.example.com may use the API too; may be repeated",
    )
    parser.add_argument(
        "--tls-cert",
        type=Path,
        metavar="FILE",
        help="serves https: this certificate and those between it and the root, PEM; a changed "
        "file is taken over while it runs",
    )
    parser.add_argument(
        "--tls-key", type=Path, metavar="FILE", help="the certificate's key, PEM, no password"
    )
    parser.add_argument(
        "--tls-client-ca",
        type=Path,
        metavar="FILE",
        help="mutual TLS: lets in only clients with a certificate that one of these signed",
    )
    parser.add_argument(
        "--oidc-issuer",
        metavar="URL",
        help="people sign in with this OpenID Connect provider; its JWTs are bearer tokens then",
    )
    parser.add_argument(
        "--oidc-audience", metavar="TEXT", help="the `aud` of tokens that are meant for this server"
    )
    parser.add_argument(
        "--oidc-name-claim",
        default=NAME_CLAIM,
        metavar="CLAIM",
        help="what the audit log calls a person, or else `sub` (default: %(default)s)",
    )
    parser.add_argument(
        "--oidc-role",
        type=_rule,
        action="append",
        default=[],
        metavar="CLAIM=VALUE:ROLE[@SERVICE,SERVICE]",
        help="who has this value in this claim has this role, such as groups=sre:admin or "
        "groups=shop-team:operator@shop; may be repeated, the highest role counts",
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
    parser.add_argument(
        "--report-every",
        type=_report_every,
        default=10.0,
        metavar="SECONDS",
        help="how often each proxy reports what it counted; 0 for never (default: 10)",
    )
    for level, kept in KEPT.items():
        parser.add_argument(
            f"--keep-{level}",
            type=_duration,
            default=kept,
            metavar="DURATION",
            help=f"how long figures of reports by {level} are kept, such as 6h or 7d "
            f"(default: {_shown(kept)})",
        )
    parser.add_argument("--version", action="version", version=f"splitway-control {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="[backup FILE | tokens create]")
    _add_backup(commands)
    _add_tokens(commands)
    return parser


def _add_backup(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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


def _add_tokens(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    tokens = commands.add_parser("tokens", help="makes a token on the store itself")
    making = tokens.add_subparsers(dest="what", metavar="create", required=True).add_parser(
        "create",
        help="prints a new token",
        description="Makes a token on the store itself and prints it, this once: the first one, or "
        "one for when the last is lost. A SQLite store must not be served meanwhile.",
    )
    making.add_argument("--name", required=True, help="what the audit log calls who has it")
    making.add_argument("--role", required=True, choices=[role.value for role in Role])
    making.add_argument(
        "--service", action="append", metavar="NAME", help="only this service; may be repeated"
    )
    making.add_argument("--expires", metavar="TIME", help="such as 2026-01-02T03:04:05Z")
    making.add_argument(
        "--out", type=Path, metavar="FILE", help="writes it to a new file that only you may read"
    )
    making.add_argument(
        "--store", default=argparse.SUPPRESS, metavar="URL", help="as without a command"
    )


def _bind(text: str) -> Address:
    try:
        address = parse_bind(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if address.is_unix:
        raise argparse.ArgumentTypeError("expected host:port; Unix sockets are not served here")
    return address


def _host(text: str) -> str:
    try:
        check_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text.lower().strip("[]")


def _rule(text: str) -> Rule:
    try:
        return parse_rule(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _origin(text: str) -> str:
    try:
        check_origin(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    origin = text.lower()
    if "*" in origin or not origin.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"expected one origin of http or https, got {text!r}")
    # As browsers write it: without the port that goes without saying.
    scheme = origin.partition("://")[0]
    return origin.removesuffix({"http": ":80", "https": ":443"}[scheme])


def _report_every(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if seconds != 0 and not 1 <= seconds <= 3_600:
        raise argparse.ArgumentTypeError(f"expected 0 or 1 to 3600 seconds, got {text!r}")
    return seconds


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"expected a duration such as 90m, 6h or 7d, got {text!r}")
    return int(found[1]) * _UNITS[found[2]]


def _shown(duration: timedelta) -> str:
    hours = int(duration.total_seconds()) // 3_600
    return f"{hours}h" if hours % 24 else f"{hours // 24}d"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _fail(message: str) -> int:
    sys.stderr.write(f"splitway-control: {message}\n")
    return _BAD_USAGE
