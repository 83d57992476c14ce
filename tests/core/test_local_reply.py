"""Redirects, direct responses and preflights: what a client is told without an endpoint."""

import pytest

from proxy.core.forwarded import TrustedProxies
from proxy.core.local_reply import CorsPolicy, LocalReply, compile_direct, compile_redirect
from proxy.model.config import Cors, DirectResponse, PathMatch, Redirect, Substitution
from tests.support.heads import Head

PEER = "203.0.113.9"
TRUSTED = TrustedProxies(["198.51.100.0/24"])


def location(
    redirect: Redirect,
    target: str = "/a?b=c",
    *fields: tuple[str, str],
    host: str = "shop:8080",
    matched: PathMatch | None = None,
    peer: str = PEER,
) -> str:
    answer = compile_redirect(redirect, matched, TRUSTED)(Head(target, *fields, host=host), peer, 3)
    assert (answer.route, answer.reason, answer.body) == (3, "redirect", b"")
    name, _, value = answer.lines.decode().partition(": ")
    assert (name, value[-2:]) == ("Location", "\r\n")
    return value[:-2]


@pytest.mark.parametrize(
    ("redirect", "expected"),
    [
        (Redirect(path="/new"), "http://shop:8080/new?b=c"),
        (Redirect(path="/new", keep_query=False), "http://shop:8080/new"),
        (Redirect(scheme="https"), "https://shop/a?b=c"),
        (Redirect(scheme="https", port=8443), "https://shop:8443/a?b=c"),
        (Redirect(scheme="https", port=443), "https://shop/a?b=c"),
        (Redirect(scheme="http", port=443), "http://shop:443/a?b=c"),
        (Redirect(port=80), "http://shop/a?b=c"),
        (Redirect(port=81), "http://shop:81/a?b=c"),
        (Redirect(host="new.example.com"), "http://new.example.com/a?b=c"),
        (Redirect(host="new.example.com", port=81), "http://new.example.com:81/a?b=c"),
        (Redirect(prefix="/v2"), "http://shop:8080/v2/a?b=c"),
        (Redirect(regex=Substitution(pattern="^/(.)", to=r"/\1/\1")), "http://shop:8080/a/a?b=c"),
    ],
)
def test_what_is_not_set_stays(redirect: Redirect, expected: str) -> None:
    assert location(redirect) == expected


def test_a_matched_prefix_is_replaced() -> None:
    matched = PathMatch(segment_prefix="/cayenne")
    redirect = Redirect(prefix="/paprika")
    assert location(redirect, "/cayenne/hot", matched=matched) == "http://shop:8080/paprika/hot"


@pytest.mark.parametrize("host", ["[::1]", "[::1]:8080"])
def test_an_address_keeps_its_brackets(host: str) -> None:
    assert location(Redirect(scheme="https"), host=host) == "https://[::1]/a?b=c"


def test_the_scheme_is_what_a_trusted_proxy_says() -> None:
    said = ("x-forwarded-proto", "https")
    to = Redirect(path="/new")
    assert location(to, "/", said, host="shop", peer="198.51.100.7") == "https://shop/new"
    assert location(to, "/", said, host="shop") == "http://shop/new"


def test_without_a_host_no_other_host_is_named() -> None:
    assert location(Redirect(keep_query=False), "//evil.example.com/a?b", host="") == (
        "/evil.example.com/a"
    )


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_status_is_the_configurations(status: int) -> None:
    redirect = Redirect(status=status)  # type: ignore[arg-type]
    assert compile_redirect(redirect, None, TRUSTED)(Head(host="shop"), PEER, 0).status == status


def test_a_direct_response() -> None:
    response = DirectResponse(status=503, body="später", content_type="text/html")
    assert compile_direct(response)(Head(), PEER, 2) == LocalReply(
        2, "direct_response", 503, b"Content-Type: text/html\r\n", "später".encode()
    )
    assert compile_direct(DirectResponse())(Head(), PEER, 0).lines == b""


def preflight(cors: Cors, origin: str, *fields: tuple[str, str]) -> dict[str, str]:
    asked = ("access-control-request-method", "PUT")
    head = Head("/", ("origin", origin), asked, *fields, method="OPTIONS")
    answer = CorsPolicy(cors).preflight(head, 1)
    assert answer is not None
    assert (answer.status, answer.body, answer.reason) == (204, b"", "preflight")
    lines = answer.lines.decode().split("\r\n")
    assert lines.pop() == ""
    return dict(line.split(": ", 1) for line in lines)


SHOP = Cors(
    allow_origins=("https://shop.example.com", "https://*.shop.example.com"),
    allow_methods=("GET", "PUT"),
    allow_headers=("X-One", "X-Two"),
    expose_headers=("X-Three",),
    allow_credentials=True,
    max_age_s=60,
)


@pytest.mark.parametrize("origin", ["https://shop.example.com", "https://a.b.shop.example.com"])
def test_a_preflight_of_an_allowed_origin(origin: str) -> None:
    assert preflight(SHOP, origin) == {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Allow-Methods": "GET, PUT",
        "Access-Control-Allow-Headers": "X-One, X-Two",
        "Access-Control-Max-Age": "60",
        "Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    }


@pytest.mark.parametrize(
    "origin",
    [
        "http://shop.example.com", "https://shop.example.com:8443", "https://xshop.example.com",
        "https://.shop.example.com", "https://shop.example.com.evil.com", "null",
    ],
)  # fmt: skip
def test_other_origins_are_allowed_nothing(origin: str) -> None:
    assert preflight(SHOP, origin).keys() == {"Vary"}
    assert CorsPolicy(SHOP).lines(origin.encode()) == b"Vary: Origin\r\n"


def test_asterisks_allow_whatever_is_asked_for() -> None:
    cors = Cors(allow_origins=("*",), allow_methods=("*",), allow_headers=("*",))
    said = preflight(cors, "https://any", ("access-control-request-headers", "x-a,x-b"))
    assert said["Access-Control-Allow-Origin"] == "*"
    assert said["Access-Control-Allow-Methods"] == "PUT"
    assert said["Access-Control-Allow-Headers"] == "x-a,x-b"
    assert CorsPolicy(cors).lines(b"https://any") == b"Access-Control-Allow-Origin: *\r\n"


def test_a_response_names_what_a_page_may_read() -> None:
    assert CorsPolicy(SHOP).lines(b"https://shop.example.com").decode().split("\r\n") == [
        "Vary: Origin",
        "Access-Control-Allow-Origin: https://shop.example.com",
        "Access-Control-Allow-Credentials: true",
        "Access-Control-Expose-Headers: X-Three",
        "",
    ]
    assert CorsPolicy(SHOP).lines(None) == b"Vary: Origin\r\n"


@pytest.mark.parametrize(
    "head",
    [
        Head("/", ("origin", "https://shop.example.com"), method="OPTIONS"),
        Head("/", ("access-control-request-method", "GET"), method="OPTIONS"),
        Head("/", ("origin", "x"), ("access-control-request-method", "GET"), method="GET"),
    ],
)
def test_other_requests_are_no_preflights(head: Head) -> None:
    assert CorsPolicy(SHOP).preflight(head, 0) is None
