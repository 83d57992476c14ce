"""Owns naming what the figures belong to: the machine, the versions, the date. Never measures."""

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

_MODEL = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Machine:
    """What a figure means nothing without."""

    cpu: str
    cores: int
    kernel: str
    python: str
    uvloop: str
    commit: str
    date: str


def this_machine(root: Path) -> Machine:
    """The machine that this runs on, now."""
    return Machine(
        cpu=cpu_model(Path("/proc/cpuinfo").read_text()),
        cores=os.cpu_count() or 1,
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        uvloop=version("uvloop"),
        commit=commit_of(root),
        date=datetime.now(UTC).date().isoformat(),
    )


def cpu_model(cpuinfo: str) -> str:
    """The processor's name in /proc/cpuinfo; not every architecture tells it."""
    match = _MODEL.search(cpuinfo)
    return match[1].strip() if match else platform.machine()


def commit_of(root: Path) -> str:
    """The commit that is checked out, with a + when files differ from it; empty when unknown."""
    git = shutil.which("git")
    if git is None:
        return ""
    ask = [git, "-C", str(root), "describe", "--always", "--exclude=*", "--dirty=+"]
    done = subprocess.run(ask, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
