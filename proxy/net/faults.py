"""Owns the faults that a route is given on purpose: which requests they strike. Never acts.

Source: Envoy's and Istio's fault injection: delay and abort are drawn each for itself, a percentage
that is not given is 0, and there is a limit to how many are active.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from proxy.core.forwarded import TrustedProxies
from proxy.core.match import compile_match
from proxy.core.request_view import RequestView
from proxy.model.config import Match

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.core.message import HeadView
    from proxy.model.config import Fault, Route


class FaultPolicy:
    """The faults of one route.

    Args:
        trusted: whose word on the client counts.

    Attributes:
        active: delays that are not over.
    """

    __slots__ = ("_config", "_predicate", "_trusted", "active")

    def __init__(self, config: Fault, trusted: TrustedProxies) -> None:
        self._config = config
        self._trusted = trusted
        self._predicate = compile_match(Match(headers=config.headers))
        self.active = 0

    def strike(self, head: HeadView, peer: str) -> tuple[float, int]:
        """How long a request is held up, and what it is answered then; 0 for neither."""
        config = self._config
        if self._predicate is not None:
            view = RequestView(head, peer, self._trusted, lambda: 0)
            if not self._predicate(view):
                return 0.0, 0
        if config.max_active and self.active >= config.max_active:
            return 0.0, 0
        delay = config.delay_s if random.random() * 100 < config.delay_percent else 0.0
        status = config.abort_status if random.random() * 100 < config.abort_percent else 0
        return delay, status


def compile_faults(
    routes: Iterable[Route], trusted: TrustedProxies
) -> tuple[FaultPolicy | None, ...]:
    """By route; empty where no route has faults."""
    policies = tuple(
        None if route.fault is None else FaultPolicy(route.fault, trusted) for route in routes
    )
    return policies if any(policies) else ()
