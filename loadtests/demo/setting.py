"""Owns what one demo run is made of: folder, ports, population, configuration texts.

Never starts anything. All of a run's files are in its own folder under ``run/``.
"""

import json
import os
import secrets
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from loadtests.population import choose_series
from loadtests.tables import slot_of, tables_of

SERVICE = "shop"
STEPS: tuple[dict[str, int], ...] = (
    {"stable": 99, "canary": 1},
    {"stable": 80, "canary": 20},
    {"stable": 50, "canary": 50},
)
LOAD_S = 60.0
"""The load phase when DEMO_SECONDS does not say."""
LEAST_LOAD_S = 6.0
RATE = 800
"""Requests per second asked of Locust: what it reaches in one process beside everything else on
two cores, with room left so that the latencies are the proxy's and not a queue's."""
USERS_PER_STEP_SECOND = RATE // 4
"""At the full rate every user asks four times a step; on a machine four times slower still once."""
MOST_USERS = 20_000
OWN_SHARE_WITHIN = 0.01
"""By the share asked."""
LANES = 40
ROOT = Path(__file__).resolve().parents[2]
"""The project's folder: processes run there, so that ``-m loadtests`` is found."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where each process listens, on loopback."""

    proxy: int
    control: int
    admin: int
    stable: int
    canary: int


@dataclass(frozen=True, slots=True)
class Setting:
    """One demo run."""

    folder: Path
    ports: Ports
    load_s: float
    stay: bool
    """Whether everything stays up after the load, until Ctrl-C."""
    users: int
    series: str

    @property
    def journal(self) -> Path:
        """The clients' journal."""
        return self.folder / "journal.jsonl"

    @property
    def token_file(self) -> Path:
        """The token of operator and proxy."""
        return self.folder / "token"

    @property
    def proxy_config(self) -> Path:
        """The proxy's configuration file."""
        return self.folder / "proxy.yaml"

    def url(self, port: int, path: str = "") -> str:
        """A URL on loopback."""
        return f"http://127.0.0.1:{port}{path}"


def prepare(environment: Mapping[str, str]) -> Setting:
    """Decides everything about a run and writes its files.

    Raises:
        ValueError: DEMO_SECONDS makes no sense.
    """
    load_s = _load_seconds(environment.get("DEMO_SECONDS", ""))
    users = min(MOST_USERS, int(load_s / len(STEPS) * USERS_PER_STEP_SECOND))
    asked = list(zip(STEPS, tables_of(STEPS), strict=True))
    setting = Setting(
        folder=_make_folder(Path(environment.get("DEMO_FOLDER") or ROOT / "run")),
        ports=choose_ports(),
        load_s=load_s,
        stay=not environment.get("DEMO_SECONDS"),
        users=users,
        series=choose_series(users, asked, slot_of(SERVICE), OWN_SHARE_WITHIN),
    )
    descriptor = os.open(setting.token_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as token:
        token.write(secrets.token_urlsafe(32) + "\n")
    setting.proxy_config.write_text(proxy_text(setting))
    return setting


def _load_seconds(text: str) -> float:
    try:
        seconds = float(text or LOAD_S)
    except ValueError:
        seconds = 0.0
    if not LEAST_LOAD_S <= seconds <= 86_400:
        raise ValueError(
            f"DEMO_SECONDS: {text!r} must be a number of seconds, at least {LEAST_LOAD_S:g}"
        )
    return seconds


def _make_folder(parent: Path) -> Path:
    folder = parent.absolute() / time.strftime("demo-%Y%m%d-%H%M%S")
    while folder.exists():
        folder = folder.with_name(folder.name + "-again")
    folder.mkdir(parents=True)
    return folder


def choose_ports() -> Ports:
    """The well-known ports where they are free, others where they are not."""
    wanted = {"proxy": 8080, "control": 9800, "admin": 9900, "stable": 9001, "canary": 9002}
    held: list[socket.socket] = []
    try:
        for name, port in wanted.items():
            try:
                held.append(_bind(port))
            except OSError:
                held.append(_bind(0))
            wanted[name] = held[-1].getsockname()[1]
    finally:
        for taken in held:
            taken.close()
    return Ports(**wanted)


def _bind(port: int) -> socket.socket:
    taken = socket.socket()
    try:
        # As servers do: a port whose old connections still linger is free.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen(1)
    except OSError:
        taken.close()
        raise
    return taken


def traffic_text(setting: Setting) -> str:
    """Services and routes, as pushed to the control plane: YAML."""
    ports = setting.ports
    return f"""\
services:
  {SERVICE}:
    versions:
      stable: {{endpoints: ["{setting.url(ports.stable)}"]}}
      canary: {{endpoints: ["{setting.url(ports.canary)}"]}}
    weights: {json.dumps(STEPS[0])}
    sticky: {{key: [{{header: X-User-Id}}, {{cookie: session}}, client_ip]}}
routes:
  - {{match: {{path: {{prefix: /}}}}, service: {SERVICE}}}
"""


def proxy_text(setting: Setting) -> str:
    """The proxy's own file: where it listens, the same traffic to begin with, whom it follows."""
    ports, folder = setting.ports, setting.folder
    return f"""\
# Written by the demo. Services and routes below are used until the control plane's arrive.
listeners:
  - {{name: web, bind: "127.0.0.1:{ports.proxy}"}}
admin: {{bind: "127.0.0.1:{ports.admin}"}}
{traffic_text(setting)}\
control:
  url: "{setting.url(ports.control)}"
  token_file: {json.dumps(str(setting.token_file))}
  state_file: {json.dumps(str(folder / "last-good.json"))}
drain: {{grace_s: 0, deadline_s: 5}}
"""
