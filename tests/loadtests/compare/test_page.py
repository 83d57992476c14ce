from pathlib import Path

import pytest

from loadtests.compare.machine import Machine, commit_of, cpu_model, this_machine
from loadtests.compare.options import parse_options
from loadtests.compare.page import BEGIN, END, NoMarks, body, placed, write_page
from loadtests.compare.table import Table

ROOT = Path(__file__).parents[3]
MACHINE = Machine("A CPU", 2, "Linux 6.1", "3.11.7", "0.21.0", "abc1234+", "2026-01-02")


def test_the_body_names_machine_versions_and_date() -> None:
    table = Table("keepalive", "Small GET.", "| a |\n")
    text = body(MACHINE, {"Splitway": "0.1.0", "nginx": "1.22.1"}, parse_options([]), [table])
    for fact in ("2026-01-02", "A CPU", "2 CPUs", "Linux 6.1", "Splitway 0.1.0", "nginx 1.22.1",
                 "Python 3.11.7", "uvloop 0.21.0", "abc1234+", "Rounds: 3"):  # fmt: skip
        assert fact in text
    assert "### keepalive\n\nSmall GET.\n\n| a |\n" in text


def test_what_is_written_by_hand_stays() -> None:
    page = f"# Title\n\nby hand\n\n{BEGIN}\nold\n{END}\n\n## After\n"
    once = placed(page, "new\n")
    assert once == f"# Title\n\nby hand\n\n{BEGIN}\n\nnew\n\n{END}\n\n## After\n"
    assert placed(once, "new\n") == once


@pytest.mark.parametrize("page", ["", BEGIN, END, f"{END}\n{BEGIN}"])
def test_a_page_without_both_marks_is_refused(page: str) -> None:
    with pytest.raises(NoMarks):
        placed(page, "new")


def test_a_page_is_begun_where_there_is_none(tmp_path: Path) -> None:
    file = tmp_path / "benchmarks.md"
    write_page(file, "first\n")
    write_page(file, "second\n")
    assert file.read_text() == f"# Benchmarks\n\n{BEGIN}\n\nsecond\n\n{END}\n"


def test_the_project_s_own_page_can_be_written() -> None:
    assert "figures\n" in placed((ROOT / "docs" / "benchmarks.md").read_text(), "figures\n")


def test_the_processor_s_name() -> None:
    assert cpu_model("processor\t: 0\nmodel name\t: A CPU 3000\n\nprocessor\t: 1\n") == "A CPU 3000"
    assert cpu_model("") != ""


def test_this_machine_says_what_it_is(tmp_path: Path) -> None:
    machine = this_machine(tmp_path)
    assert machine.cores > 0
    assert machine.kernel.startswith("Linux ")
    assert machine.commit == ""
    assert commit_of(tmp_path / "nowhere") == ""
