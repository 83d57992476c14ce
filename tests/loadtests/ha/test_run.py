import os
import subprocess
import sys

import pytest

from loadtests.ha.__main__ import NO_SERVER
from tests.controlplane.support import ROOT


@pytest.mark.e2e
def test_the_demo_shows_that_a_killed_control_plane_is_not_felt() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.ha"],
        cwd=ROOT,
        env=os.environ | {"DEMO_SECONDS": "6"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    if done.returncode == NO_SERVER:
        pytest.skip(f"NOTHING OF POSTGRESQL IS TESTED HERE: {done.stderr}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kill -9 of the first control plane" in done.stdout
    assert " 0 failed" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("seconds", ["x", "1", "nan"])
def test_seconds_that_make_no_sense(seconds: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.ha"],
        cwd=ROOT,
        env=os.environ | {"DEMO_SECONDS": seconds},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
