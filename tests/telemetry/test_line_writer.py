"""Lines reach files and pipes whole; a reader that hangs blocks nobody but the thread."""

import errno
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.telemetry.line_writer import LINE_BYTES, LineWriter, pieces


@given(st.lists(st.integers(1, 50)), st.integers(1, 100))
def test_pieces_hold_whole_lines_up_to_the_limit(sizes: list[int], limit_bytes: int) -> None:
    lines = [b"x" * (size - 1) + b"\n" for size in sizes]
    joined = list(pieces(lines, limit_bytes))
    assert b"".join(joined) == b"".join(lines)
    assert all(piece.endswith(b"\n") for piece in joined)
    assert all(len(piece) <= limit_bytes or piece.count(b"\n") == 1 for piece in joined)


def test_lines_are_appended_to_what_the_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(b"before\n")
    writer = LineWriter(str(path), 1)
    writer.put([b"one\n", b"two\n"])
    assert writer.stop(10)
    assert path.read_bytes() == b"before\none\ntwo\n"
    assert writer.done_bytes == 8


def test_a_file_that_cannot_be_opened_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LineWriter(str(tmp_path / "missing" / "access.log"), 1)


def test_a_fifo_without_a_reader_is_an_error_and_no_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="No such device") as caught:
        LineWriter(str(tmp_path / "fifo"), 1)
    assert caught.value.errno == errno.ENXIO


def test_reopening_follows_a_rotation(tmp_path: Path) -> None:
    path, rotated = tmp_path / "access.log", tmp_path / "access.log.1"
    writer = LineWriter(str(path), 1)
    writer.put([b"old\n"])
    path.rename(rotated)
    writer.put([b"old too\n"])
    writer.reopen()
    writer.put([b"new\n"])
    assert writer.stop(10)
    assert rotated.read_bytes() == b"old\nold too\n"
    assert path.read_bytes() == b"new\n"


def test_reopening_in_vain_keeps_the_old_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    writer = LineWriter(str(folder / "access.log"), 1)
    folder.rename(tmp_path / "moved")
    writer.reopen()
    writer.put([b"kept\n"])
    assert writer.stop(10)
    assert (tmp_path / "moved" / "access.log").read_bytes() == b"kept\n"
    assert "cannot be reopened, the old file stays in use: No such file" in caplog.text


def test_lines_of_two_writers_never_interleave_in_a_pipe() -> None:
    reader, end = os.pipe()
    writers = [LineWriter("", end) for _ in range(2)]
    lines = {letter: letter * 1500 + b"\n" for letter in (b"a", b"b")}
    read = bytearray()

    def drain() -> None:
        while piece := os.read(reader, 65536):
            read.extend(piece)

    draining = threading.Thread(target=drain)
    draining.start()
    for _ in range(50):
        for writer, line in zip(writers, lines.values(), strict=True):
            writer.put([line] * 5)
    assert all(writer.stop(10) for writer in writers)
    os.close(end)
    draining.join(10)
    os.close(reader)
    got = bytes(read).splitlines(keepends=True)
    assert sorted(got) == sorted([*lines.values()] * 250)


def fill(end: int) -> int:
    """Fills a non-blocking pipe; how many bytes it took."""
    filled = 0
    while True:
        try:
            filled += os.write(end, b"x" * LINE_BYTES)
        except BlockingIOError:
            return filled


def test_a_pipe_that_somebody_made_non_blocking_is_waited_for() -> None:
    reader, end = os.pipe()
    os.set_blocking(end, False)
    filled = fill(end)
    writer = LineWriter("", end)
    writer.put([b"line\n"])
    assert not writer.stop(0.05)  # it waits, and has not given the line up
    assert writer.done_bytes == writer.lost_lines == 0
    while filled:
        filled -= len(os.read(reader, filled))
    assert os.read(reader, 5) == b"line\n"
    writer._thread.join(10)
    assert writer.done_bytes == 5
    assert writer.lost_lines == 0
    os.close(end)
    os.close(reader)


def test_a_reader_that_hangs_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    reader, end = os.pipe()
    writer = LineWriter("", end)
    writer.put([b"x" * 4095 + b"\n"] * 64)
    assert not writer.stop(0.01)
    assert "the reader hangs" in caplog.text
    os.close(reader)  # the thread's write fails, and it ends
    writer._thread.join(10)
    assert not writer._thread.is_alive()
    os.close(end)


def test_lines_that_a_closed_pipe_refuses_are_counted_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reader, end = os.pipe()
    os.close(reader)
    writer = LineWriter("", end)
    for _ in range(3):
        writer.put([b"lost\n", b"lost\n"])
    assert writer.stop(10)
    assert writer.lost_lines == 6
    assert writer.done_bytes == 30
    assert [record.message for record in caplog.records] == [
        "access log -: Broken pipe; lines are dropped until it works again"
    ]
    os.close(end)


def test_a_line_torn_by_a_full_disk_does_not_spoil_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A real full disk needs a mount of its own: os.write is the only thing replaced here.
    caplog.set_level(logging.INFO)
    really = os.write
    answers: Iterator[int | OSError] = iter([5, OSError(errno.ENOSPC, "No space left on device")])

    def full(fd: int, data: bytes) -> int:
        answer = next(answers, len(data))
        if isinstance(answer, OSError):
            raise answer
        return really(fd, data[:answer])

    monkeypatch.setattr(os, "write", full)
    path = tmp_path / "access.log"
    writer = LineWriter(str(path), 1)
    writer.put([b"1\n", b"torn line\n"])
    writer.put([b"next\n"])
    assert writer.stop(10)
    assert path.read_bytes() == b"1\ntor\nnext\n"
    assert writer.lost_lines == 1
    assert "No space left" in caplog.records[0].message
    assert caplog.records[1].message.endswith("works again")
