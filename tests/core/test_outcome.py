import re

from proxy.core.outcome import Outcome


def test_outcomes_are_distinct_label_values() -> None:
    values = [str(outcome) for outcome in Outcome]
    assert len(set(values)) == len(Outcome) == len(Outcome.__members__)
    assert all(re.fullmatch("[a-z_]+", value) for value in values)
