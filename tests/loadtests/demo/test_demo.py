"""The demo as a user runs it: every real process, real load."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.e2e


@contextmanager
def demo(folder: Path, seconds: str) -> Iterator["subprocess.Popen[str]"]:
    environment = {**os.environ, "DEMO_SECONDS": seconds, "DEMO_FOLDER": str(folder)}
    with subprocess.Popen(
        [sys.executable, "-m", "loadtests.demo"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


def read_until(process: "subprocess.Popen[str]", what: str) -> str:
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if what in line:
            return said
    raise AssertionError(f"{what!r} was never said:\n{said}")


def children_of(process: "subprocess.Popen[str]") -> dict[str, int]:
    """Command line → id of each process that the demo started."""
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return {Path(f"/proc/{pid}/cmdline").read_text(): int(pid) for pid in text.split()}


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_the_whole_demo_is_good(tmp_path: Path) -> None:
    with demo(tmp_path, "9") as process:
        said, _ = process.communicate(timeout=100)
    assert process.returncode == 0, said
    assert ", failed 0 (" in said
    assert ", 0 without need" in said
    assert said.count("canary: asked") == 3
    assert "verdict    good" in said
    assert "Traceback" not in said
    (run,) = tmp_path.iterdir()
    assert (run / "locust_stats.csv").is_file()
    for log in run.glob("*.log"):
        assert "Traceback" not in log.read_text(), log


def test_ctrl_c_ends_everything_and_shows_what_there_is(tmp_path: Path) -> None:
    with demo(tmp_path, "60") as process:
        read_until(process, "req/s")
        started = children_of(process)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "interrupted" in said
    assert "From the clients' own journal" in said
    assert "Traceback" not in said
    assert len(started) == 5
    assert not any(is_alive(pid) for pid in started.values())


def test_a_process_that_dies_is_reported_and_fails_the_demo(tmp_path: Path) -> None:
    with demo(tmp_path, "60") as process:
        read_until(process, "load:")
        started = children_of(process)
        victim = next(pid for command, pid in started.items() if "--version=canary" in command)
        os.kill(victim, signal.SIGKILL)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert f"FAULT      canary (pid {victim}) ended by SIGKILL" in said
    assert "sample canary on http://" in said
    assert not any(is_alive(pid) for pid in started.values())


def test_a_senseless_duration_is_refused(tmp_path: Path) -> None:
    with demo(tmp_path, "soon") as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert said == "DEMO_SECONDS: 'soon' must be a number of seconds, at least 6\n"
