"""Owns how the figures of a fleet run are shown. Never measures."""

from collections.abc import Iterator

from loadtests.fleet.run import Figures

TOLD = ("50 %", "99 %", "all")


def lines_of(figures: Figures) -> Iterator[str]:
    """The figures as a table in Markdown."""
    each = (figures.pss_bytes - figures.pss_before_bytes) / figures.proxies
    yield f"{figures.proxies} proxies, {figures.services} services"
    yield ""
    yield "| what | " + " | ".join(TOLD) + " |"
    yield "|---|" + "---:|" * len(TOLD)
    for number, change in enumerate(figures.changes, 1):
        yield f"| change {number}: in hand of proxies | {_seconds(change.told_s)} |"
        yield f"| change {number}: confirmed | {_seconds(change.confirmed_s)} |"
    if (restart := figures.restart) is not None:
        yield f"| restart: connected again | {_seconds(restart.back_s)} |"
    worst = [max(change.confirmed_s[place] for change in figures.changes) for place in range(3)]
    yield f"| slowest change | {_seconds(worst)} |"
    yield ""
    connecting = 1e3 * figures.connect_cpu_s / figures.proxies
    yield (
        f"- all connected and on the first revision: {figures.connect_s:.2f} s,"
        f" CPU of the control plane {connecting:.2f} ms a proxy"
    )
    cpu = sum(change.cpu_s for change in figures.changes) / len(figures.changes)
    yield (
        f"- CPU of the control plane a change: {cpu:.2f} s,"
        f" {1e6 * cpu / figures.proxies:.0f} µs a proxy"
    )
    idle = f"- the same while nothing happens: {100 * figures.idle_cpu:.1f} % of one core"
    each_us = 1e6 * figures.idle_cpu / figures.proxies
    yield f"{idle}, {each_us:.0f} µs a second and proxy, with {figures.idle_reports:.0f} reports/s"
    yield (
        f"- {figures.reports} reports were counted; the figures have"
        f" {figures.reported_requests} requests of the first service"
    )
    yield (
        f"- memory (PSS) of the control plane: {figures.pss_before_bytes / 1e6:.0f} MB alone,"
        f" {figures.pss_bytes / 1e6:.0f} MB with all: {each / 1e3:.1f} KB a proxy"
    )
    if restart is not None:
        failed = ", ".join(f"{why} {count}" for why, count in sorted(restart.failures.items()))
        yield (
            f"- restart: stopped after {restart.stopped_s:.2f} s, listening after"
            f" {restart.listening_s:.2f} s; {restart.tries} tries to connect ({failed});"
            f" {restart.cpu_s:.2f} s of CPU until all were back"
        )


def _seconds(times: tuple[float, ...] | list[float]) -> str:
    return " | ".join(f"{time_s:.2f} s" for time_s in times)
