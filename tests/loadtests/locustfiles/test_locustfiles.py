"""The Locust files, each in a process of its own: gevent's patches must not reach pytest's."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from loadtests.analysis import Findings
from loadtests.demo.children import Children
from loadtests.report import findings_of

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.e2e


def environment(given: Mapping[str, str]) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LOCUST_", "LOAD_"))}
    return {**kept, **given}


def locust(name: str, *arguments: str) -> list[str]:
    file = f"loadtests/locustfiles/{name}.py"
    return [sys.executable, "-m", "locust", "-f", file, "--headless", *arguments]


@dataclass
class Ran:
    code: int
    log: str
    findings: Findings
    folder: Path


def load(folder: Path, name: str, lanes: int, sample: tuple[str, ...], **given: str) -> Ran:
    """Runs a Locust file for a moment against a real sample."""
    journal = folder / "journal.jsonl"

    async def run() -> tuple[int, str]:
        async with Children(folder, ROOT) as children:
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            command = [sys.executable, "-m", "loadtests.sample", "--version=stable"]
            served = await children.start("sample", [*command, f"--port={port}", *sample])
            while "http://" not in served.tail():
                assert served.process.returncode is None, served.tail()
                await asyncio.sleep(0.02)
            arguments = ["--host", f"http://127.0.0.1:{port}", "-t", "2s", "--stop-timeout", "10"]
            arguments += ["-u", str(lanes), "-r", str(lanes), "--csv", str(folder / "csv")]
            command = locust(name, *arguments)
            known = environment({"LOAD_JOURNAL": str(journal), **given})
            child = await children.start("locust", command, known, lasting=False)
            code = await child.process.wait()
        assert served.process.returncode == 0
        return code, child.tail(100)

    code, log = asyncio.run(run())
    return Ran(code, log, findings_of(journal), folder)


def test_gevents_patches_have_not_reached_pytest() -> None:
    # Locust brings a pytest plugin along; importing Locust itself would patch this process.
    assert not {"gevent", "locust"} & set(sys.modules)


def test_a_steady_population_is_seen_evenly(tmp_path: Path) -> None:
    ran = load(tmp_path, "steady", 4, (), LOAD_USERS="40", LOAD_RATE="200", LOAD_WEIGHTS="stable=1")
    assert ran.code == 0, ran.log
    assert ran.findings.faults(0.0) == []
    assert (ran.findings.users, ran.findings.changed) == (40, 0)
    assert ran.findings.steps[0].own == {"stable": 1.0}
    assert "/api/items" in (tmp_path / "csv_stats.csv").read_text()


def test_errors_are_in_the_journal_and_fail_the_run(tmp_path: Path) -> None:
    given = {"LOAD_USERS": "4", "LOAD_RATE": "100"}
    ran = load(tmp_path, "steady", 2, ("--error-rate=1",), **given)
    assert ran.code == 1
    assert ran.findings.sent == ran.findings.failed > 0
    assert ran.findings.failures[0][0] == "status 500"


def test_big_bodies_go_both_ways_and_are_compared(tmp_path: Path) -> None:
    ran = load(tmp_path, "big_bodies", 2, (), LOAD_BODY_BYTES="300001")
    assert ran.code == 0, ran.log
    assert ran.findings.faults(0.0) == []
    assert ran.findings.users == 2
    stats = (tmp_path / "csv_stats.csv").read_text()
    for name in ("upload", "upload chunked", "download", "download chunked"):
        assert f",{name}," in stats


@pytest.mark.parametrize(
    ("name", "given", "arguments", "said"),
    [
        ("steady", {"LOAD_USERS": "none"}, (), "LOAD_USERS: 'none' is not a number"),
        ("steady", {"LOAD_WEIGHTS": "99/1"}, (), "LOAD_WEIGHTS: weights '99/1'"),
        ("steady", {"LOAD_USERS": "3"}, ("-u", "4"), "LOAD_USERS: 3 users cannot fill 4 lanes"),
        ("weight_change", {}, (), "LOAD_CONTROL_TOKEN_FILE: must be set"),
        (
            "weight_change",
            {"LOAD_CONTROL_TOKEN_FILE": "/nowhere"},
            (),
            "LOAD_CONTROL_TOKEN_FILE: /nowhere is not a file",
        ),
        ("big_bodies", {"LOAD_BODY_BYTES": "-1"}, (), "LOAD_BODY_BYTES: -1 is out of range"),
    ],
)
def test_wrong_settings_end_the_run_with_the_name_of_the_variable(
    tmp_path: Path, name: str, given: dict[str, str], arguments: tuple[str, ...], said: str
) -> None:
    known = environment({"LOAD_JOURNAL": str(tmp_path / "journal"), **given})
    command = locust(name, "-t", "2s", "--host", "http://127.0.0.1:1", *arguments)
    ended = subprocess.run(
        command, cwd=ROOT, env=known, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode != 0
    assert said in ended.stdout + ended.stderr


def test_a_control_plane_that_is_away_ends_the_run_before_it_starts(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    known = environment(
        {
            "LOAD_JOURNAL": str(tmp_path / "journal"),
            "LOAD_CONTROL_URL": "http://127.0.0.1:1",
            "LOAD_CONTROL_TOKEN_FILE": str(tmp_path / "token"),
        }
    )
    ended = subprocess.run(
        locust("weight_change", "-t", "5s", "--host", "http://127.0.0.1:1"),
        cwd=ROOT,
        env=known,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert "the first weights could not be set: PUT /v1/services/shop/weights" in ended.stdout
    found = findings_of(tmp_path / "journal")
    assert len(found.change_errors) == 1
    assert found.sent == 0
