"""Every message survives both of its encodings; what is out of bounds is refused."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from proxy.model import wire
from proxy.model.config import traffic_of
from proxy.model.errors import Problem
from proxy.model.parse import parse_config
from tests.support.configs import FULL

CONFIG = parse_config(FULL)
TABLE = wire.SplitTable(("canary", "stable"), (0, 500, 1, 9_500))
SNAPSHOT = wire.Snapshot(7, traffic_of(CONFIG), {"shop": TABLE}, store="a1b2")
COUNTS = wire.VersionCounts("shop", "canary", {"GET 200": 3}, {4: 3}, 0.25, {"success": 3})
ROW = wire.ReportRow("shop", "canary", "", 3, 1, {0: 1, 321: 2}, 0.05)
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MESSAGES = [
    (wire.ToControl, wire.Hello("proxy-1", "0.1.0", "a1b2", 6)),
    (wire.ToControl, wire.Ack(7)),
    (wire.ToControl, wire.Nack(7, (Problem("services.shop", "wrong", "f.yaml", 3),))),
    (wire.ToControl, wire.Report("0123456789abcdef", 1, "a1b2", 7, START, 10.0, 0.1, (ROW,))),
    (wire.FromControl, SNAPSHOT),
    (wire.FromControl, wire.Reporting(10.0)),
    (wire.FromControl, wire.ReportAck(1, "too old", 3)),
    (wire.ToWorker, wire.Install(CONFIG, SNAPSHOT)),
    (wire.ToWorker, wire.Pull()),
    (wire.ToWorker, wire.Reopen()),
    (wire.ToWorker, wire.Leave(30.0)),
    (wire.FromWorker, wire.Left(wire.Counts(versions=()), clean=True)),
    (wire.FromWorker, wire.Counts((COUNTS,), connections=2)),
]


@pytest.mark.parametrize(("kind", "message"), MESSAGES)
def test_both_encodings(kind: Any, message: Any) -> None:
    assert msgspec.json.decode(msgspec.json.encode(message), type=kind) == message
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=kind) == message


def test_a_message_for_someone_else_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="Invalid value 'pull'"):
        msgspec.json.decode(msgspec.json.encode(wire.Pull()), type=wire.ToControl)


def test_limits() -> None:
    with pytest.raises(msgspec.ValidationError, match="<= 10000"):
        msgspec.convert({"versions": ["a"], "runs": [0, 10_001]}, wire.SplitTable)
    with pytest.raises(msgspec.ValidationError, match="unknown field `bogus`"):
        msgspec.convert({"revision": 1, "traffic": {"bogus": 1}, "type": "snapshot"}, wire.Snapshot)
