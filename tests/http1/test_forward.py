"""Heads on their way through: what is dropped, what is added, whom we believe."""

import pytest

from proxy.http1.forward import Hop, downstream_head, request_id, upstream_head
from proxy.http1.request import RequestHead, parse_request
from proxy.http1.response import parse_response

STRANGER = Hop("192.0.2.7", trusted=False)
FRIEND = Hop("10.0.0.1", trusted=True)


def request(
    *lines: str, first: str = "GET /x?y HTTP/1.1", host: str | None = "shop:80"
) -> RequestHead:
    hosts = () if host is None else (f"Host: {host}",)
    return parse_request("\r\n".join((first, *hosts, *lines, "", "")).encode("latin-1"))


def sent(head: RequestHead, hop: Hop = STRANGER) -> tuple[str, list[tuple[str, str]]]:
    """The request line and the fields as the endpoint gets them, names in lower case."""
    raw = upstream_head(head, hop, b"endpoint:9001", b"id-1")
    assert raw.endswith(b"\r\n\r\n")
    first, *lines = raw[:-4].decode("latin-1").split("\r\n")
    pairs = [line.partition(":") for line in lines]
    return first, [(name.lower(), value.strip(" \t")) for name, _, value in pairs]


def values(fields: list[tuple[str, str]], name: str) -> list[str]:
    return [value for known, value in fields if known == name]


def test_a_plain_request() -> None:
    first, fields = sent(request("Accept: */*"))
    assert first == "GET /x?y HTTP/1.1"
    assert fields == [
        ("host", "shop:80"),
        ("accept", "*/*"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "shop:80"),
        ("x-request-id", "id-1"),
    ]


@pytest.mark.parametrize(
    "line", ["Connection: x-other", "X-Forwarded-For: 1.2.3.4", "TE: trailers"]
)
def test_both_ways_of_building_agree(line: str) -> None:
    assert sent(request("Accept: */*", line)) == sent(request("Accept: */*"))


@pytest.mark.parametrize(
    "lines",
    [
        ("Connection: keep-alive",),
        ("Connection: close",),
        ("Connection: upgrade", "Upgrade: h2c"),
        ("Connection: close", "Upgrade: websocket"),
        ("connection: Keep-Alive", "Keep-Alive: timeout=5"),
        ("Proxy-Connection: keep-alive",),
        ("TE: trailers, deflate;q=0.5",),
        ("Keep_Alive: timeout=5", "Proxy_Connection: x"),
        ("Connection: x-mine, X_Other", "X-Mine: 1", "x-other: 2", "X_Mine: 3"),
        ("Transfer_Encoding: chunked", "Content_Length: 3"),
    ],
)
def test_hop_by_hop_fields_end_here(lines: tuple[str, ...]) -> None:
    _, fields = sent(request(*lines, "Stays: 1"))
    names = {name for name, _ in fields}
    assert names == {
        "host", "stays", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id",
    }  # fmt: skip


def test_nominating_cannot_remove_what_matters() -> None:
    head = request(
        "Connection: host, content-length, cookie, authorization, x-forwarded-for",
        "Content-Length: 3", "Cookie: a", "Authorization: b", first="POST / HTTP/1.1",
    )  # fmt: skip
    _, fields = sent(head)
    for name, value in [("host", "shop:80"), ("content-length", "3"), ("cookie", "a"),
                        ("authorization", "b"), ("x-forwarded-for", "192.0.2.7")]:  # fmt: skip
        assert values(fields, name) == [value]


SPOOFED = [
    "X-Forwarded-For: 6.6.6.6", "x-forwarded-for: 6.6.6.6", "X_Forwarded_For: 6.6.6.6",
    "X-Forwarded_For: 6.6.6.6", "x_forwarded-proto: https", "X-FORWARDED-HOST: evil",
    "X-Forwarded-Anything: 6.6.6.6", "X-Splitway-Decision: x", "x_splitway_version: canary",
    "X-SPLITWAY: 1", "X_Request_Id: evil",
]  # fmt: skip


@pytest.mark.parametrize("line", SPOOFED)
def test_strangers_cannot_set_our_fields(line: str) -> None:
    assert sent(request(line)) == sent(request())


def test_a_trusted_proxy_is_appended_to() -> None:
    _, fields = sent(
        request(
            "X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 7.7.7.7",
            "X-Forwarded-Proto: https", "X-Forwarded-Host: www", "X-Forwarded-Port: 443",
        ),
        FRIEND,
    )  # fmt: skip
    assert values(fields, "x-forwarded-for") == ["6.6.6.6", "7.7.7.7", "10.0.0.1"]
    assert values(fields, "x-forwarded-proto") == ["https"]
    assert values(fields, "x-forwarded-host") == ["www"]
    assert values(fields, "x-forwarded-port") == ["443"]


def test_a_trusted_proxy_that_says_less_is_completed() -> None:
    for lines in ((), ("X-Forwarded-For: 6.6.6.6",)):
        _, fields = sent(request(*lines), FRIEND)
        assert values(fields, "x-forwarded-for")[-1] == "10.0.0.1"
        assert values(fields, "x-forwarded-proto") == ["http"]
        assert values(fields, "x-forwarded-host") == ["shop:80"]


