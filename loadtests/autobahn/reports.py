"""Owns the comparison of two agents in an Autobahn index: pure. Never reads a file.

Source: the index.json of autobahntestsuite, whose ``behavior`` is what a case saw and whose
``behaviorClose`` is how its connection was closed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Index = Mapping[str, Mapping[str, Mapping[str, object]]]
"""Agent → case → what was seen."""

ASPECTS = ("behavior", "behaviorClose")
MISSING = "MISSING"
# Some cases only inform, whatever is done. Every verdict that is not named is a failure, and one
# failure is not worse than another.
_RANKS = {"OK": 0, "INFORMATIONAL": 0, "NON-STRICT": 1, "UNIMPLEMENTED": 2}
_FAILURE = 3


@dataclass(frozen=True, slots=True)
class Difference:
    """One aspect of one case that two agents did not do alike."""

    case: str
    aspect: str
    before: str
    after: str

    @property
    def is_worse(self) -> bool:
        """The second agent did worse."""
        return _RANKS.get(self.after, _FAILURE) > _RANKS.get(self.before, _FAILURE)

    def __str__(self) -> str:
        return f"case {self.case}: {self.aspect} {self.before} -> {self.after}"


def compare(index: Index, before: str, after: str) -> list[Difference]:
    """What ``after`` did otherwise than ``before``, in the order of the cases.

    A case that one of them lacks is ``MISSING`` there, which is a failure.
    """
    first, second = index.get(before, {}), index.get(after, {})
    return [
        Difference(case, aspect, was, is_)
        for case in sorted(first.keys() | second.keys(), key=case_order)
        for aspect in ASPECTS
        if (was := _verdict(first, case, aspect)) != (is_ := _verdict(second, case, aspect))
    ]


def case_order(case: str) -> tuple[int, ...]:
    """9.1.2 comes before 10.1.1."""
    return tuple(int(part) for part in case.split("."))


def tally(index: Index, agent: str) -> dict[str, int]:
    """How often an agent got each verdict on ``behavior``, the most frequent first."""
    counts: dict[str, int] = {}
    for seen in index.get(agent, {}).values():
        verdict = str(seen.get(ASPECTS[0], MISSING))
        counts[verdict] = counts.get(verdict, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def _verdict(cases: Mapping[str, Mapping[str, object]], case: str, aspect: str) -> str:
    return str(cases.get(case, {}).get(aspect, MISSING))
