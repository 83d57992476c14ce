"""One request is one line of JSON, whatever a client sends; a slow reader costs lines, not time."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.telemetry.access_log import AccessLog, Entry, format_line, timestamp
from proxy.telemetry.line_writer import CHUNK_BYTES, LINE_BYTES

ENTRY = Entry(
    id="7f3a",
    client="203.0.113.9",
    method="GET",
    host="shop.example",
    path="/cart",
    protocol="HTTP/1.1",
    status=200,
    duration_s=0.0123456,
    request_bytes=0,
    response_bytes=512,
    service="shop",
    version="canary",
    source="header",
    slot=417,
    revision=12,
    endpoint="http://127.0.0.1:9002",
    attempts=1,
    reason="split",
)


def entry(**changes: Any) -> Entry:
    return msgspec.structs.replace(ENTRY, **changes)


def test_a_line_holds_every_field() -> None:
    line = format_line(ENTRY, 1_700_000_000.5)
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.500Z",
        "id": "7f3a",
        "client": "203.0.113.9",
        "method": "GET",
        "host": "shop.example",
        "path": "/cart",
        "protocol": "HTTP/1.1",
        "status": 200,
        "service": "shop",
        "version": "canary",
        "source": "header",
        "slot": 417,
        "revision": 12,
        "endpoint": "http://127.0.0.1:9002",
        "duration_ms": 12.346,
        "request_bytes": 0,
        "response_bytes": 512,
        "attempts": 1,
        "reason": "split",
        "error": "",
    }
    assert line.endswith(b"}\n")


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000.9999, "2023-11-14T22:13:20.999Z"),
        (1_700_000_001.0, "2023-11-14T22:13:21.000Z"),
    ],
)
def test_times_are_utc_with_milliseconds(now: float, text: str) -> None:
    assert timestamp(now) == text


def test_the_query_is_left_out() -> None:
    line = format_line(entry(path="/cart?token=hunter2&x=?y"), 0)
    assert json.loads(line)["path"] == "/cart"
    assert b"hunter2" not in line


HOSTILE = st.text(st.characters(), max_size=3000) | st.binary(max_size=3000).map(
    lambda raw: raw.decode("latin-1")
)


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_nothing_a_client_sends_breaks_the_line(
    id_: str, method: str, host: str, path: str
) -> None:
    line = format_line(entry(id=id_, method=method, host=host, path=path), 0)
    assert line.isascii()
    assert line.endswith(b"\n")
    assert all(0x20 <= byte < 0x7F for byte in line[:-1])
    assert len(line) <= LINE_BYTES
    assert set(json.loads(line)) == {
        *msgspec.structs.asdict(ENTRY).keys() - {"duration_s"},
        "time",
        "duration_ms",
    }


def test_client_text_is_readable_again() -> None:
    hostile = 'a"b\\c\r\n\x00\x1b[2J\x7f\x85é\u2028\udc80'
    assert json.loads(format_line(entry(host=hostile), 0))["host"] == hostile


def test_long_text_is_cut_and_says_so() -> None:
    line = json.loads(format_line(entry(path="/" + "a" * 5000), 0))
    assert line["path"] == "/" + "a" * 1023 + "..."


def test_a_line_of_escapes_is_cut_shorter_still() -> None:
    hostile = "\x00" * 5000
    line = format_line(
        entry(id=hostile, host=hostile, path=hostile, method=hostile, error=hostile), 0
    )
    assert len(line) <= LINE_BYTES
    assert json.loads(line)["path"] == "\x00" * 48 + "..."


def test_lines_wait_for_a_flush(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(str(path))
    log.write(ENTRY, 0)
    log.write(entry(id="second"), 0)
    assert path.read_bytes() == b""
    log.flush()
    log.flush()
    assert log.close()
    ids = [json.loads(line)["id"] for line in path.read_text().splitlines()]
    assert ids == ["7f3a", "second"]
    assert log.dropped == 0


def test_enough_lines_flush_themselves(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(str(path))
    line = format_line(ENTRY, 0)
    for _ in range(CHUNK_BYTES // len(line) + 1):
        log.write(ENTRY, 0)
    assert log._lines == []
    assert log.close()
    assert path.read_bytes() == line * (CHUNK_BYTES // len(line) + 1)


def test_reopening_puts_earlier_lines_into_the_old_file(tmp_path: Path) -> None:
    path, rotated = tmp_path / "access.log", tmp_path / "access.log.1"
    log = AccessLog(str(path))
    log.write(entry(id="old"), 0)
    path.rename(rotated)
    log.reopen()
    log.write(entry(id="new"), 0)
    assert log.close()
    assert json.loads(rotated.read_text())["id"] == "old"
    assert json.loads(path.read_text())["id"] == "new"


def test_a_full_pipe_costs_lines_and_is_never_waited_for() -> None:
    reader, end = os.pipe()
    log = AccessLog("-", stdout_fd=end, limit_bytes=256 * 1024)
    for _ in range(2000):  # more than pipe and limit hold; nobody reads
        log.write(ENTRY, 0)
    dropped = log.dropped
    assert dropped > 0
    expected = (2000 - dropped) * len(format_line(ENTRY, 0))
    log.flush()
    read = bytearray()
    while len(read) < expected:
        read += os.read(reader, 65536)
    assert log.close()
    assert bytes(read) == format_line(ENTRY, 0) * (2000 - dropped)
    os.close(end)
    os.close(reader)


def test_lines_are_taken_again_once_the_reader_is_back() -> None:
    reader, end = os.pipe()
    line_bytes = len(format_line(ENTRY, 0))
    log = AccessLog("-", stdout_fd=end, limit_bytes=line_bytes)
    log.write(ENTRY, 0)
    log.write(ENTRY, 0)
    assert log.dropped == 1
    log.flush()
    assert len(os.read(reader, 65536)) == line_bytes
    assert log.close()  # the thread has seen its last write end
    log.write(ENTRY, 0)
    assert log.dropped == 1
    os.close(end)
    os.close(reader)


def test_standard_output_needs_no_reopening() -> None:
    reader, end = os.pipe()
    log = AccessLog("-", stdout_fd=end)
    log.write(ENTRY, 0)
    log.reopen()
    assert log.close()
    os.close(end)
    assert os.read(reader, 65536) == format_line(ENTRY, 0)
    os.close(reader)


def test_what_the_pipe_refused_counts_as_dropped() -> None:
    reader, end = os.pipe()
    os.close(reader)
    log = AccessLog("-", stdout_fd=end)
    log.write(ENTRY, 0)
    assert log.close()
    assert log.dropped == 1
    os.close(end)
