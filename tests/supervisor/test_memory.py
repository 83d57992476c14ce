"""Buffers that stay: seen in the page faults of a real process."""

import os
import subprocess
import sys

import pytest

from tests.support.road import ROOT

READS = 500
PROGRAM = f"""
import resource, sys
from proxy.supervisor.memory import keep_buffers
kept = keep_buffers() if sys.argv[1] == "keep" else None
block = bytearray(256 * 1024)
bytes(block)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({READS}):
    bytes(block), bytes(block)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def measured(mode: str, **environment: str) -> tuple[str, int]:
    clean = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, mode],
        capture_output=True,
        text=True,
        check=True,
        env={**clean, **environment, "PYTHONPATH": str(ROOT)},
    )
    kept, faults = done.stdout.split()
    return kept, int(faults)


def test_reads_fault_no_pages_in_again() -> None:
    kept, faults = measured("keep")
    if kept == "False":
        pytest.skip("NOT TESTED: the allocator here is not glibc's")
    assert faults < READS, "a buffer has 64 pages"


def test_the_operators_own_setting_is_left_alone() -> None:
    assert measured("keep", MALLOC_ARENA_MAX="1")[0] == "False"


FREEZE = """
import gc
from proxy.supervisor.memory import spare_what_lasts
spare_what_lasts()
print(gc.get_freeze_count() > 1000)
"""


def test_what_lasts_is_spared() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FREEZE],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == "True\n"
