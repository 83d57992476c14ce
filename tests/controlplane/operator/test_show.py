import pytest

from controlplane.operator.show import percent, show_revisions, time


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0 %"), (1.0, "100 %"), (0.05, "5 %"), (0.3334, "33.34 %"), (0.0001, "0.01 %")],
)
def test_shares_are_said_as_exactly_as_they_are(share: float, text: str) -> None:
    assert percent(share) == text


def test_times_are_said_to_the_second() -> None:
    assert time("2026-01-02T03:04:05.678Z") == "2026-01-02 03:04:05Z"


def test_nothing_that_was_typed_by_others_steers_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reason = "\x1b]0;title\x07[red]bold[/red]\r\nnext"
    note = {"revision": 1, "at": "2026-01-02T03:04:05Z", "author": "admin", "reason": reason}
    show_revisions({"revisions": [note]})
    shown = capsys.readouterr().out
    assert "·]0;title·[red]bold[/red]··next" in shown
