import pytest

from proxy.model.wording import did_you_mean, has_control, listed, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        (True, "true"),
        (5, "5"),
        (1.5, "1.5"),
        ("ä", "'ä'"),
        ("\ud800", "'\\ud800'"),
        ("\x85", "'\\x85'"),
        ("x" * 100, "'" + "x" * 59 + "…"),
    ],
)
def test_shown(value: object, text: str) -> None:
    assert shown(value) == text


def test_did_you_mean() -> None:
    assert did_you_mean("wieghts", ["salt", "weights"]) == ", did you mean `weights`?"
    assert did_you_mean("zzz", ["salt", "weights"]) == ""
    assert did_you_mean("w" * 61, ["w" * 61]) == ""
    assert did_you_mean("needle", [*map(str, range(100)), "needle"]) == ""


def test_listed() -> None:
    assert listed(["b", "a"]) == "a, b"
    assert listed(map(str, range(11))) == "0, 1, 10, 2, 3, 4, 5, 6, 7, 8, …"


def test_has_control() -> None:
    assert not has_control("a ä\u00a0😀")
    assert all(map(has_control, ["\0", "a\n", "\x7f", "\x9f", "\udfff"]))
