import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.fleet.people import FleetFailed
from loadtests.fleet.run import quantiles

ROOT = Path(__file__).parents[3]


@pytest.mark.e2e
def test_a_small_fleet_on_a_real_control_plane(tmp_path: Path) -> None:
    """Two processes of proxies, changes, a restart: all are told, all confirm, all come back."""
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "loadtests.fleet", "--proxies", "50", "--processes", "2"]
    command += ["--changes", "2", "--pause", "0", "--idle", "0.1", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "50 proxies, 1 services" in done.stdout
    assert "| restart: connected again |" in done.stdout
    figures = json.loads(file.read_bytes())
    assert figures["proxies"] == 50
    for change in figures["changes"]:
        assert change["confirmed_s"] == sorted(change["confirmed_s"])
        assert 0 < change["told_s"][0] <= change["told_s"][-1] <= change["confirmed_s"][-1]
    restart = figures["restart"]
    assert restart["failures"]["goodbye"] == 50
    assert restart["tries"] >= 50
    assert restart["stopped_s"] < restart["back_s"][-1]


def test_a_quantile_is_a_value_that_was_measured() -> None:
    assert quantiles([1.0, 2.0, 3.0, 4.0]) == (2.0, 4.0, 4.0)
    with pytest.raises(FleetFailed):
        quantiles([])
