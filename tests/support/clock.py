"""A wall clock that is set while real processes run by it: Debian's libfaketime under each of them.

Monotonic clocks go on untouched, as they do when an operator or NTP sets the time of a machine.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

LIBRARIES = "*/faketime/libfaketime.so.1"


class Clock:
    """The wall clock of every process that is started after it was made."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        found = sorted(Path("/usr/lib").glob(LIBRARIES))
        if not found:
            pytest.skip("THE CLOCK IS NOT SET HERE: no libfaketime (a Debian package)")
        self._file = folder / "clock"
        self.offset_s = 0
        self.set(0)
        # Sanitizers and the like may be preloaded already; ours comes last.
        preloaded = os.environ.get("LD_PRELOAD", "")
        monkeypatch.setenv("LD_PRELOAD", f"{preloaded} {found[0]}".strip())
        monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(self._file))
        monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
        monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        monkeypatch.setenv("DONT_FAKE_MONOTONIC", "1")

    def set(self, offset_s: int) -> None:
        """From now on it is so much ahead of the machine's own."""
        new = self._file.with_name("clock.new")
        new.write_text(f"{offset_s:+d}\n")
        new.replace(self._file)
        self.offset_s = offset_s

    def shows(self, at: str) -> bool:
        """Whether a time that a process has just told is that of this clock."""
        told = datetime.fromisoformat(at)
        ours = datetime.now(UTC) + timedelta(seconds=self.offset_s)
        return abs(told - ours) < timedelta(minutes=5)
