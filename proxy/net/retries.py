"""Owns when a request is tried once more, and how many may be at once. Never sends anything.

Sources: Envoy's retry policies and retry budgets (a share of the active requests), full jitter.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from proxy.core.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.model.config import Retry, Route

_OUTCOMES: Final = {
    "connect_failure": (Outcome.CONNECT_FAILED, Outcome.CONNECT_TIMEOUT),
    "reset": (Outcome.RESET,),
    "timeout": (Outcome.RESPONSE_TIMEOUT,),
    "bad_response": (Outcome.BAD_RESPONSE,),
}


class RetryPolicy:
    """What one route repeats.

    Attributes:
        any_method: those that may not be repeated without harm, too.
        outcomes: of attempts that brought no answer.
        per_try_s: how long an attempt may take until it is answered; 0 means as long as any.
        replay_bytes: what may be kept of a body.
        retries: attempts after the first.
        statuses: of answers.
    """

    __slots__ = (
        "_backoff_s", "_budget_min", "_budget_percent", "_max_backoff_s", "any_method", "outcomes",
        "per_try_s", "replay_bytes", "retries", "statuses",
    )  # fmt: skip

    def __init__(self, config: Retry) -> None:
        self._backoff_s = config.backoff_s
        self._max_backoff_s = config.max_backoff_s
        self._budget_percent = config.budget_percent
        self._budget_min = config.budget_min
        self.any_method = config.methods == "all"
        self.retries = config.retries
        self.replay_bytes = config.replay_bytes
        self.per_try_s = config.per_try_s
        outcomes: set[str] = set()
        statuses: set[int] = set()
        for condition in config.conditions:
            if condition in _OUTCOMES:
                outcomes.update(_OUTCOMES[condition])
            else:
                first, _, last = condition.partition("-")
                statuses.update(range(int(first), int(last or first) + 1))
        self.outcomes = frozenset(outcomes)
        self.statuses = frozenset(statuses)

    def delay_s(self, retry: int) -> float:
        """How long to wait before the ``retry``-th (from 1)."""
        return random.random() * min(self._max_backoff_s, self._backoff_s * 2.0 ** (retry - 1))

    def allows(self, retrying: int, active: int) -> bool:
        """Whether one more request may be retried.

        Args:
            retrying: requests of the version that are retried already.
            active: of all that it has in hand.
        """
        return retrying < max(self._budget_min, active * self._budget_percent // 100)


def compile_retries(routes: Iterable[Route]) -> tuple[RetryPolicy | None, ...]:
    """By route; empty where no route retries."""
    policies = tuple(None if route.retry is None else RetryPolicy(route.retry) for route in routes)
    return policies if any(policies) else ()