@pytest.mark.parametrize(
    "line", ["X_Forwarded_For: 6.6.6.6", "x-forwarded_proto: https", "X_FORWARDED-HOST: evil",
             "X_Splitway_Version: canary", "X-Splitway-Version: canary"],
)  # fmt: skip
def test_even_a_trusted_proxy_passes_no_misspelt_field(line: str) -> None:
    """Its client wrote that one; a CGI server would read it as the real one."""
    plain = sent(request("TE: x", "Y_Z: kept"), FRIEND)
    assert sent(request(line, "Y_Z: kept"), FRIEND) == plain
    assert values(plain[1], "y_z") == ["kept"]


def test_http_1_0() -> None:
    first, fields = sent(request(first="GET / HTTP/1.0", host=None))
    assert first == "GET / HTTP/1.1"
    assert values(fields, "host") == ["endpoint:9001"]
    assert values(fields, "x-forwarded-host") == [""]
    _, fields = sent(request("Connection: keep-alive, x", first="GET / HTTP/1.0", host=None))
    assert values(fields, "host") == ["endpoint:9001"]
    _, fields = sent(request(first="GET / HTTP/1.0"))
    assert values(fields, "host") == ["shop:80"]


def test_an_absolute_target_names_the_host() -> None:
    for lines in ((), ("Connection: keep-alive",), ("Connection: close",)):
        first, fields = sent(request(*lines, first="GET http://real:81/p HTTP/1.1"))
        assert first == "GET /p HTTP/1.1"
        assert values(fields, "host") == ["real:81"]
        assert values(fields, "x-forwarded-host") == ["real:81"]
        assert values(fields, "connection") == []


def test_framing_is_written_anew() -> None:
    _, fields = sent(request("Transfer-Encoding: Chunked", first="POST / HTTP/1.1"))
    assert values(fields, "transfer-encoding") == ["chunked"]
    assert values(fields, "content-length") == []
    _, fields = sent(request("Content-Length: 005", "TE: x", first="POST / HTTP/1.1"))
    assert values(fields, "content-length") == ["5"]
    _, fields = sent(request("Content-Length: 0", "TE: x", first="POST / HTTP/1.1"))
    assert values(fields, "content-length") == ["0"]


@pytest.mark.parametrize(
    ("value", "kept"),
    [("abc-123", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("", False),
     ("\xe9", False)],
)  # fmt: skip
def test_request_id(value: str, kept: bool) -> None:
    head = request(f"X-Request-Id: {value}")
    assert request_id(head, b"made") == (value.encode("latin-1") if kept else b"made")


def test_request_id_made() -> None:
    assert request_id(request(), b"made") == b"made"
    assert request_id(request("TE: x"), b"made") == b"made"
    _, fields = sent(request("X-Request-Id: theirs"))
    assert values(fields, "x-request-id") == ["id-1"]


def test_a_client_on_a_unix_socket() -> None:
    _, fields = sent(request(), Hop("", trusted=False))
    assert values(fields, "x-forwarded-for") == ["unix"]


def answered(
    *lines: str, first: str = "HTTP/1.1 200 OK", minor: int = 1, keep_alive: bool = True,
    chunked: bool = False, added: bytes = b"",
) -> list[str]:  # fmt: skip
    head = parse_response("\r\n".join((first, *lines, "", "")).encode("latin-1"), "GET")
    raw = downstream_head(head, minor=minor, keep_alive=keep_alive, chunked=chunked, added=added)
    assert raw.endswith(b"\r\n\r\n")
    return raw[:-4].decode("latin-1").split("\r\n")


def test_responses() -> None:
    assert answered("Content-Length: 1", "A: b") == ["HTTP/1.1 200 OK", "Content-Length: 1", "A: b"]
    assert answered("A: b", keep_alive=False)[1:] == ["A: b", "Connection: close"]
    assert answered("A: b", minor=0)[1:] == ["A: b", "Connection: keep-alive"]
    assert answered(first="HTTP/1.0 200 OK") == ["HTTP/1.1 200 OK"]
    assert answered("Transfer-Encoding: chunked", chunked=True)[1:] == [
        "Transfer-Encoding: chunked"
    ]
    assert answered("Transfer-Encoding: chunked", minor=0, keep_alive=False)[1:] == [
        "Connection: close"
    ]
    assert answered(added=b"Set-Cookie: a=b\r\n")[1:] == ["Set-Cookie: a=b"]


def test_response_fields_that_end_here() -> None:
    lines = answered(
        "Connection: x-mine, upgrade", "X-Mine: 1", "Upgrade: h2c", "Keep-Alive: timeout=5",
        "X-Splitway-Decision: spoofed", "Proxy-Connection: x", "Stays: 1",
    )  # fmt: skip
    assert lines == ["HTTP/1.1 200 OK", "Stays: 1"]


@pytest.mark.parametrize("first", ["HTTP/1.1 204 No Content", "HTTP/1.1 103 Early Hints"])
def test_no_length_where_none_may_stand(first: str) -> None:
    assert answered("Content-Length: 5", "A: b", first=first) == [first, "A: b"]
    assert answered("Content-Length: 5", first="HTTP/1.1 304 x")[1:] == ["Content-Length: 5"]
