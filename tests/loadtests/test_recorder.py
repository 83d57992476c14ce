import time
from pathlib import Path

from loadtests.journal import Start, decode_all
from loadtests.recorder import Recorder, now_us

START = Start(at_us=1, service="shop", users=1, series="u")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "made" / "journal.jsonl"
    recorder = Recorder(path)
    for _ in range(1000):
        recorder.write(START)
    recorder.flush()
    assert list(decode_all(path.read_bytes())) == [START] * 1000
    recorder.write(START)
    recorder.close()
    recorder.close()
    assert len(list(decode_all(path.read_bytes()))) == 1001


def test_a_new_journal_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text("old\n")
    Recorder(path).close()
    assert path.read_bytes() == b""


def test_the_clock_is_the_machines_monotonic_one() -> None:
    before = time.monotonic()
    assert before <= now_us() / 1e6 + 1e-6
    assert now_us() / 1e6 <= time.monotonic()
