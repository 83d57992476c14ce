"""Request heads: what is accepted, and the status of every refusal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http1 import request
from proxy.http1.errors import BadRequest
from proxy.http1.request import METHODS, RequestHead, parse_request
from proxy.model.config import Limits


def head_of(*lines: str, first: str = "GET / HTTP/1.1") -> bytes:
    return "\r\n".join((first, *lines, "", "")).encode("latin-1")


def parse(*lines: str, first: str = "GET / HTTP/1.1", host: str | None = "a") -> RequestHead:
    hosts = () if host is None else (f"Host: {host}",)
    return parse_request(head_of(*hosts, *lines, first=first))


def refusal(raw: bytes) -> BadRequest:
    with pytest.raises(BadRequest) as refused:
        parse_request(raw)
    assert refused.value.detail == str(refused.value)
    return refused.value


def test_a_plain_get_is_forwarded_line_by_line() -> None:
    head = parse("Accept: */*", "X-User-Id:  u1 \t")
    assert (head.method, head.target, head.minor, head.authority) == ("GET", b"/", 1, b"a")
    assert (head.length, head.chunked, head.has_body, head.keep_alive) == (0, False, False, True)
    assert head.header(b"x-user-id") == b"u1"
    assert head.plain == head.raw == b"Host: a\r\nAccept: */*\r\nX-User-Id:  u1 \t\r\n"


@pytest.mark.parametrize("method", METHODS)
def test_every_registered_method_is_served(method: str | bytes) -> None:
    name = method.decode() if isinstance(method, bytes) else method
    target = "*" if name == "OPTIONS" else "/"
    assert parse(first=f"{name} {target} HTTP/1.1").method == name


@pytest.mark.parametrize("method", ["CONNECT", "get", "BREW", "GETT", "PRI", "~", "M-SEARCH"])
def test_other_methods_are_501(method: str) -> None:
    assert refusal(head_of("Host: a", first=f"{method} / HTTP/1.1")).status == 501


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("example.com", "example.com"),
        ("Example.COM:8080", "example.com"),
        ("example.com:", "example.com"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("[2001:DB8::1]:443", "[2001:db8::1]"),
        ("", ""),
        ("a_b", "a_b"),
        ("x%41", "x%41"),
    ],
)
def test_valid_hosts(host: str, name: str) -> None:
    head = parse(host=host)
    assert head.authority == host.encode()
    assert head.host == name.encode()


@pytest.mark.parametrize(
    "host",
    ["a b", "a/b", "a@b", "a?b", "a#b", "a:b", "a:80:80", "a:123456", "[::1", "::1]", "[g::1]",
     "a\\b", "x%4", "x%zz", "a\tb", '"a"', "<a>", "é", "a:-1", "[]", "[::1]x"],
)  # fmt: skip
def test_invalid_hosts(host: str) -> None:
    assert refusal(head_of(f"Host: {host}")).status == 400


@pytest.mark.parametrize(
    "lines",
    [(), ("Accept: a",), ("Host: a", "Host: a"), ("Host: a", "hOST: b"), ("Hosts: a",),
     ("xHost: a",)],
)  # fmt: skip
def test_http_1_1_needs_exactly_one_host(lines: tuple[str, ...]) -> None:
    assert refusal(head_of(*lines)).status == 400


def test_http_1_0_needs_no_host_but_may_not_have_two() -> None:
    head = parse(first="GET / HTTP/1.0", host=None)
    assert (head.authority, head.host, head.minor, head.keep_alive) == (b"", b"", 0, False)
    assert refusal(head_of("Host: a", "Host: a", first="GET / HTTP/1.0")).status == 400


@pytest.mark.parametrize("coding", ["chunked", "Chunked", "CHUNKED", "  chunked\t"])
def test_chunked_is_the_one_coding(coding: str) -> None:
    head = parse(f"Transfer-Encoding:{coding}", first="POST / HTTP/1.1")
    assert head.chunked
    assert head.has_body
    assert head.plain is None


@pytest.mark.parametrize(
    "lines",
    [
        ("Transfer-Encoding: identity",),
        ("Transfer-Encoding: gzip, chunked",),
        ("Transfer-Encoding: chunked, chunked",),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
        ("Transfer-Encoding:",),
        ("Transfer-Encoding: ,chunked",),
        ("Transfer-Encoding: chunked,",),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding: chunked;q=1",),
        ('Transfer-Encoding: "chunked"',),
        ("Transfer-Encoding: \x0bchunked",),
        ("Transfer-Encoding: chunked", "Content-Length: 3"),
        ("Content-Length: 3", "Transfer-Encoding: chunked"),
        ("Content-Length: 3", "tRANSFER-eNCODING: identity"),
        ("Transfer-Encoding : chunked",),
        ("Transfer-Encoding\t: chunked",),
    ],
)
def test_refused_codings(lines: tuple[str, ...]) -> None:
    assert refusal(head_of("Host: a", *lines, first="POST / HTTP/1.1")).status == 400


def test_http_1_0_has_no_coding() -> None:
    raw = head_of("Host: a", "Transfer-Encoding: chunked", first="POST / HTTP/1.0")
    assert refusal(raw).status == 400


@pytest.mark.parametrize(
    ("value", "length"), [("0", 0), ("5", 5), (" 7\t", 7), ("0005", 5), ("9" * 18, 10**18 - 1)]
)
def test_valid_lengths(value: str, length: int) -> None:
    head = parse(f"Content-Length:{value}", first="POST / HTTP/1.1")
    assert head.length == length
    assert head.has_body == (length > 0)
    assert head.plain == head.raw


@pytest.mark.parametrize(
    "value",
    ["", " ", "+1", "-1", "1,1", "1, 1", "0x1", "1e3", "1 1", "1.0", "１", "a", "1_0",
     "9" * 19, "0" * 400, "5;", '"5"'],
)  # fmt: skip
def test_invalid_lengths(value: str) -> None:
    raw = f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {value}\r\n\r\n".encode()
    assert refusal(raw).status == 400


@pytest.mark.parametrize("second", ["Content-Length: 5", "content-length: 6"])
def test_repeated_length(second: str) -> None:
    assert refusal(head_of("Host: a", "Content-Length: 5", second)).status == 400


def test_lookalikes_do_not_frame() -> None:
    head = parse("Content_Length: 5", "Transfer_Encoding: chunked", "XContent-Length: 5")
    assert not head.has_body
    assert head.plain is None  # and so they are dropped on the way


@pytest.mark.parametrize(
    ("lines", "minor", "keep_alive", "options"),
    [
        ((), 1, True, []),
        ((), 0, False, []),
        (("Connection: keep-alive",), 1, True, [b"keep-alive"]),
        (("Connection: Keep-Alive",), 0, True, [b"keep-alive"]),
        (("Connection: close",), 1, False, [b"close"]),
        (("Connection: CLOSE",), 0, False, [b"close"]),
        (("Connection: keep-alive, close",), 1, False, [b"keep-alive", b"close"]),
        (("Connection: keep-alive", "Connection: close"), 1, False, [b"keep-alive", b"close"]),
        (("Connection: , x-a ,,\tclose",), 1, False, [b"x-a", b"close"]),
        (("Connection: closed",), 1, True, [b"closed"]),
        (("Connection: keep-alive", "Keep-Alive: timeout=5"), 1, True, [b"keep-alive"]),
    ],
)
def test_connection(
    lines: tuple[str, ...], minor: int, keep_alive: bool, options: list[bytes]
) -> None:
    head = parse(*lines, first=f"GET / HTTP/1.{minor}")
    assert head.keep_alive is keep_alive
    assert head.connection == options


def test_the_usual_keep_alive_is_cut_without_looking_at_each_line() -> None:
    head = parse("A: 1", "Connection: Keep-Alive", "B: 2")
    assert head.plain == b"Host: a\r\nA: 1\r\nB: 2\r\n"


@pytest.mark.parametrize(
    ("target", "host", "path", "authority"),
    [
        ("/", "a", b"/", b"a"),
        ("/a%2Fb//../c;d?x=1&y=%00", "a", b"/a%2Fb//../c;d?x=1&y=%00", b"a"),
        ("//evil/x", "a", b"//evil/x", b"a"),
        ("/http://b/", "a", b"/http://b/", b"a"),
        ("http://b/x?y", "a", b"/x?y", b"b"),
        ("HTTP://b:8080/", "a", b"/", b"b:8080"),
        ("https://b", "a", b"/", b"b"),
        ("http://b?x=/y", "a", b"/?x=/y", b"b"),
        ("http://b?x", "a", b"/?x", b"b"),
        ("http://[::1]:80/x", "a", b"/x", b"[::1]:80"),
    ],
)
def test_targets(target: str, host: str, path: bytes, authority: bytes) -> None:
    head = parse(first=f"GET {target} HTTP/1.1", host=host)
    assert (head.target, head.authority) == (path, authority)
    if not target.startswith("/"):
        assert head.plain is None  # Host must be rewritten


def test_options_may_ask_for_the_server() -> None:
    assert parse(first="OPTIONS * HTTP/1.1").target == b"*"
    head = parse(first="OPTIONS http://b HTTP/1.1")
    assert (head.target, head.authority) == (b"*", b"b")
    assert parse(first="OPTIONS http://b/ HTTP/1.1").target == b"/"


@pytest.mark.parametrize(
    "target",
    ["*", "*x", "a", "a:80", "example.com:443", "?x", "#x", "http:/b", "http:b", "ftp://b/", "://b/",
     "http://", "http:///x", "http://?x", "http://:80/", "http://u@b/", "http://u:p@b/", "http://b/#f",
     "http://b#f", "http://b:x/", "http://b c/", "ws://b/", "xhttp://b/", "http://b\\c/"],
)  # fmt: skip
def test_refused_targets(target: str) -> None:
    assert refusal(head_of("Host: a", first=f"GET {target} HTTP/1.1")).status == 400


@pytest.mark.parametrize("byte", [*range(0x21), *range(0x7F, 0x100)])
def test_a_target_holds_visible_ascii_only(byte: int) -> None:
    raw = b"GET /a" + bytes((byte,)) + b"b HTTP/1.1\r\nHost: a\r\n\r\n"
    assert refusal(raw).status == 400


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("HTTP/2.0", 505), ("HTTP/1.2", 505), ("HTTP/0.9", 505), ("HTTP/9.9", 505),
        ("HTTP/1.01", 400),
        ("http/1.1", 400), ("HTTP/1.", 400), ("HTTP/x.1", 400), ("HTTP/1,1", 400),
        ("HTTP/1.1 ", 400), (" HTTP/1.1", 400), ("HTTP 1.1", 400), ("", 400), ("HTTPS/1.1", 400),
        ("XTTP/1.1", 400), ("HTTP/11", 400), ("HTTP/1.1x", 400), ("\tHTTP/1.1", 400),
    ],
)  # fmt: skip
def test_versions(version: str, status: int) -> None:
    assert refusal(head_of("Host: a", first=f"GET / {version}")).status == status


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /\r\n\r\n",
        b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\rHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\r\nX: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x0b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tfolded\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX(: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\xe9: b\r\n\r\n",
        b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\xff\xfe / HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_broken_heads(raw: bytes) -> None:
    assert refusal(raw).status == 400


def test_values_may_hold_obs_text_and_tabs() -> None:
    raw = b"GET / HTTP/1.1\r\nHost: a\r\nX:\t\xe9 \xff\t\r\nE:\r\n\r\n"
    head = parse_request(raw)
    assert head.header(b"x") == b"\xe9 \xff"
    assert head.header(b"e") == b""


def test_limits() -> None:
    longest = "/" + "x" * (Limits().target_bytes - 1)
    assert len(parse(first=f"GET {longest} HTTP/1.1").target) == Limits().target_bytes
    for first in (f"GET {longest}x HTTP/1.1", f"GET {longest}{'x' * 200}\x01 HTTP/1.1"):
        assert refusal(head_of("Host: a", first=first)).status == 414
    fields = [f"X-{n}: {n}" for n in range(Limits().fields - 1)]
    assert parse(*fields).header(b"x-126") == b"126"
    assert refusal(head_of("Host: a", *fields, "One: more")).status == 431


@given(st.binary(max_size=200))
def test_any_bytes_are_accepted_or_refused_never_an_error(noise: bytes) -> None:
    for raw in (noise + b"\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n" + noise + b"\r\n\r\n"):
        try:
            head = parse_request(raw)
        except BadRequest:
            continue
        assert head.target


def test_hosts_that_nobody_has_are_judged_but_not_kept() -> None:
    before = request._is_authority.cache_info().currsize
    for number in range(300):
        host = "a" * 255 + str(number)
        assert parse(host=host).authority == host.encode()
    with pytest.raises(BadRequest, match="authority"):
        parse(host="a" * 300 + "/")
    assert request._is_authority.cache_info().currsize == before
