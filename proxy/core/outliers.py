"""Owns when an endpoint is ejected from its version for what its requests met, and for how long.

Pure: times are given, in seconds of any monotonic clock. Every attempt counts, retries too, so that
retrying hides nothing. Sources: Envoy's outlier detection (consecutive 5xx, consecutive gateway
failures, success rate; ejection times that grow with each ejection), whose defaults are ours.
"""

from __future__ import annotations

from copy import copy
from math import sqrt

from proxy.model.config import Outliers


class _Endpoint:
    """What is known of one."""

    __slots__ = (
        "ejected_at",
        "ejections",
        "gateway_errors",
        "requests",
        "server_errors",
        "successes",
    )

    def __init__(self) -> None:
        self.server_errors = 0
        self.gateway_errors = 0
        self.requests = 0
        self.successes = 0
        self.ejections = 0
        self.ejected_at = -1.0

    @property
    def is_ejected(self) -> bool:
        return self.ejected_at >= 0.0


class OutlierDetector:
    """Watches the endpoints of one version.

    Args:
        config: its parameters.
        size: how many endpoints there are.

    Attributes:
        ejected: the indices of those that get no requests now.
        ejections: how many there were, ever.
    """

    __slots__ = ("_config", "_endpoints", "ejected", "ejections")

    def __init__(self, config: Outliers, size: int) -> None:
        self._config = config
        self._endpoints = [_Endpoint() for _ in range(size)]
        self.ejected: set[int] = set()
        self.ejections = 0

    def adopt(self, index: int, before: OutlierDetector, earlier: int) -> None:
        """An endpoint is the one that another detector knew: go on from there."""
        self._endpoints[index] = endpoint = copy(before._endpoints[earlier])
        if endpoint.is_ejected:
            self.ejected.add(index)

    def answered(self, index: int, status: int, now: float) -> bool:
        """An endpoint answered. Returns whether ``ejected`` has changed."""
        return self._count(index, status >= 500, 502 <= status <= 504, now)

    def failed(self, index: int, now: float) -> bool:
        """An endpoint could not be reached, or broke off. As ``answered``."""
        return self._count(index, True, True, now)

    def sweep(self, now: float) -> bool:
        """To be called every ``interval_s``: takes back whose time is over, ejects whose success
        rate is far below the others'. As ``answered``."""
        before = set(self.ejected)
        config = self._config
        for index, endpoint in enumerate(self._endpoints):
            if endpoint.is_ejected:
                longest = max(config.base_ejection_s, config.max_ejection_s)
                if now >= endpoint.ejected_at + min(
                    config.base_ejection_s * endpoint.ejections, longest
                ):
                    endpoint.ejected_at = -1.0
                    self.ejected.discard(index)
            elif endpoint.ejections:
                endpoint.ejections -= 1
        self._compare_rates(now)
        for endpoint in self._endpoints:
            endpoint.requests = endpoint.successes = 0
        return self.ejected != before

    def _count(self, index: int, server_error: bool, gateway_error: bool, now: float) -> bool:
        endpoint = self._endpoints[index]
        endpoint.requests += 1
        if not server_error:
            endpoint.successes += 1
            endpoint.server_errors = endpoint.gateway_errors = 0
            return False
        endpoint.server_errors += 1
        endpoint.gateway_errors = endpoint.gateway_errors + 1 if gateway_error else 0
        config = self._config
        if (
            0 < config.consecutive_5xx <= endpoint.server_errors
            or 0 < config.consecutive_gateway_errors <= endpoint.gateway_errors
        ):
            return self._eject(index, now)
        return False

    def _compare_rates(self, now: float) -> None:
        config = self._config
        rates = {
            index: endpoint.successes / endpoint.requests
            for index, endpoint in enumerate(self._endpoints)
            if not endpoint.is_ejected and endpoint.requests >= config.success_rate_requests > 0
        }
        if len(rates) < max(2, config.success_rate_hosts):
            return
        mean = sum(rates.values()) / len(rates)
        deviation = sqrt(sum((rate - mean) ** 2 for rate in rates.values()) / len(rates))
        least = mean - config.success_rate_factor * deviation
        for index, rate in rates.items():
            if rate < least:
                self._eject(index, now)

    def _eject(self, index: int, now: float) -> bool:
        endpoint = self._endpoints[index]
        size = len(self._endpoints)
        out = len(self.ejected)
        # One may always go, but never the last one: better a bad endpoint than none.
        allowed = out + 1 < size and (
            out == 0 or 100 * out < self._config.max_ejected_percent * size
        )
        if endpoint.is_ejected or not allowed:
            return False
        endpoint.ejected_at = now
        endpoint.ejections += 1
        endpoint.server_errors = endpoint.gateway_errors = 0
        self.ejected.add(index)
        self.ejections += 1
        return True
