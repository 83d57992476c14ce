"""What is declared is told apart; whatever else clients send is one value."""

import pytest

from proxy.core.forwarded import TrustedProxies
from proxy.core.segments import compile_segments
from proxy.model.config import Segment
from tests.support.heads import Head

SEGMENTS = {
    "country": Segment(header="CF-IPCountry", values=("de", "fr")),
    "plan": Segment(cookie="plan", values=("free", "paid")),
    "beta": Segment(query="beta", values=("1",)),
    "from": Segment(networks={"office": ("10.0.0.0/8", "2001:db8::1"), "vpn": ("192.0.2.0/24",)}),
}


def found(head: Head, peer: str = "203.0.113.9", *trusted: str) -> tuple[str, ...]:
    find = compile_segments(SEGMENTS, TrustedProxies(trusted))
    assert find is not None
    return find(head, peer)


def test_none_are_none() -> None:
    assert compile_segments({}, TrustedProxies(())) is None


@pytest.mark.parametrize(
    ("head", "peer", "expected"),
    [
        (Head(), "203.0.113.9", ("country=other", "plan=other", "beta=other", "from=other")),
        (
            Head("/?beta=1", ("cf-ipcountry", "DE"), ("cookie", "a=b; plan=paid")),
            "10.1.2.3",
            ("country=de", "plan=paid", "beta=1", "from=office"),
        ),
        (
            Head("/?beta=2", ("cf-ipcountry", "../../etc")),
            "192.0.2.7",
            ("country=other", "plan=other", "beta=other", "from=vpn"),
        ),
        (Head(), "2001:db8::1", ("country=other", "plan=other", "beta=other", "from=office")),
        (Head(), "", ("country=other", "plan=other", "beta=other", "from=other")),
    ],
)
def test_segments(head: Head, peer: str, expected: tuple[str, ...]) -> None:
    assert found(head, peer) == expected


def test_the_clients_address_is_what_trusted_proxies_say() -> None:
    head = Head("/", ("x-forwarded-for", "10.1.2.3"))
    assert found(head)[3] == "from=other"
    assert found(head, "203.0.113.9", "203.0.113.0/24")[3] == "from=office"
