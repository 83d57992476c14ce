"""Owns who is connected, on which revision, and who refused what. Never sends anything.

A proxy that went away stays in the list for a while, so that an operator sees it missing. Two
connections of one instance both show until the older one is found dead: which of them is real is
not this module's to say.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from controlplane.model import Convergence, OnRevision, ProxyInfo, Refusal, Refusing, Summary
from proxy.model.errors import Problem
from proxy.model.wire import Hello

_Key = TypeVar("_Key", int, str)

REMEMBERED_S = 600.0
"""How long a proxy that went away stays in the list."""
_MAX_REMEMBERED = 1_000
"""Instances with a new name at every start must not fill the memory."""
MAX_REFUSALS = 20
"""Named in an answer about convergence; the list of proxies has them all."""
_MAX_PROBLEMS = 20
_MAX_MESSAGE = 300
"""Of a refusal this much is kept; the proxy's own log has the rest."""


@dataclass(slots=True, eq=False)
class Member:
    """One connection of one proxy."""

    hello: Hello
    address: str
    since: datetime
    revision: int
    left_at: datetime | None = None
    forget_at_s: float = 0.0
    refused: int | None = None
    problems: tuple[Problem, ...] = field(default=())


class Fleet:
    """Every proxy that is connected or was a short while ago."""

    def __init__(self, wall: Callable[[], datetime], monotonic_s: Callable[[], float]) -> None:
        self._wall = wall
        self._monotonic_s = monotonic_s
        self._here: set[Member] = set()
        self._named: Counter[str] = Counter()
        """Connections here of each instance: thousands leave at once when the server stops."""
        self._on: Counter[int] = Counter()
        """How many of those here are on a revision: asked often, of thousands of proxies."""
        self._refusing: set[Member] = set()
        self._gone: dict[str, Member] = {}
        """By instance, the first to go first."""
        self.changes = 0
        """How often anything that ``proxies`` tells has changed."""

    def join(self, hello: Hello, address: str, revision: int) -> Member:
        """A proxy said hello; ``revision`` is what it runs on, of this store."""
        member = Member(hello, address, self._wall(), revision)
        self._gone.pop(hello.instance, None)
        self._here.add(member)
        self._named[hello.instance] += 1
        self._on[revision] += 1
        self.changes += 1
        return member

    def ack(self, member: Member, revision: int) -> None:
        """The revision is in force there."""
        self.changes += 1
        if member in self._here:
            _count_off(self._on, member.revision)
            self._on[revision] += 1
        member.revision = revision
        if member.refused is not None and member.refused <= revision:
            member.refused, member.problems = None, ()
            self._refusing.discard(member)

    def nack(self, member: Member, revision: int, problems: tuple[Problem, ...]) -> None:
        """The revision was refused there."""
        self.changes += 1
        member.refused = revision
        member.problems = tuple(map(_cut, problems[:_MAX_PROBLEMS]))
        if member in self._here:
            self._refusing.add(member)

    def leave(self, member: Member) -> None:
        """Its connection is closed."""
        self.changes += 1
        if member in self._here:
            self._here.remove(member)
            self._refusing.discard(member)
            _count_off(self._named, member.hello.instance)
            _count_off(self._on, member.revision)
        member.left_at = self._wall()
        member.forget_at_s = self._monotonic_s() + REMEMBERED_S
        instance = member.hello.instance
        if self._named[instance]:
            return
        self._gone.pop(instance, None)
        self._gone[instance] = member
        self._forget()

    def proxies(self, target: int) -> list[ProxyInfo]:
        """Everyone, the connected ones first, then by instance."""
        self._forget()
        everyone = [*self._here, *self._gone.values()]
        everyone.sort(key=lambda m: (m.left_at is not None, m.hello.instance, m.since))
        return [_info(member, target) for member in everyone]

    def connected(self) -> int:
        """How many proxies are connected."""
        return len(self._here)

    def on(self, revision: int) -> int:
        """How many connected proxies have the revision in force."""
        return self._on[revision]

    def summary(self, target: int | None = None) -> Summary:
        """How many are on which revision, and who refuses.

        Its cost grows with the revisions in force and with the refusals, not with the proxies.

        Args:
            target: of the refusals only those that concern this revision.
        """
        refusing = [
            m
            for m in self._refusing
            if target is None or is_refusing(m.revision, m.refused or 0, target)
        ]
        shown = heapq.nsmallest(MAX_REFUSALS, refusing, key=lambda m: m.hello.instance)
        pairs = Counter((m.revision, m.refused or 0) for m in refusing)
        return Summary(
            revisions=tuple(OnRevision(each, self._on[each]) for each in sorted(self._on)),
            refusing=tuple(Refusing(*pair, pairs[pair]) for pair in sorted(pairs)),
            refusals=tuple((m.revision, _refusal(m)) for m in shown),
        )

    def convergence(self, target: int) -> Convergence:
        """How far a revision has come among those who are connected; a newer one counts as well."""
        return convergence_of([self.summary(target)], target)

    def refusing(self, revision: int) -> int:
        """How many connected proxies refused the revision."""
        return sum(member.refused == revision for member in self._refusing)

    def _forget(self) -> None:
        now_s = self._monotonic_s()
        while self._gone:
            instance = next(iter(self._gone))
            if self._gone[instance].forget_at_s > now_s and len(self._gone) <= _MAX_REMEMBERED:
                return
            del self._gone[instance]


def is_refusing(in_force: int, refused: int, target: int) -> bool:
    """Whether a revision is refused. Who refused a newer one while this one, or one after it, is
    in force has confirmed."""
    return in_force < target <= refused


def convergence_of(summaries: Sequence[Summary], target: int) -> Convergence:
    """How far a revision has come among the proxies of several control planes."""
    on = Counter[int]()
    for summary in summaries:
        on.update({each.revision: each.proxies for each in summary.revisions})
    refused = sum(
        each.proxies
        for summary in summaries
        for each in summary.refusing
        if is_refusing(each.revision, each.refused, target)
    )
    confirmed = sum(count for revision, count in on.items() if revision >= target)
    shown = [
        refusal
        for summary in summaries
        for in_force, refusal in summary.refusals
        if is_refusing(in_force, refusal.revision, target)
    ]
    shown.sort(key=lambda refusal: refusal.instance)
    return Convergence(
        revision=target,
        connected=on.total(),
        confirmed=confirmed,
        behind=on.total() - confirmed - refused,
        refused=refused,
        done=confirmed == on.total(),
        revisions=tuple(OnRevision(each, on[each]) for each in sorted(on, reverse=True)),
        refusals=tuple(shown[:MAX_REFUSALS]),
    )


def _count_off(counter: Counter[_Key], key: _Key) -> None:
    """One less; what is at 0 takes no room."""
    counter[key] -= 1
    if not counter[key]:
        del counter[key]


def _refusal(member: Member) -> Refusal:
    instance, refused = member.hello.instance, member.refused or 0
    return Refusal(instance, member.address, refused, member.problems)


def _info(member: Member, target: int) -> ProxyInfo:
    return ProxyInfo(
        instance=member.hello.instance,
        release=member.hello.release,
        address=member.address,
        connected=member.left_at is None,
        connected_since=member.since,
        disconnected_at=member.left_at,
        revision=member.revision,
        target=target,
        refused=member.refused,
        problems=member.problems,
        zone=member.hello.zone,
        place=member.hello.place,
    )


def _cut(problem: Problem) -> Problem:
    return Problem(
        problem.field[:_MAX_MESSAGE],
        problem.message[:_MAX_MESSAGE],
        problem.file[:_MAX_MESSAGE],
        problem.line,
    )
