import io
import json
import logging

import pytest

from controlplane.logs import FIELDS, REQUEST_ID, JsonFormatter, TextFormatter


def line_of(formatter: logging.Formatter, message: str, **fields: object) -> str:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    record = logging.LogRecord("splitway.x", logging.INFO, "f.py", 1, message, (), None)
    if fields:
        setattr(record, FIELDS, fields)
    handler.emit(record)
    return out.getvalue()


def test_text_has_the_fields_and_the_requests_id() -> None:
    token = REQUEST_ID.set("r-1")
    try:
        line = line_of(TextFormatter(), "request", method="GET", status=200)
    finally:
        REQUEST_ID.reset(token)
    assert line.endswith(" INFO request method=GET status=200 [r-1]\n")
    assert "[" not in line_of(TextFormatter(), "no request")


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_what_others_chose_stays_on_one_line(formatter: logging.Formatter) -> None:
    line = line_of(formatter, "said a\nb", path="/x\r\n2026 INFO forged\x1b[2J")
    assert line.count("\n") == 1
    assert "\x1b" not in line
    assert "\r" not in line


def test_json_is_one_object_with_utc_time_and_traceback() -> None:
    error = ValueError("bad")
    record = logging.LogRecord(
        "splitway.y", logging.ERROR, "f.py", 1, "it %s", ("failed",), (ValueError, error, None)
    )
    record.created = 1_767_323_045.678
    told = json.loads(JsonFormatter().format(record))
    assert told["at"] == "2026-01-02T03:04:05.678Z"
    assert (told["level"], told["logger"], told["message"]) == ("error", "splitway.y", "it failed")
    assert told["traceback"].endswith("ValueError: bad")
    assert "request_id" not in told


def test_json_has_the_fields_as_they_are() -> None:
    told = json.loads(line_of(JsonFormatter(), "request", status=200, ms=1.5))
    assert (told["status"], told["ms"]) == (200, 1.5)
