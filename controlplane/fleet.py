"""Owns who is connected, on which revision, and who refused what. Never sends anything.

A proxy that went away stays in the list for a while, so that an operator sees it missing. Two
connections of one instance both show until the older one is found dead: which of them is real is
not this module's to say.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from controlplane.model import ProxyInfo
from proxy.model.errors import Problem
from proxy.model.wire import Hello

REMEMBERED_S = 600.0
"""How long a proxy that went away stays in the list."""
_MAX_REMEMBERED = 1_000
"""Instances with a new name at every start must not fill the memory."""
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

    def ack(self, revision: int) -> None:
        """The revision is in force there."""
        self.revision = revision
        if self.refused is not None and self.refused <= revision:
            self.refused, self.problems = None, ()

    def nack(self, revision: int, problems: tuple[Problem, ...]) -> None:
        """The revision was refused there."""
        self.refused = revision
        self.problems = tuple(map(_cut, problems[:_MAX_PROBLEMS]))


class Fleet:
    """Every proxy that is connected or was a short while ago."""

    def __init__(self, wall: Callable[[], datetime], monotonic_s: Callable[[], float]) -> None:
        self._wall = wall
        self._monotonic_s = monotonic_s
        self._here: set[Member] = set()
        self._gone: dict[str, Member] = {}
        """By instance, the first to go first."""

    def join(self, hello: Hello, address: str, revision: int) -> Member:
        """A proxy said hello; ``revision`` is what it runs on, of this store."""
        member = Member(hello, address, self._wall(), revision)
        self._gone.pop(hello.instance, None)
        self._here.add(member)
        return member

    def leave(self, member: Member) -> None:
        """Its connection is closed."""
        self._here.discard(member)
        member.left_at = self._wall()
        member.forget_at_s = self._monotonic_s() + REMEMBERED_S
        instance = member.hello.instance
        if any(other.hello.instance == instance for other in self._here):
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
        return sum(member.revision == revision for member in self._here)

    def _forget(self) -> None:
        now_s = self._monotonic_s()
        for instance, member in list(self._gone.items()):
            if member.forget_at_s > now_s and len(self._gone) <= _MAX_REMEMBERED:
                return
            del self._gone[instance]


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
    )


def _cut(problem: Problem) -> Problem:
    return Problem(
        problem.field[:_MAX_MESSAGE],
        problem.message[:_MAX_MESSAGE],
        problem.file[:_MAX_MESSAGE],
        problem.line,
    )
