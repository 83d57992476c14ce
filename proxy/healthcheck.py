"""Owns ``python -m proxy.healthcheck [URL]``: one probe, the exit code says how it went.

For containers whose image has no curl. Asks the proxy's admin port for ``/readyz``, or the URL
given, e.g. the control plane's. Exit 0: the answer was 200; 1: anything else, with one line on
standard error that says what. Imports the standard library only, and little of it: it runs every
few seconds beside the proxy. Never follows a redirect, never goes through ``http_proxy``.
"""

import os
import socket
import sys
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

ENVIRONMENT = "SPLITWAY_HEALTH_URL"
DEFAULT_URL = "http://127.0.0.1:9900/readyz"
PATH = "/readyz"
TIMEOUT_S = 2.0
"""For connecting and for each read. Below the 3 s that the image's HEALTHCHECK gives the process,
so that the line on standard error is not lost."""
_UNIX = "unix:"


class _UnixConnection(HTTPConnection):
    """HTTP over the Unix socket at a path."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path
        self._timeout_s = timeout_s

    def connect(self) -> None:
        """Called by the base class when the request is sent."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._timeout_s)
        self.sock.connect(self._path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Probe once. Returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if len(given) > 1 or any(text.startswith("-") for text in given):
        sys.stderr.write("usage: python -m proxy.healthcheck [http://HOST:PORT/PATH | unix:PATH]\n")
        return 1
    url = given[0] if given else os.environ.get(ENVIRONMENT) or DEFAULT_URL
    fault = fault_of(url)
    if fault:
        sys.stderr.write(f"healthcheck: {url}: {fault}\n")
    return 1 if fault else 0


def fault_of(url: str, timeout_s: float = TIMEOUT_S) -> str:
    """What is wrong at ``url``; empty when it answers 200.

    Args:
        url: ``http://host:port/path``, or ``unix:/path/of/socket`` as in ``admin.bind``; without a
            path ``/readyz`` is asked for.
    """
    try:
        connection, path = _connection(url, timeout_s)
    except ValueError as error:
        return str(error)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
    except (OSError, HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return "" if response.status == 200 else f"answered {response.status} {response.reason}"


def _connection(url: str, timeout_s: float) -> tuple[HTTPConnection, str]:
    """Raises ValueError saying what to write instead."""
    if url.startswith(_UNIX):
        return _UnixConnection(url.removeprefix(_UNIX), timeout_s), PATH
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("expected http://HOST:PORT/PATH or unix:/path/of/socket")
    query = f"?{parts.query}" if parts.query else ""
    return HTTPConnection(parts.hostname, parts.port, timeout=timeout_s), (
        parts.path or PATH
    ) + query


if __name__ == "__main__":
    sys.exit(main())
