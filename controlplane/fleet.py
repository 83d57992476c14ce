"""Owns who is connected, on which revision, and who refused what. Never sends anything.

A proxy that went away stays in the list for a while, so that an operator sees it missing. Two
connections of one instance both show until the older one is found dead: which of them is real is
not this module's to say.
"""

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from controlplane.model import Convergence, OnRevision, ProxyInfo, Refusal
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

    def join(self, hello: Hello, address: str, revision: int) -> Member:
        """A proxy said hello; ``revision`` is what it runs on, of this store."""
        member = Member(hello, address, self._wall(), revision)
        self._gone.pop(hello.instance, None)
        self._here.add(member)
        self._named[hello.instance] += 1
        self._on[revision] += 1
        return member

    def ack(self, member: Member, revision: int) -> None:
        """The revision is in force there."""
        if member in self._here:
            _count_off(self._on, member.revision)
            self._on[revision] += 1
        member.revision = revision
        if member.refused is not None and member.refused <= revision:
            member.refused, member.problems = None, ()
            self._refusing.discard(member)

    def nack(self, member: Member, revision: int, problems: tuple[Problem, ...]) -> None:
        """The revision was refused there."""
        member.refused = revision
        member.problems = tuple(map(_cut, problems[:_MAX_PROBLEMS]))
        if member in self._here:
            self._refusing.add(member)

    def leave(self, member: Member) -> None:
        """Its connection is closed."""
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

    def convergence(self, target: int) -> Convergence:
        """How far a revision has come among those who are connected; a newer one counts as well.

        Its cost grows with the revisions in force and with the refusals, not with the proxies.
        """
        connected = len(self._here)
        confirmed = sum(count for revision, count in self._on.items() if revision >= target)
        # Who refused a newer one while this one, or one after it, is in force has confirmed.
        refusing = [
            member
            for member in self._refusing
            if member.refused is not None and member.revision < target <= member.refused
        ]
        shown = heapq.nsmallest(MAX_REFUSALS, refusing, key=lambda m: m.hello.instance)
        return Convergence(
            revision=target,
            connected=connected,
            confirmed=confirmed,
            behind=connected - confirmed - len(refusing),
            refused=len(refusing),
            done=confirmed == connected,
            revisions=tuple(
                OnRevision(revision, self._on[revision])
                for revision in sorted(self._on, reverse=True)
            ),
            refusals=tuple(
                Refusal(m.hello.instance, m.address, m.refused or 0, m.problems) for m in shown
            ),
        )

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


def _count_off(counter: Counter[_Key], key: _Key) -> None:
    """One less; what is at 0 takes no room."""
    counter[key] -= 1
    if not counter[key]:
        del counter[key]


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
