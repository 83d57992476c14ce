"""The text form of sources, and what they and addresses make together."""

import pytest

from proxy.model.config import Endpoint, Route, Service, Traffic, Version
from proxy.model.found import endpoints_of, has_sources, sources_of
from proxy.model.source import Source, parse_source


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dns://Shop.Internal:8080", Source("dns", "shop.internal", port="8080")),
        ("DNS://shop:80", Source("dns", "shop", port="80")),
        ("dns+srv://_http._tcp.shop.internal", Source("dns+srv", "_http._tcp.shop.internal")),
        ("file:///etc/shop/list.yaml", Source("file", "/etc/shop/list.yaml")),
        ("kubernetes://prod/shop", Source("kubernetes", "shop", "prod")),
        ("kubernetes://prod/shop:http", Source("kubernetes", "shop", "prod", "http")),
        ("kubernetes://prod/shop:8080", Source("kubernetes", "shop", "prod", "8080")),
        ("cloudmap://prod.local/shop", Source("cloudmap", "shop", "prod.local")),
        ("cloudmap://prod/shop:8080", Source("cloudmap", "shop", "prod", "8080")),
        ("http://shop:80", None),
        ("unix:/run/shop.sock", None),
        ("shop:80", None),
    ],
)
def test_forms(text: str, expected: Source | None) -> None:
    assert parse_source(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dns://shop", "the port is missing"),
        ("dns://shop:0", "the port must be a number"),
        ("dns://10.0.0.1:80", "is an address, not a name"),
        ("dns://[::1]:80", "is an address, not a name"),
        ("dns://shop:80/x", "the port must be"),
        ("dns+srv://_http._tcp.shop:80", "leave it out"),
        ("dns+srv://", "the host is missing"),
        ("file://etc/list", "expected file:///absolute/path"),
        ("file:///etc/", "expected file:///absolute/path"),
        ("file:///a%20b", "taken as it stands"),
        ("kubernetes://shop", "expected kubernetes://namespace/service:port"),
        ("kubernetes://Prod/shop", "expected kubernetes://namespace/service:port"),
        ("kubernetes://prod/shop:99999", "from 1 to 65535"),
        ("cloudmap://prod", "expected cloudmap://namespace/service"),
        ("cloudmap://prod/shop:0", "from 1 to 65535"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_source(text)


def test_endpoints_are_those_listed_and_those_found() -> None:
    version = Version(
        endpoints=("http://a:1", Endpoint("dns://shop:80", 2, "z"), Endpoint("http://b:1", 5))
    )
    found = {"dns://shop:80": (Endpoint("http://c:80", 3), Endpoint("http://a:1", 9, "y"))}
    assert endpoints_of(version) == (Endpoint("http://a:1"), Endpoint("http://b:1", 5))
    assert endpoints_of(version, found) == (
        Endpoint("http://a:1"),
        Endpoint("http://c:80", 6, "z"),
        Endpoint("http://b:1", 5),
    )
    heavy = {"dns://shop:80": (Endpoint("http://c:80", 900),)}
    assert endpoints_of(version, heavy)[1].weight == 1_000


def test_which_sources_a_configuration_names() -> None:
    shop = Service({"a": Version(("dns://x:1", "http://a")), "b": Version(("file:///l",))})
    traffic = Traffic({"shop": shop, "other": Service({"a": Version(("dns://x:1",))})}, (Route(),))
    assert list(sources_of(traffic)) == ["dns://x:1", "file:///l", "dns://x:1"]
    assert has_sources(shop.versions["a"])
    assert not has_sources(Version(("http://a",)))
