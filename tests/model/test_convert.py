from typing import Annotated

import pytest
from msgspec import Meta, Struct

from proxy.model.convert import convert
from proxy.model.errors import ConfigError
from proxy.model.nodes import Dict, Node, Scalar, Sequence
from proxy.model.report import Report


class Inner(Struct, frozen=True):
    size: Annotated[int, Meta(ge=1)]
    label: str = "none"


class Outer(Struct, frozen=True):
    inner: Inner
    many: Annotated[tuple[Inner, ...], Meta(max_length=2)] = ()
    maybe: Inner | None = None


def mapping(line: int, **entries: Node) -> Dict:
    return Dict(line, dict(entries), dict.fromkeys(entries, line))


INNER = mapping(2, size=Scalar(2, 5))


def test_defaults_and_values() -> None:
    report = Report("")
    value = convert(Outer, mapping(1, inner=INNER, many=Sequence(3, [INNER])), report)
    assert value == Outer(Inner(5), (Inner(5),))
    assert report.lines["many[0].size"] == 2
    report.refuse()


@pytest.mark.parametrize(
    ("node", "field", "message"),
    [
        (mapping(1, inner=mapping(2, size=Scalar(3, 0))),
         "inner.size", "expected a whole number ≥ 1, got 0"),
        (mapping(1, inner=INNER, many=Sequence(2, [INNER] * 3)),
         "many", "expected at most 2 entries, got 3"),
        (mapping(1, inner=INNER, many=Sequence(2, [Scalar(2, "x")])),
         "many[0]", "expected a mapping of fields, got 'x'"),
        (mapping(1, inner=INNER, maybe=Scalar(1, 5)),
         "maybe", "expected a mapping of fields, got 5"),
        (Scalar(1, None), "", "expected a mapping of fields, got nothing"),
    ],
)  # fmt: skip
def test_problems(node: Node, field: str, message: str) -> None:
    report = Report("")
    assert isinstance(convert(Outer, node, report), Outer)
    with pytest.raises(ConfigError) as caught:
        report.refuse()
    assert [(each.field, each.message) for each in caught.value.problems] == [(field, message)]


def test_what_was_reported_is_not_reported_again() -> None:
    report = Report("")
    node = mapping(1, inner=INNER, maybe=Scalar(1, None, usable=False))
    convert(Outer, node, report)
    report.refuse()
