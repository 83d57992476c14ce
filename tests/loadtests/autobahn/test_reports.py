"""The comparison of two agents in an Autobahn index."""

import pytest

from loadtests.autobahn.__main__ import judge
from loadtests.autobahn.reports import Difference, case_order, compare, tally


def case(behavior: str = "OK", close: str = "OK") -> dict[str, object]:
    return {"behavior": behavior, "behaviorClose": close, "duration": 3, "remoteCloseCode": 1000}


def test_alike() -> None:
    cases = {"1.1.1": case(), "6.4.1": case("NON-STRICT"), "7.1.6": case("FAILED", "UNCLEAN")}
    assert compare({"direct": cases, "proxied": dict(cases)}, "direct", "proxied") == []


@pytest.mark.parametrize(
    ("before", "after", "worse"),
    [
        ("OK", "FAILED", True),
        ("OK", "NON-STRICT", True),
        ("OK", "UNIMPLEMENTED", True),
        ("OK", "something new", True),
        ("NON-STRICT", "UNIMPLEMENTED", True),
        ("UNIMPLEMENTED", "FAILED BY CLIENT", True),
        ("INFORMATIONAL", "UNCLEAN", True),
        ("NON-STRICT", "OK", False),
        ("FAILED", "OK", False),
        ("FAILED", "UNCLEAN", False),
        ("WRONG CODE", "FAILED", False),
        ("OK", "INFORMATIONAL", False),
    ],
)
def test_what_is_worse(before: str, after: str, worse: bool) -> None:
    index = {"direct": {"1.1.1": case(before)}, "proxied": {"1.1.1": case(after)}}
    assert compare(index, "direct", "proxied") == [Difference("1.1.1", "behavior", before, after)]
    assert compare(index, "direct", "proxied")[0].is_worse is worse
    closes = {"direct": {"1.1.1": case("OK", before)}, "proxied": {"1.1.1": case("OK", after)}}
    assert compare(closes, "direct", "proxied") == [
        Difference("1.1.1", "behaviorClose", before, after)
    ]


def test_a_case_that_was_not_run_is_worse() -> None:
    index = {"direct": {"2.1": case()}, "proxied": {}}
    assert [str(difference) for difference in compare(index, "direct", "proxied")] == [
        "case 2.1: behavior OK -> MISSING",
        "case 2.1: behaviorClose OK -> MISSING",
    ]
    assert all(difference.is_worse for difference in compare(index, "direct", "proxied"))
    assert len(compare({"direct": {"2.1": case()}}, "direct", "proxied")) == 2


def test_the_order_is_that_of_the_cases() -> None:
    bad = {"10.1.1": case("FAILED"), "9.1.2": case("FAILED"), "9.1.10": case("FAILED")}
    index = {"direct": dict.fromkeys(bad, case()), "proxied": bad}
    found = [difference.case for difference in compare(index, "direct", "proxied")]
    assert found == ["9.1.2", "9.1.10", "10.1.1"]
    assert case_order("7.13.2") == (7, 13, 2)


def test_the_tally() -> None:
    cases = {"1.1.1": case("NON-STRICT"), "1.1.2": case(), "1.1.3": case()}
    assert list(tally({"direct": cases}, "direct").items()) == [("OK", 2), ("NON-STRICT", 1)]
    assert tally({}, "direct") == {}


@pytest.mark.parametrize(
    ("proxied", "code", "last"),
    [
        ({"1.1.1": case(), "1.1.2": case()}, 0, "2 cases, 0 worse through the proxy"),
        ({"1.1.1": case(), "1.1.2": case("FAILED", "UNCLEAN")}, 1, "2 cases, 1 worse through the"),
        ({}, 1, "2 cases, 2 worse through the proxy"),
    ],
)
def test_the_verdict(
    proxied: dict[str, dict[str, object]], code: int, last: str, capsys: pytest.CaptureFixture[str]
) -> None:
    index = {"direct": {"1.1.1": case(), "1.1.2": case("NON-STRICT")}, "proxied": proxied}
    assert judge(index) == code
    assert capsys.readouterr().out.splitlines()[-1].startswith(last)


def test_no_case_is_no_result() -> None:
    assert judge({}) == 2
