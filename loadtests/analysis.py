"""Owns what a journal proves: failures, users who changed version, shares by step.

Pure: records in, findings out. What each user should have seen is recomputed from the tables of
the steps (``loadtests.tables``), never taken from the proxy.

In-flight requests are judged fairly. A change comes into force at some moment between its asking
and its settling; a request that overlaps that window may be on either side, any other may not.
A user's requests, in order, must fit steps that never go back. So a flip inside a step, a flip
back, and a move of a user whose slot stayed are all caught, and a needed move is not.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from loadtests.journal import Change, Record, Request, Start
from loadtests.population import SlotOf, Table, distance, own_shares, shares_asked

Tables = Callable[[Sequence[Mapping[str, int]]], Sequence[Table]]
"""Weights of each step, in order → the split table in force in each."""

NAMED_USERS = 20


@dataclass(frozen=True, slots=True)
class StepShares:
    """One step: what was asked, and what users saw. Shares are 0–1 by version, over users."""

    step: int
    weights: Mapping[str, int]
    users: int
    """Users with a request that was surely in this step."""
    asked: Mapping[str, float]
    own: Mapping[str, float]
    """The exact share of those users by their slots; empty when the table is not known."""
    seen: Mapping[str, float]
    settled_ms: float
    """From the API's answer until every proxy had it in force."""

    @property
    def off(self) -> float:
        """How far the share seen is from the share asked, 0–1."""
        return distance(self.asked, self.seen) if self.asked and self.seen else 0.0


@dataclass(frozen=True, slots=True)
class Findings:
    """What a journal proves."""

    sent: int = 0
    failed: int = 0
    failures: tuple[tuple[str, int], ...] = ()
    """What went wrong, and how often; most frequent first."""
    change_errors: tuple[str, ...] = ()
    population: int = 0
    users: int = 0
    """Users who got at least one answer."""
    changed: int = 0
    """Users who saw more than one version."""
    had_to: int = 0
    """Of those, users whose every change is one of their slot."""
    without_need: tuple[str, ...] = ()
    """Users who changed version though their slot did not, or flipped."""
    misplaced: tuple[str, ...] = ()
    """Users who never changed, yet were on a version that is not their slot's."""
    steps: tuple[StepShares, ...] = ()
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    seconds: float = 0.0
    """From the first request's start to the last one's end."""

    def faults(self, tolerance: float) -> list[str]:
        """Why the run is not good, in words; empty when it is. ``tolerance`` of shares, 0–1."""
        said = [f"a change of weights failed: {error}" for error in self.change_errors]
        if not self.sent:
            said.append("no request was sent")
        if self.failed:
            said.append(f"{self.failed:,} of {self.sent:,} requests failed")
        if self.without_need:
            said.append(f"{_named(self.without_need)} changed version without need")
        if self.misplaced:
            said.append(f"{_named(self.misplaced)} were on a version that is not their slot's")
        for step in self.steps:
            if not step.users:
                said.append(f"step {step.step}: no user was seen")
            elif step.off > tolerance:
                said.append(
                    f"step {step.step}: share seen is {step.off:.2%} off the share asked"
                    f" (more than {tolerance:.0%})"
                )
        return said


def _named(names: Sequence[str]) -> str:
    more = ", …" if len(names) > NAMED_USERS else ""
    return f"{len(names):,} users ({', '.join(names[:NAMED_USERS])}{more})"


@dataclass(slots=True)
class _Journal:
    start: Start | None = None
    changes: list[Change] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Step:
    """When a step may have been in force (``from_us`` to ``until_us``), and its table."""

    number: int
    weights: Mapping[str, int]
    table: Table | None
    from_us: float
    until_us: float
    settled_ms: float

    def may_hold(self, request: Request) -> bool:
        return request.ended_us >= self.from_us and request.started_us <= self.until_us


