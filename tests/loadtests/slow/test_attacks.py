"""Commands, reports and payloads of the attacks."""

import pytest

from loadtests.slow.attacks import FLOODS, SLOW, command, parse_report
from proxy.http1.body import ChunkedFramer
from proxy.http1.errors import BadChunk, BadRequest
from proxy.http1.request import parse_request

REPORT = """\
Seconds,Closed,Pending,Connected,Service Available
0,0,1,0,1
1,0,50,60,1
2,40,0,70,1
3,90,0,20,1
"""


@pytest.mark.parametrize("attack", SLOW)
def test_commands(attack: str) -> None:
    built = command(attack, "http://127.0.0.1:1", connections=9, rate=3, seconds=7.2, out="/x/y")
    assert built[:5] == ["nice", "-n", "19", "slowhttptest", SLOW[attack]]
    for option, value in (("-c", "9"), ("-r", "3"), ("-l", "7"), ("-o", "/x/y")):
        assert built[built.index(option) + 1] == value
    assert built[built.index("-u") + 1].startswith("http://127.0.0.1:1/")


def test_a_report_tells_the_most_that_were_open_and_what_was_closed() -> None:
    report = parse_report(REPORT)
    assert (report.opened, report.closed) == (70, 90)
    assert parse_report(REPORT.replace(",", ", ")) == report


@pytest.mark.parametrize("text", ["", "Seconds,Closed\n", "a,b\n1,2\n"])
def test_what_is_no_report_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no report"):
        parse_report(text)


@pytest.mark.parametrize("kind", FLOODS)
def test_floods_are_what_they_are_called(kind: str) -> None:
    payload = FLOODS[kind]()
    head, _, body = payload.partition(b"\r\n\r\n")
    sizes = {
        "long-head": len(head) > 65_536,
        "many-fields": head.count(b"\r\n") > 10_000,
        "long-target": head.find(b" HTTP/1.1") > 100_000,
        "chunk-extension": body.find(b"\r\n") > 1_000_000,
        "odd-path": b"%41" in head and len(head) < 8_192,
    }
    assert sizes[kind]


def test_those_that_are_no_valid_requests_are_refused_for_what_they_are() -> None:
    for kind, status in (("many-fields", 431), ("long-target", 414)):
        with pytest.raises(BadRequest) as refusal:
            parse_request(FLOODS[kind]())
        assert refusal.value.status == status
    head, _, body = FLOODS["chunk-extension"]().partition(b"\r\n\r\n")
    assert parse_request(head + b"\r\n\r\n").chunked
    with pytest.raises(BadChunk, match="too long"):
        ChunkedFramer().feed(body)
