"""Owns timing how fast new weights reach users: ``python -m loadtests.compare.weights``.

From the call of the control plane's API to the first answer of the other version through a
connected proxy. The call's own answer is waited for, so the figure is an upper bound. Never judges.
"""

import argparse
import http.client
import json
import statistics
import sys
import time
from pathlib import Path

from loadtests.compare.scenarios import HOST, USER
from loadtests.control import Control

SERVICE = "shop"
WITHIN_S = 10.0
_ALL = {"v1": {"stable": 1, "canary": 0}, "v2": {"stable": 0, "canary": 1}}


class NotApplied(Exception):
    """New weights did not reach the users in time."""


def version(proxy: http.client.HTTPConnection) -> str:
    """Which version answers a user now."""
    proxy.request("GET", "/api/items", headers={"Host": HOST, USER: "user-1"})
    response = proxy.getresponse()
    response.read()
    return response.headers["X-Version"]


def change_ms(control: Control, proxy: http.client.HTTPConnection, wanted: str) -> float:
    """Give everyone to ``wanted``; returns how long it took."""
    start = time.perf_counter()
    control.put_weights(SERVICE, _ALL[wanted], "bench")
    while version(proxy) != wanted:
        if time.perf_counter() - start > WITHIN_S:
            raise NotApplied(f"the weights are not in force after {WITHIN_S:g} s")
    return 1e3 * (time.perf_counter() - start)


def main() -> int:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description="Times changes of weights.")
    parser.add_argument("--control", required=True, help="URL of the control plane")
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--traffic", type=Path, required=True, help="services and routes, YAML")
    parser.add_argument("--port", type=int, required=True, help="the proxy's")
    parser.add_argument("--changes", type=int, default=20)
    options = parser.parse_args()
    control = Control(options.control, options.token_file.read_text().strip())
    control.await_settled(control.put_config(options.traffic.read_text()))
    proxy = http.client.HTTPConnection("127.0.0.1", options.port, timeout=WITHIN_S)
    try:
        taken = [
            change_ms(control, proxy, "v1" if turn % 2 else "v2") for turn in range(options.changes)
        ]
    finally:
        proxy.close()
    print(json.dumps({"applied_ms": statistics.median(taken), "slowest_ms": max(taken)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
