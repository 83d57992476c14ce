import pytest

from proxy.model.address import Address, parse_bind, parse_endpoint, parse_host


@pytest.mark.parametrize(
    ("text", "address", "authority"),
    [
        ("http://shop:8080", Address("shop", 8080), "shop:8080"),
        ("http://shop", Address("shop", 80), "shop:80"),
        ("HTTP://Shop.Example.COM.:1", Address("shop.example.com.", 1), "shop.example.com.:1"),
        ("http://my_service:65535", Address("my_service", 65535), "my_service:65535"),
        ("http://10.1.2.3", Address("10.1.2.3", 80), "10.1.2.3:80"),
        ("http://[::1]", Address("::1", 80), "[::1]:80"),
        ("http://[2001:DB8:0::1]:81", Address("2001:db8::1", 81), "[2001:db8::1]:81"),
        ("unix:/run/a.sock", Address(path="/run/a.sock"), "localhost"),
    ],
)
def test_endpoint(text: str, address: Address, authority: str) -> None:
    assert parse_endpoint(text) == address
    assert parse_endpoint(text).authority == authority
    assert parse_endpoint(text).is_unix == text.startswith("unix:")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("localhost:0", Address("localhost", 0)),
        ("[::]:80", Address("::", 80)),
        ("unix:/run/" + "x" * 102, Address(path="/run/" + "x" * 102)),
    ],
)
def test_bind(text: str, address: Address) -> None:
    assert parse_bind(text) == address
    assert parse_bind(str(address)) == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("https://shop:443", "TLS to endpoints is not supported yet; use http://"),
        ("shop:8080", "expected http://host:port or unix:/path, got 'shop:8080'"),
        ("ftp://shop", "expected http://host:port or unix:/path, got 'ftp://shop'"),
        ("", "expected http://host:port or unix:/path, got ''"),
        ("http", "expected http://host:port or unix:/path, got 'http'"),
        ("http://", "the host is missing; for every interface write 0.0.0.0 or [::]"),
        ("http://u:p@shop", "a user or password is not supported in an endpoint"),
        ("http://shop/", "an endpoint has no path or query; write http://host:port"),
        ("http://shop?x", "an endpoint has no path or query; write http://host:port"),
        ("http://shop#x", "an endpoint has no path or query; write http://host:port"),
        ("http://shop:0", "the port must be a number from 1 to 65535, got '0'"),
        ("http://shop:65536", "the port must be a number from 1 to 65535, got '65536'"),
        ("http://shop:+80", "the port must be a number from 1 to 65535, got '+80'"),
        ("http://shop:٣", "the port must be a number from 1 to 65535, got '٣'"),
        ("http://shop:", "the port must be a number from 1 to 65535, got ''"),
        ("http://256.1.1.1", "'256.1.1.1' is not an IPv4 address"),
        ("http://1.2.3", "'1.2.3' is not an IPv4 address"),
        ("http://1.2.3.4.", "'1.2.3.4.' is not an IPv4 address"),
        ("http://[::g]", "'::g' is not an IPv6 address"),
        ("http://[fe80::1%eth0]", "an IPv6 zone (%…) is not supported"),
        ("http://bücher.de", "'bücher.de' is not ASCII; write it in its xn-- form"),
        ("http://-a.de", "'-a.de' is not a host name"),
        ("http://a..b", "'a..b' is not a host name"),
        ("http://.", "'.' is not a host name"),
        ("http://a b", "'a b' is not a host name"),
        ("http://a\n", "'a\\n' is not a host name"),
        ("unix:run", "expected unix:/absolute/path, got 'unix:run'"),
        ("unix:///run", "expected unix:/absolute/path, got 'unix:///run'"),
        ("unix:/", "'/' is not the path of a socket"),
        ("unix:/a\0b", "'/a\\x00b' is not the path of a socket"),
        ("unix:/" + "ä" * 54, "a socket's path has at most 107 bytes"),
    ],
)
def test_wrong_endpoint(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        parse_endpoint(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("127.0.0.1", "the port is missing; write host:port"),
        (":8080", "the host is missing; for every interface write 0.0.0.0 or [::]"),
        ("*:8080", "'*' is not a host name"),
        (
            "::1:8080",
            "expected host:port, got '::1:8080'; an IPv6 address stands in brackets: [::1]:8080",
        ),
        (
            "[::1]8080",
            "expected host:port, got '[::1]8080'; an IPv6 address stands in brackets: [::1]:8080",
        ),
        ("http://a:1", "expected host:port, [v6]:port or unix:/path, got 'http://a:1'"),
    ],
)
def test_wrong_bind(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        parse_bind(text)
    assert str(caught.value) == message


def test_longest_host_name() -> None:
    name = ".".join(["a" * 63] * 3 + ["b" * 61])
    assert parse_host(name) == name
    with pytest.raises(ValueError, match="is not a host name"):
        parse_host(name + "b")
    with pytest.raises(ValueError, match="is not a host name"):
        parse_host("a" * 64)
