"""Answers of the proxy's own."""

import json

import pytest

from proxy.http1.problem import problem_response
from proxy.http1.response import Framing, parse_response

STATUSES = (400, 404, 408, 414, 431, 501, 502, 503, 504, 505)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("keep_alive", [True, False])
def test_a_whole_response(status: int, keep_alive: bool) -> None:
    raw = problem_response(status, "A sentence.", ident=b'i"d', keep_alive=keep_alive)
    head, _, content = raw.partition(b"\r\n\r\n")
    parsed = parse_response(head + b"\r\n\r\n", "GET")
    assert (parsed.status, parsed.framing, parsed.length) == (status, Framing.LENGTH, len(content))
    assert parsed.reusable is keep_alive
    assert parsed.header(b"content-type") == b"application/problem+json"
    assert parsed.header(b"cache-control") == b"no-store"
    assert parsed.header(b"x-request-id") == b'i"d'
    document = json.loads(content)
    assert document.pop("title")
    assert document == {
        "type": "about:blank",
        "status": status,
        "detail": "A sentence.",
        "request_id": 'i"d',
    }


def test_without_an_id_and_for_head() -> None:
    raw = problem_response(404, "x", keep_alive=True, body=False)
    head, _, content = raw.partition(b"\r\n\r\n")
    assert content == b""
    parsed = parse_response(head + b"\r\n\r\n", "HEAD")
    assert parsed.header(b"x-request-id") is None
    assert int(parsed.header(b"content-length") or b"0") > 0
