"""Owns which endpoints of a version get requests now, and which of them is next.

What is known of an endpoint outlives revisions that say the same of it. Everything is per worker
process, as the requests are that it is learnt from.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from proxy.core.balance import (
    HashRing,
    RoundRobin,
    bounded,
    least_of_two,
    started_slowly,
    weighted_round,
)
from proxy.core.outcome import Outcome
from proxy.core.outliers import OutlierDetector
from proxy.model.config import Balance

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proxy.model.config import Endpoint, Service
    from proxy.net.deadline import Timers
    from proxy.net.pool import EndpointPool

_ANSWERS: Final = frozenset((Outcome.SUCCESS, Outcome.SERVER_ERROR))
_FAILURES: Final = frozenset(
    (
        Outcome.CONNECT_FAILED,
        Outcome.CONNECT_TIMEOUT,
        Outcome.RESET,
        Outcome.RESPONSE_TIMEOUT,
        Outcome.REQUEST_TIMEOUT,
        Outcome.BAD_RESPONSE,
    )
)


def is_plain(service: Service, endpoints: Sequence[Endpoint]) -> bool:
    """Whether turns alone decide, and nothing is ever learnt of an endpoint."""
    plain = service.balance == Balance() and service.health is None and service.outliers is None
    return plain and all(endpoint.weight == 1 and not endpoint.zone for endpoint in endpoints)


def rules_of(service: Service, endpoints: Sequence[Endpoint], zone: str) -> tuple[object, ...]:
    """What an ``EndpointSet`` is made from: one serves as long as this stays the same."""
    rules = (service.balance, service.health, service.outliers, service.panic_percent)
    return (*rules, tuple(endpoints), zone)


class EndpointState:
    """What is known of one endpoint.

    Attributes:
        healthy: what active checks say; None before the first one is over.
        since: when it came back last, loop time; for slow start.
    """

    __slots__ = ("healthy", "pool", "since", "weight", "zone")

    def __init__(self, pool: EndpointPool, endpoint: Endpoint) -> None:
        self.pool = pool
        self.weight = endpoint.weight
        self.zone = endpoint.zone
        self.healthy: bool | None = None
        self.since = 0.0


class EndpointSet:
    """The endpoints of one version.

    Attributes:
        states: by endpoint, in the configuration's order.
        detector: of outliers, if they are looked for.
        rules: see ``rules_of``.

    Args:
        service: for its rules.
        endpoints: with the pools of their connections, in the same order.
        zone: where this proxy runs.
        ejected: called for each endpoint that is ejected.
    """

    def __init__(
        self,
        service: Service,
        endpoints: Sequence[Endpoint],
        pools: Sequence[EndpointPool],
        timers: Timers,
        zone: str,
        ejected: Callable[[], None],
    ) -> None:
        self.rules = rules_of(service, endpoints, zone)
        self._service = service
        self._timers = timers
        self._ejected = ejected
        self._zone = zone
        self.states = [
            EndpointState(pool, endpoint) for pool, endpoint in zip(pools, endpoints, strict=True)
        ]
        self._index = {pool.name: index for index, pool in enumerate(pools)}
        outliers = service.outliers
        self.detector = None if outliers is None else OutlierDetector(outliers, len(pools))
        names = [pool.name for pool in pools]
        weights = [endpoint.weight for endpoint in endpoints]
        ring = service.balance.policy == "ring_hash" and any(weights)
        self._ring = HashRing(names, weights) if ring else None
        self._weights = weights
        self._turns: list[int] = []
        self._usable: list[int] = []
        self._robin = RoundRobin(1)
        self.refresh()

    def adopt(self, before: EndpointSet) -> None:
        """Take over what is known of the endpoints that were there before."""
        for index, state in enumerate(self.states):
            earlier = before._index.get(state.pool.name)
            if earlier is None:
                continue
            state.healthy = before.states[earlier].healthy
            state.since = before.states[earlier].since
            if self.detector is not None and before.detector is not None:
                self.detector.adopt(index, before.detector, earlier)
        self.refresh()

    def refresh(self) -> None:
        """Something was learnt of an endpoint: settle anew who gets requests."""
        usable = self._working()
        states = self.states
        if 100 * len(usable) < self._service.panic_percent * len(states):
            usable = [index for index, state in enumerate(states) if state.weight]
        near = [index for index in usable if self._zone and states[index].zone == self._zone]
        chosen = frozenset(near or usable)
        self._usable = usable
        self._weights = [
            state.weight if index in chosen else 0 for index, state in enumerate(states)
        ]
        self._turns = weighted_round(self._weights) if chosen else []
        size = len(self._turns)
        self._robin = RoundRobin(max(1, size), random.randrange(max(1, size)))

    def _working(self) -> list[int]:
        ejected = self.detector.ejected if self.detector is not None else ()
        states = self.states
        working = [index for index, state in enumerate(states) if state.weight]
        if self._service.health is not None:
            healthy = [index for index in working if states[index].healthy]
            # Before anything is known to work, what is not known not to is tried.
            working = healthy or [index for index in working if states[index].healthy is None]
        # The last ones that could be asked are never ejected: better a bad endpoint than none.
        return [index for index in working if index not in ejected] or working

    def pick(self, key: int) -> EndpointPool | None:
        """Whom to ask next; None when nobody works.

        Args:
            key: for ``ring_hash``, 0 to 2^32 - 1.
        """
        turns = self._turns
        if not turns:
            return None
        ring = self._ring
        if ring is not None:
            factor = self._service.balance.bounded_load
            busy = [state.pool.busy for state in self.states] if factor else ()
            has_room = bounded(factor, busy, self._weights) if factor else self._is_used
            index = ring.pick(key, has_room)
            return self.states[index if index >= 0 else turns[0]].pool
        index = self._next(turns)
        slow_s = self._service.balance.slow_start_s
        if slow_s:
            for _ in range(len(turns)):
                part = started_slowly(self._timers.time() - self.states[index].since, slow_s)
                if part == 1.0 or random.random() < part:
                    break
                index = self._next(turns)
        return self.states[index].pool

    def other(self, tried: Sequence[EndpointPool]) -> EndpointPool | None:
        """One that was not tried yet; None when there is none left."""
        states = self.states
        left = [index for index in self._turns if states[index].pool not in tried]
        if not left:  # none in this zone
            left = [index for index in self._usable if states[index].pool not in tried]
        if not left:
            return None
        if self._service.balance.policy == "least_request":
            return states[self._next(left)].pool
        return states[left[self._robin.pick() % len(left)]].pool

    def is_used(self, pool: EndpointPool) -> bool:
        """Whether an endpoint gets requests now."""
        index = self._index.get(pool.name)
        return index is not None and self._is_used(index)

    def attempted(self, name: str, outcome: str, status: int) -> None:
        """What came of an attempt."""
        detector = self.detector
        index = self._index.get(name)
        if detector is None or index is None:
            return
        now = self._timers.time()
        before = set(detector.ejected)
        if outcome in _ANSWERS:
            changed = detector.answered(index, status, now)
        elif outcome in _FAILURES:
            changed = detector.failed(index, now)
        else:
            return
        if changed:
            self._tell(before)
            self.refresh()

    def sweep(self) -> None:
        """To be called every ``outliers.interval_s``."""
        detector = self.detector
        if detector is None:
            return
        before = set(detector.ejected)
        if detector.sweep(self._timers.time()):
            for index in before - detector.ejected:
                self.states[index].since = self._timers.time()
            self._tell(before)
            self.refresh()

    def checked(self, index: int, *, healthy: bool) -> None:
        """What the checks of an endpoint say now."""
        state = self.states[index]
        if state.healthy is healthy:
            return
        if healthy:
            state.since = self._timers.time()
        state.healthy = healthy
        self.refresh()

    def state_of(self, index: int) -> str:
        """``used``, ``ejected``, ``unhealthy``, ``unknown`` or ``off``."""
        state = self.states[index]
        if not state.weight:
            return "off"
        if self.detector is not None and index in self.detector.ejected:
            return "ejected"
        if self._service.health is None or state.healthy:
            return "used"
        return "unknown" if state.healthy is None else "unhealthy"

    def _tell(self, before: set[int]) -> None:
        if self.detector is not None:
            for _ in self.detector.ejected - before:
                self._ejected()

    def _next(self, turns: Sequence[int]) -> int:
        if self._service.balance.policy == "least_request":
            return least_of_two(turns, self._busy, self._weights, random.randrange)
        return turns[self._robin.pick()]

    def _busy(self, index: int) -> int:
        return self.states[index].pool.busy

    def _is_used(self, index: int) -> bool:
        return self._weights[index] > 0
