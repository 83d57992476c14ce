"""Which names an address answers to."""

import pytest

from proxy.admin_guard import own_hosts
from proxy.core.question import name_of_host


@pytest.mark.parametrize(
    ("bind", "own"),
    [
        ("127.0.0.1:9900", {"localhost", "127.0.0.1", "[::1]"}),
        ("127.9.9.9:1", {"localhost", "127.0.0.1", "[::1]", "127.9.9.9"}),
        ("[::1]:9900", {"localhost", "127.0.0.1", "[::1]"}),
        ("LOCALHOST:9900", {"localhost", "127.0.0.1", "[::1]"}),
    ],
)
def test_loopback_has_its_own_names(bind: str, own: set[str]) -> None:
    assert own_hosts(bind) == frozenset(own)


@pytest.mark.parametrize("bind", ["0.0.0.0:9900", "[::]:9900", "10.1.2.3:9900", "unix:/a:b", "h:1"])
def test_other_addresses_answer_to_any_name(bind: str) -> None:
    assert own_hosts(bind) is None


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Shop.Example", "shop.example"),
        ("shop.example:8080", "shop.example"),
        ("shop.example:", "shop.example"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("::1", ""),
        ("a:b", ""),
        ("", ""),
    ],
)
def test_a_host_is_a_name_and_perhaps_a_port(host: str, name: str) -> None:
    assert name_of_host(host) == name
