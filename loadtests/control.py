"""Owns the few calls that load makes to the control plane's API. Blocking: it runs in a greenlet
or a thread. Never decides which weights to ask for.
"""

import json
import time
import urllib.error
import urllib.request
from typing import Any

CALL_TIMEOUT_S = 10.0
SETTLE_POLL_S = 0.01


class ControlError(Exception):
    """The control plane refused, or could not be reached; says which call and why."""


class Control:
    """The control plane's API for one operator."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._token = token
        # Straight to the address given, whatever http_proxy says: it is one's own machine or task.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def put_config(self, text: str) -> int:
        """Replaces the whole traffic configuration (YAML); returns its revision."""
        return _revision(self._call("PUT", "/v1/config", text.encode(), "application/yaml"))

    def put_weights(self, service: str, weights: dict[str, int], reason: str) -> int:
        """Asks for new weights; returns the revision that holds them."""
        body = json.dumps({"weights": weights, "reason": reason}).encode()
        path = f"/v1/services/{service}/weights"
        return _revision(self._call("PUT", path, body, "application/json"))

    def salt(self, service: str) -> str:
        """The service's salt; empty when it is the service's name."""
        services = self._call("GET", "/v1/config")["services"]
        if service not in services:
            raise ControlError(f"the control plane has no service {service!r}: {list(services)}")
        return str(services[service].get("salt", ""))

    def revisions(self) -> list[int]:
        """The revision in force in each connected proxy."""
        proxies = self._call("GET", "/v1/proxies")["proxies"]
        return [int(proxy["revision"]) for proxy in proxies if proxy["connected"]]

    def await_settled(self, revision: int, within_s: float = CALL_TIMEOUT_S) -> None:
        """Returns once every connected proxy, and at least one, has the revision in force."""
        deadline = time.monotonic() + within_s
        while True:
            in_force = self.revisions()
            if in_force and min(in_force) >= revision:
                return
            if time.monotonic() > deadline:
                raise ControlError(
                    f"revision {revision} not in force everywhere after {within_s:g} s:"
                    f" connected proxies have {in_force or 'none'}"
                )
            time.sleep(SETTLE_POLL_S)

    def _call(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> Any:
        request = urllib.request.Request(self._url + path, data=body, method=method)
        request.add_header("Authorization", f"Bearer {self._token}")
        if kind:
            request.add_header("Content-Type", kind)
        try:
            with self._opener.open(request, timeout=CALL_TIMEOUT_S) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                detail = error.read(2000).decode(errors="replace")
            raise ControlError(f"{method} {path}: {error.code}: {detail}") from error
        except (OSError, ValueError) as error:
            raise ControlError(f"{method} {path}: {error}") from error


def _revision(answer: Any) -> int:
    return int(answer["revision"])
