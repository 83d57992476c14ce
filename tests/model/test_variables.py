import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.model.variables import REFERENCE, expand

ENV = {"A": "1", "LONG_NAME2": "x y", "EMPTY": "", "NESTED": "${A}"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ""),
        ("plain $A $ {A} }", "plain $A $ {A} }"),
        ("${A}", "1"),
        ("-${A}-${LONG_NAME2}-", "-1-x y-"),
        ("${NONE:-d}", "d"),
        ("${NONE:-}", ""),
        ("${NONE:-a:-b $}", "a:-b $"),
        ("${A:-d}", "1"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY}", ""),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("$${", "${"),
        ("${NESTED}", "${A}"),
    ],
)
def test_expand(text: str, value: str) -> None:
    assert expand(text, ENV) == value


@pytest.mark.parametrize(
    "text", ["${", "${}", "${A", "${1}", "${A-b}", "${A:b}", "${ A }", "${A:-${B}}", "${Ä}"]
)
def test_malformed(text: str) -> None:
    with pytest.raises(ValueError, match=r"^`\$\{` must open `\$\{NAME\}` or"):
        expand(text, ENV)


def test_unset() -> None:
    with pytest.raises(ValueError, match=r"^\$\{NONE\} is not set in the environment"):
        expand("a ${NONE}", ENV)


@given(st.text(alphabet="${}:-AB_1"))
def test_the_pattern_is_what_expands(text: str) -> None:
    if re.fullmatch(REFERENCE, text):
        expand(text, {"A": "", "B": ""} | dict.fromkeys(re.findall(r"[A-Z_0-9]+", text), ""))
