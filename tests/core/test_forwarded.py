import pytest

from proxy.core import forwarded
from proxy.core.forwarded import TrustedProxies, client_ip

PROXIES = TrustedProxies(["10.0.0.0/8", "192.168.1.7", "2001:db8:1::/48", "::ffff:172.16.0.0/108"])


@pytest.mark.parametrize(
    ("ip", "trusted"),
    [
        ("10.1.2.3", True),
        ("11.1.2.3", False),
        ("192.168.1.7", True),
        ("192.168.1.8", False),
        ("::ffff:10.1.2.3", True),
        ("172.16.9.9", True),
        ("2001:db8:1::5", True),
        ("2001:db8:2::5", False),
        ("::a01:203", False),
        ("", False),
        ("shop.example", False),
    ],
)
def test_contains(ip: str, *, trusted: bool) -> None:
    assert PROXIES.contains(ip) is trusted
    assert PROXIES.contains(ip) is trusted, "the remembered answer is the same"


def test_host_bits_are_no_mistake() -> None:
    assert TrustedProxies(["10.1.2.3/8"]).contains("10.9.9.9")


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ValueError, match="load-balancer"):
        TrustedProxies(["load-balancer"])


def test_remembers_a_bounded_number_of_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarded, "_REMEMBERED", 4)
    proxies = TrustedProxies(["10.0.0.0/24"])
    answers = [proxies.contains(f"10.0.{last % 2}.{last}") for last in range(20)]
    assert answers == [True, False] * 10
    assert len(proxies._known) <= 4


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", b"", "10.0.0.1"),
        ("10.0.0.1", b"203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", b"203.0.113.5, 10.0.0.2,\t192.168.1.7", "203.0.113.5"),
        # The client's own words are left of what the first trusted proxy saw.
        ("10.0.0.1", b"1.1.1.1, 203.0.113.5, 10.0.0.2", "203.0.113.5"),
        # An untrusted peer may write what it likes.
        ("203.0.113.9", b"1.1.1.1", "203.0.113.9"),
        # All trusted: the leftmost.
        ("10.0.0.1", b"10.0.0.3, 10.0.0.2", "10.0.0.3"),
        # Malformed: the last good one.
        ("10.0.0.1", b"203.0.113.5, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", b"unknown", "10.0.0.1"),
        ("10.0.0.1", b"203.0.113.5,,10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", b"203.0.113.5, ", "10.0.0.1"),
        ("10.0.0.1", b"\xff", "10.0.0.1"),
        ("10.0.0.1", b"fe80::1%eth0", "10.0.0.1"),
        ("10.0.0.1", b"[2001:db8::9", "10.0.0.1"),
        ("10.0.0.1", b"[2001:db8::9]x", "10.0.0.1"),
        ("10.0.0.1", b"203.0.113.5:http", "10.0.0.1"),
        # One spelling.
        ("::ffff:10.0.0.1", b"::ffff:203.0.113.5", "203.0.113.5"),
        ("::ffff:203.0.113.9", b"1.1.1.1", "203.0.113.9"),
        ("::ffff:zz", b"1.1.1.1", "::ffff:zz"),
        ("2001:db8:1::1", b"2001:0DB8:0:0::9", "2001:db8::9"),
        # With a port, as some load balancers write it.
        ("10.0.0.1", b"203.0.113.5:4711", "203.0.113.5"),
        ("10.0.0.1", b"[2001:db8::9]:4711", "2001:db8::9"),
        ("10.0.0.1", b"[2001:db8::9]", "2001:db8::9"),
        # A Unix socket has no peer address.
        ("", b"203.0.113.5", ""),
    ],
)
def test_client_ip(peer: str, forwarded_for: bytes | None, expected: str) -> None:
    assert client_ip(peer, forwarded_for, PROXIES) == expected


@pytest.mark.parametrize(
    ("peer", "expected"), [("1.2.3.4", "1.2.3.4"), ("::ffff:1.2.3.4", "1.2.3.4"), ("::1", "::1")]
)
def test_without_trusted_proxies_it_is_the_peer(peer: str, expected: str) -> None:
    assert client_ip(peer, b"9.9.9.9", TrustedProxies()) == expected
