"""Owns what the demo prints. Never decides anything.

On a terminal the live picture is a table that stays in place (rich); anywhere else it is one
plain line every few seconds.
"""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live as RichLive
from rich.table import Table

from loadtests.demo.live import Picture
from loadtests.demo.setting import SERVICE, Setting
from loadtests.journal import weights_text

PLAIN_EVERY_S = 2.0


def say(text: str = "") -> None:
    """One line for people, at once."""
    print(text, flush=True)


def urls(setting: Setting) -> str:
    """Where everything is."""
    ports = setting.ports
    return "\n".join(
        (
            f"  the service, through the proxy   {setting.url(ports.proxy, '/api/items')}",
            f"  proxy admin and metrics          {setting.url(ports.admin, '/metrics')}",
            f"  control plane                    {setting.url(ports.control, '/v1/services')}",
            f"  stable, directly                 {setting.url(ports.stable, '/api/items')}",
            f"  canary, directly                 {setting.url(ports.canary, '/api/items')}",
            f"  logs, journal, CSV               {setting.folder}",
        )
    )


def to_try(setting: Setting) -> str:
    """Commands to play with while everything is up."""
    ports = setting.ports
    token = f'-H "Authorization: Bearer $(cat {setting.token_file})"'
    weights = setting.url(ports.control, f"/v1/services/{SERVICE}/weights")
    body = '{"weights": {"stable": 0, "canary": 1}, "reason": "trying"}'
    return "\n".join(
        (
            f"  curl -i -H 'X-User-Id: alice' {setting.url(ports.proxy, '/api/items')}",
            f"  curl {token} {weights}",
            f"  curl -X PUT {token} -H 'Content-Type: application/json' \\",
            f"       -d '{body}' {weights}",
            f"  curl -s {setting.url(ports.admin, '/metrics')} | grep splitway_split_weight",
        )
    )


def plain_line(picture: Picture, elapsed_s: float) -> str:
    """The live picture in one line."""
    shares = ", ".join(
        f"{version} {picture.seen.get(version, 0):.1%} of {picture.users:,} users"
        f" (asked {picture.asked.get(version, 0):.0%})"
        for version in sorted({*picture.asked, *picture.seen})
    )
    return (
        f"{elapsed_s:5.0f} s  {shares or 'no answer yet'}  {picture.rate:,.0f} req/s"
        f"  p50 {picture.p50_ms:.1f} ms  p99 {picture.p99_ms:.1f} ms  errors {picture.failed:,}"
    )


def table(picture: Picture, elapsed_s: float, load_s: float) -> Table:
    """The live picture as a table."""
    drawn = Table(
        title=f"{elapsed_s:.0f} of {load_s:.0f} s, weights {weights_text(picture.weights)}",
        caption=(
            f"{picture.rate:,.0f} requests/s   p50 {picture.p50_ms:.1f} ms"
            f"   p99 {picture.p99_ms:.1f} ms   sent {picture.sent:,}   errors {picture.failed:,}"
        ),
    )
    for heading in ("version", "share asked", "share seen", "users"):
        drawn.add_column(heading, justify="left" if heading == "version" else "right")
    for version in sorted({*picture.asked, *picture.seen}):
        seen = picture.seen.get(version, 0.0)
        drawn.add_row(
            version,
            f"{picture.asked.get(version, 0.0):.2%}",
            f"{seen:.2%}",
            f"{round(seen * picture.users):,}",
        )
    return drawn


class Screen:
    """Where the live picture is drawn."""

    def __init__(self, load_s: float) -> None:
        self._load_s = load_s
        self._next_s = 0.0
        self._rich: RichLive | None = None
        if sys.stdout.isatty():
            self._rich = RichLive(console=Console(), auto_refresh=False)

    def __enter__(self) -> Self:
        if self._rich:
            self._rich.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._rich:
            self._rich.stop()

    def draw(self, picture: Picture, elapsed_s: float) -> None:
        """Draws the picture; plainly only every ``PLAIN_EVERY_S``."""
        if self._rich:
            self._rich.update(table(picture, elapsed_s, self._load_s), refresh=True)
        elif elapsed_s >= self._next_s:
            self._next_s = elapsed_s + PLAIN_EVERY_S
            say(plain_line(picture, elapsed_s))
