"""Owns what the attacks are: slowhttptest's commands, what it reports, the bytes of the floods.

Pure. Source: slowhttptest(1).
"""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass

SLOW = {"heads": "-H", "bodies": "-B", "reads": "-X"}
"""The slow attacks, and how slowhttptest calls them."""
INTERVAL_S = 5
"""Between two pieces: less than any limit on gaps, so that only other limits can end it."""
BLOB_BYTES = 300_000
"""What the slow reader asks for: more than the kernel takes off the proxy's hands."""
TEST_TOOL = "slowhttptest"
LAST = ("nice", "-n", "19")
"""Attackers have machines of their own. Here the tool, which looks through all its connections all
the time, would keep a processor from the proxy, and be measured with it."""


def command(
    attack: str, url: str, *, connections: int, rate: int, seconds: float, out: str
) -> list[str]:
    """The command of one slow attack.

    Args:
        url: of the proxy, without a path.
        out: where it writes its report, without the ending ``.csv``.
    """
    base = [*LAST, TEST_TOOL, SLOW[attack], "-c", str(connections), "-r", str(rate), "-l",
            str(round(seconds)), "-p", "5", "-g", "-o", out, "-v", "1"]  # fmt: skip
    if attack == "heads":
        return [*base, "-i", str(INTERVAL_S), "-x", "24", "-t", "GET", "-u", f"{url}/api/items"]
    if attack == "bodies":
        return [*base, "-i", str(INTERVAL_S), "-x", "10", "-s", "65536", "-t", "POST",
                "-u", f"{url}/upload"]  # fmt: skip
    return [*base, "-n", str(INTERVAL_S), "-w", "512", "-y", "1024", "-z", "32", "-k", "1",
            "-u", f"{url}/blob?bytes={BLOB_BYTES}"]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """What became of an attack's connections, by its own account."""

    opened: int
    """The most that were connected at once."""
    closed: int
    """By the proxy, until the attack's end."""


def parse_report(text: str) -> Report:
    """slowhttptest's CSV: a row a second; columns are found by their names.

    Raises:
        ValueError: it is no such report.
    """
    rows = [{(name or "").strip().lower(): value for name, value in row.items()}
            for row in csv.DictReader(io.StringIO(text))]  # fmt: skip
    if not rows or not {"closed", "connected"} <= rows[0].keys():
        raise ValueError("slowhttptest has written no report")
    return Report(opened=max(int(row["connected"]) for row in rows), closed=int(rows[-1]["closed"]))


def _head(*lines: str) -> bytes:
    return "".join(
        f"{line}\r\n" for line in ("POST /upload HTTP/1.1", "Host: flood", *lines, "")
    ).encode()


FLOODS: dict[str, Callable[[], bytes]] = {
    "long-head": lambda: _head("X-Long: " + "x" * 65_536),
    "many-fields": lambda: _head(*["a: b"] * 10_000),
    "long-target": lambda: b"GET /" + b"t" * 100_000 + b" HTTP/1.1\r\nHost: flood\r\n\r\n",
    "chunk-extension": lambda: (
        _head("Transfer-Encoding: chunked") + b"1;" + b"e" * 1_000_000 + b"\r\nx\r\n0\r\n\r\n"
    ),
    "odd-path": lambda: b"GET /" + b"%41..;//" * 900 + b" HTTP/1.1\r\nHost: flood\r\n\r\n",
}
"""Requests that are to be refused before they cost much."""
