"""Owns the form of the log: lines for people or JSON for machines, each with its request's id.

Never decides what is logged, and never sees a body, a header or a query. What others chose stays
on one line: a line break in it is written as an escape.
"""

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request that is being served; empty outside of one."""
FIELDS = "fields"
"""The name in ``extra`` of what a line tells beside its message, as a mapping."""

_ESCAPES = {number: f"\\x{number:02x}" for number in (*range(32), 127)} | {ord("\n"): "\\n"}


class TextFormatter(logging.Formatter):
    """``2026-01-02 03:04:05,678 INFO message key=value … [request id]``, then a traceback."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 the name is logging's
        """One line, whatever others put into it."""
        told = [f"{key}={value}" for key, value in _fields(record).items()]
        ident = REQUEST_ID.get()
        parts = [super().formatMessage(record), *told, *([f"[{ident}]"] if ident else ())]
        return " ".join(parts).translate(_ESCAPES)


class JsonFormatter(logging.Formatter):
    """One object a line: ``at`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, …"""

    def format(self, record: logging.LogRecord) -> str:
        """As JSON; an exception's traceback is in ``traceback``."""
        at = datetime.fromtimestamp(record.created, UTC)
        told: dict[str, Any] = {
            "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if ident := REQUEST_ID.get():
            told["request_id"] = ident
        told |= _fields(record)
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str)


FORMATTERS: dict[str, type[logging.Formatter]] = {"text": TextFormatter, "json": JsonFormatter}


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    found = getattr(record, FIELDS, None)
    return found if isinstance(found, dict) else {}
