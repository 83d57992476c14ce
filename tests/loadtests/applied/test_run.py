import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.applied.__main__ import lines_of
from loadtests.applied.run import Change, Figures

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "loadtests.applied"]


@pytest.mark.e2e
def test_changes_are_timed_in_every_worker_of_a_real_proxy(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [*COMMAND, "--workers", "2", "--changes", "4", "--rate", "50", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "4 changes, 2 worker(s)" in done.stdout
    figures = json.loads(file.read_bytes())
    assert (figures["workers"], len(figures["changes"])) == (2, 4)
    assert figures["requests"] > 0
    for change in figures["changes"]:
        assert change["answer_ms"] > 0
        assert 0 <= change["first_ms"] <= change["every_ms"]
        assert change["confirmed_ms"] > 0


def test_the_table_has_the_worst_of_each() -> None:
    changes = tuple(Change(n, n / 10, n / 5, n / 2) for n in range(1, 101))
    lines = list(lines_of(Figures(1, 400, 2.0, changes)))
    assert lines[0] == "100 changes, 1 worker(s), 200 requests/s"
    assert lines[4] == "| the API's answer | 50.0 | 99.0 | 100.0 |"
    assert lines[5].endswith("| 5.0 | 9.9 | 10.0 |")


@pytest.mark.parametrize("option", ["--workers", "--changes", "--rate"])
def test_options_that_make_no_sense(option: str) -> None:
    command = [*COMMAND, option, "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "are 1 or more" in done.stderr