def analyse(
    records: Iterable[Record], tables: Tables, slot_of: Callable[[str], SlotOf]
) -> Findings:
    """What the journal proves.

    Args:
        records: a journal, in any order.
        tables: makes the split tables of a sequence of weights.
        slot_of: a service's salt (its name if it has none) → the slot of a user.
    """
    journal = _sort(records)
    requests = journal.requests
    failed = [request for request in requests if request.error]
    by_user: dict[str, list[Request]] = defaultdict(list)
    for request in sorted(requests, key=lambda request: request.started_us):
        if request.version:
            by_user[request.user].append(request)
    start = journal.start or Start(at_us=0, service="", users=0, series="")
    steps = _steps(start, journal.changes, tables)
    slot = slot_of(start.salt or start.service)
    verdicts = {user: _judge(user, history, steps, slot) for user, history in by_user.items()}
    latencies = sorted(request.ended_us - request.started_us for request in requests)
    return Findings(
        sent=len(requests),
        failed=len(failed),
        failures=tuple(Counter(request.error for request in failed).most_common()),
        change_errors=tuple(change.error for change in journal.changes if change.error),
        population=start.users,
        users=len(by_user),
        changed=sum(changed for changed, _ in verdicts.values()),
        had_to=sum(changed and fits for changed, fits in verdicts.values()),
        without_need=tuple(u for u, (changed, fits) in verdicts.items() if changed and not fits),
        misplaced=tuple(u for u, (changed, fits) in verdicts.items() if not changed and not fits),
        steps=tuple(_shares(step, steps, by_user, slot) for step in steps),
        p50_ms=quantile(latencies, 0.50) / 1e3,
        p99_ms=quantile(latencies, 0.99) / 1e3,
        seconds=_seconds(requests),
    )


def quantile(ordered: Sequence[int], part: float) -> int:
    """The value at ``part`` (0–1) of an ordered sequence, by nearest rank; 0 when it is empty."""
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0


def _seconds(requests: Sequence[Request]) -> float:
    if not requests:
        return 0.0
    first = min(request.started_us for request in requests)
    return (max(request.ended_us for request in requests) - first) / 1e6


def _sort(records: Iterable[Record]) -> _Journal:
    journal = _Journal()
    for record in records:
        match record:
            case Start():
                journal.start = record
            case Change():
                journal.changes.append(record)
            case Request():
                journal.requests.append(record)
    return journal


def _steps(start: Start, changes: Sequence[Change], tables: Tables) -> list[_Step]:
    """The steps that came into force. A change that failed leaves the step before in force."""
    made = sorted((c for c in changes if not c.error), key=lambda change: change.step)
    weights = [start.weights, *(change.weights for change in made)]
    known = tables(weights) if start.weights else [None] * len(weights)
    begins = [float("-inf"), *(float(change.asked_us) for change in made)]
    ends = [*(float(change.settled_us) for change in made), float("inf")]
    numbers = [0, *(change.step for change in made)]
    waits = [0.0, *((change.settled_us - change.answered_us) / 1e3 for change in made)]
    return [
        _Step(*parts) for parts in zip(numbers, weights, known, begins, ends, waits, strict=True)
    ]


def _judge(
    user: str, history: Sequence[Request], steps: Sequence[_Step], slot: SlotOf
) -> tuple[bool, bool]:
    """Whether the user changed version, and whether all they saw fits their slot."""
    first, at = history[0].version, 0
    expected = [step.table[slot(user)] if step.table else first for step in steps]
    fits = True
    for request in history:
        fitting = (
            number
            for number in range(at, len(steps))
            if steps[number].may_hold(request) and expected[number] == request.version
        )
        # The earliest step that fits leaves the most room for what the user saw later.
        found = next(fitting, None)
        if found is None:
            fits = False
            break
        at = found
    return any(request.version != first for request in history), fits


def _shares(
    step: _Step, steps: Sequence[_Step], by_user: Mapping[str, Sequence[Request]], slot: SlotOf
) -> StepShares:
    others = [other for other in steps if other is not step]
    seen: dict[str, str] = {}
    for user, history in by_user.items():
        for request in history:
            if step.may_hold(request) and not any(other.may_hold(request) for other in others):
                seen[user] = request.version
    counts = Counter(seen.values())
    return StepShares(
        step=step.number,
        weights=step.weights,
        users=len(seen),
        asked=shares_asked(step.weights) if step.weights else {},
        own=own_shares(seen, step.table, slot) if step.table and seen else {},
        seen={version: count / len(seen) for version, count in counts.items()},
        settled_ms=step.settled_ms,
    )
