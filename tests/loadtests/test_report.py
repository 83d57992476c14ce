from pathlib import Path

import pytest

from loadtests.analysis import Findings
from loadtests.journal import Change, Record, Request, Start, encode
from loadtests.population import user_id
from loadtests.report import figures_of, findings_of, lines_of, main
from loadtests.tables import slot_of, tables_of

STEPS = [{"stable": 99, "canary": 1}, {"stable": 50, "canary": 50}]
USERS = 40


def journal(path: Path, *extra: Record) -> Path:
    """Everyone asks once in each step and gets what the proxy's core says; then ``extra``."""
    slot, tables = slot_of("shop"), tables_of(STEPS)
    records: list[Record] = [
        Start(at_us=0, service="shop", users=USERS, series="u", weights=STEPS[0]),
        Change(step=1, weights=STEPS[1], asked_us=100_000, answered_us=102_000, settled_us=105_000),
    ]
    for step in range(2):
        for number in range(USERS):
            user = user_id("u", number)
            at_us = step * 200_000 + number * 1000
            version = tables[step][slot(user)]
            records.append(Request(user, step, version, 200, at_us, at_us + 900, f"{step}-{user}"))
    path.write_bytes(b"".join(map(encode, [*records, *extra])))
    return path


def test_a_good_run_is_said_line_by_line(tmp_path: Path) -> None:
    lines = lines_of(findings_of(journal(tmp_path / "journal")), tolerance=0.2)
    text = "\n".join(lines)
    assert lines[0].startswith("requests   sent 80, failed 0 (")
    assert "users      40 seen of 40" in lines
    assert "0 without need" in text
    assert "stable=50,canary=50: 40 users, in force within 3 ms of the API's answer" in text
    assert "canary: asked 50.00%, these users' own by slot" in text
    assert lines[-1] == "verdict    good"


def test_what_is_wrong_is_said_and_the_verdict_is_last(tmp_path: Path) -> None:
    user = user_id("u", 0)
    failed = Request(user, 1, "", 0, 400_000, 400_100, "x", "no response: ConnectionRefused")
    flip = [
        Request(user, 1, version, 200, at, at + 1, "y")
        for version, at in (("stable", 500_000), ("canary", 500_100))
    ]
    lines = lines_of(findings_of(journal(tmp_path / "journal", failed, *flip)))
    assert "           1 × no response: ConnectionRefused" in lines
    assert "FAULT      1 of 83 requests failed" in lines
    assert any(f"1 users ({user}) changed version without need" in line for line in lines)
    assert lines[-1] == "verdict    not good"


def test_figures_come_without_a_verdict(tmp_path: Path) -> None:
    findings = findings_of(journal(tmp_path / "journal"))
    assert figures_of(findings) == lines_of(findings, tolerance=0.2)[:-1]


def test_misplaced_users_are_said() -> None:
    assert "misplaced  1 users" in lines_of(Findings(sent=1, misplaced=("u",)))


def test_a_journal_that_is_not_there_yet_proves_nothing(tmp_path: Path) -> None:
    assert findings_of(tmp_path / "none") == Findings()


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (None, 2, "no such file"),
        (b"GET / HTTP/1.1\n", 2, "not a journal line"),
        (b"", 1, "no request was sent"),
    ],
)
def test_the_command_says_what_it_found(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
    code: int,
    said: str,
) -> None:
    path = tmp_path / "journal"
    if content is not None:
        path.write_bytes(content)
    assert main([str(path)]) == code
    captured = capsys.readouterr()
    assert said in captured.out + captured.err


def test_the_command_succeeds_on_a_good_run(tmp_path: Path) -> None:
    start = Start(at_us=0, service="shop", users=0, series="big")
    path = tmp_path / "journal"
    path.write_bytes(encode(start) + encode(Request("u", 0, "a", 200, 1, 2, "x")))
    assert main([str(path)]) == 0
