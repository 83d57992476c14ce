import base64
import itertools
import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.forwarded import TrustedProxies
from proxy.core.sticky import Key, compile_sticky, first_header
from proxy.model.config import GeneratedId, KeyFrom, KeySource, Sticky
from tests.support.heads import Head

PEER = "203.0.113.9"
OUR_ID = "Aa0_-Aa0_-Aa0_-Aa0_-Aa"


def find(
    *sources: KeySource, head: Head, peer: str = PEER, trusted: tuple[str, ...] = ()
) -> Key | None:
    fresh = (f"fresh-{number:016d}" for number in itertools.count())
    return compile_sticky(Sticky(key=sources), TrustedProxies(trusted), fresh.__next__)(head, peer)


def value(*sources: KeySource, head: Head) -> bytes | None:
    key = find(*sources, head=head)
    return key.value if key else None


def bearer(payload: object, scheme: str = "Bearer") -> Head:
    text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    middle = base64.urlsafe_b64encode(text).rstrip(b"=").decode()
    return Head("/", ("authorization", f"{scheme} e30.{middle}.c2ln"))


def test_no_source_no_key() -> None:
    assert find(head=Head("/", ("x-user-id", "u1"))) is None


def test_header() -> None:
    source = KeyFrom(header="X-User-Id")
    assert find(source, head=Head("/", ("x-user-id", "u1"))) == Key(b"u1", "header")
    assert find(source, head=Head("/", ("x-user-id", ""))) is None
    assert find(source, head=Head("/")) is None


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("session=u1", b"u1"),
        ("a=b; session=u1;c=d", b"u1"),
        ('session="u1"', b"u1"),
        ('session="', b'"'),
        ('session="u1', b'"u1'),
        ("session=u1; session=u2", b"u1"),
        ("session=a=b", b"a=b"),
        (" session = u1 ", b"u1"),
        ("Session=u1", None),
        ("my_session=u1; x=session", None),
        ("session", None),
        ("session=", None),
        ("a=b", None),
    ],
)
def test_cookie(field: str, expected: bytes | None) -> None:
    assert value(KeyFrom(cookie="session"), head=Head("/", ("cookie", field))) == expected


def test_cookie_without_a_cookie_field() -> None:
    assert find(KeyFrom(cookie="session"), head=Head("/")) is None


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/a?user=u1", b"u1"),
        ("/a?b&user=u1&user=u2", b"u1"),
        ("/a?us%65r=u%201+2", b"u 1 2"),
        ("/a?user=a=b", b"a=b"),
        ("/a?user=%zz%C3%A9", b"%zz\xc3\xa9"),
        ("/a?User=u1", None),
        ("/a?user=", None),
        ("/a?user", None),
        ("/a?", None),
        ("/user=u1", None),
    ],
)
def test_query(target: str, expected: bytes | None) -> None:
    assert value(KeyFrom(query="user"), head=Head(target)) == expected


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (bearer({"sub": "u1"}), b"u1"),
        (bearer({"sub": "jos\u00e9\u00ff?>"}), "jos\u00e9\u00ff?>".encode()),
        (bearer({"sub": 42, "iat": 1}, scheme="bearer"), b"42"),
        (bearer({"sub": 1.5}), b"1.5"),
        (bearer({"sub": True}), None),
        (bearer({"sub": None}), None),
        (bearer({"sub": ["u1"]}), None),
        (bearer({"sub": ""}), None),
        (bearer({"name": "u1"}), None),
        (bearer(["sub"]), None),
        (bearer(b'{"sub": "u1"'), None),
        (bearer(b'{"sub": "\xff"}'), None),
        (bearer(b'{"sub": "\\ud800"}'), None),
        (bearer(b'{"sub": ' + b"[" * 20_000), None),
        (bearer(b'{"sub": ' + b"1" * 20_000 + b"}"), None),
        (bearer({"sub": "u1"}, scheme="Basic"), None),
        (Head("/", ("authorization", "Bearer e30.e30")), None),
        (Head("/", ("authorization", "Bearer e30.!.c2ln")), None),
        (Head("/", ("authorization", "Bearer")), None),
        (Head("/"), None),
    ],
)
def test_jwt(head: Head, expected: bytes | None) -> None:
    assert value(KeyFrom(jwt="sub"), head=head) == expected


@given(st.binary(max_size=200))
def test_no_token_breaks_the_request(payload: bytes) -> None:
    token = base64.urlsafe_b64encode(payload).decode()
    for text in (f"Bearer a.{token}.b", f"Bearer a.{payload.decode('latin-1')}.b"):
        found = value(KeyFrom(jwt="sub"), head=Head("/", ("authorization", text)))
        assert found is None or isinstance(found, bytes)


@pytest.mark.parametrize(
    ("peer", "trusted", "expected"),
    [
        (PEER, (), Key(PEER.encode(), "client_ip")),
        (PEER, ("203.0.113.0/24",), Key(b"198.51.100.2", "client_ip")),
        ("::ffff:203.0.113.9", (), Key(b"203.0.113.9", "client_ip")),
        ("", (), None),
    ],
)
def test_client_ip(peer: str, trusted: tuple[str, ...], expected: Key | None) -> None:
    head = Head("/", ("x-forwarded-for", "198.51.100.1, 198.51.100.2"))
    assert find("client_ip", head=head, peer=peer, trusted=trusted) == expected


def test_client_ip_reads_every_line_of_the_field() -> None:
    head = Head("/", ("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "198.51.100.2"))
    found = find("client_ip", head=head, trusted=("203.0.113.0/24",))
    assert found == Key(b"198.51.100.2", "client_ip")


def test_generated_keeps_an_id_we_made() -> None:
    head = Head("/", ("cookie", f"splitway_id={OUR_ID}"))
    sources: tuple[KeySource, ...] = ("generated", KeyFrom(generated=GeneratedId()))
    for source in sources:
        assert find(source, head=head) == Key(OUR_ID.encode(), "generated")


@pytest.mark.parametrize(
    "field", ["", "splitway_id=", f"splitway_id={OUR_ID}x", f"splitway_id={OUR_ID[:-1]}.", "a=b"]
)
def test_generated_replaces_what_we_did_not_make(field: str) -> None:
    assert find("generated", head=Head("/", ("cookie", field))) == Key(
        b"fresh-0000000000000000",
        "generated",
        b"splitway_id=fresh-0000000000000000; Path=/; HttpOnly; SameSite=Lax; Max-Age=31536000",
    )


def test_the_id_we_give_is_the_id_we_take_back() -> None:
    first = find("generated", head=Head("/"))
    assert first is not None
    assert first.set_cookie is not None
    pair = first.set_cookie.decode().partition(";")[0]
    assert find("generated", head=Head("/", ("cookie", pair))) == Key(first.value, "generated")


def test_generated_as_configured() -> None:
    source = KeyFrom(generated=GeneratedId(cookie="who", max_age_s=0))
    assert find(source, head=Head("/")) == Key(
        b"fresh-0000000000000000",
        "generated",
        b"who=fresh-0000000000000000; Path=/; HttpOnly; SameSite=Lax",
    )


def test_a_source_with_nothing_set_generates() -> None:
    # The configuration's rules refuse it; a key is still better than a crash.
    found = find(KeyFrom(), head=Head("/"))
    assert found is not None
    assert found.source == "generated"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (Head("/?u=q", ("x-user-id", "h"), ("cookie", "s=c")), Key(b"h", "header")),
        (Head("/?u=q", ("x-user-id", ""), ("cookie", "s=c")), Key(b"c", "cookie")),
        (Head("/?u=q", ("cookie", "s=")), Key(b"q", "query")),
        (Head("/?u="), Key(PEER.encode(), "client_ip")),
    ],
)
def test_the_first_non_empty_value_wins(head: Head, expected: Key) -> None:
    chain: tuple[KeySource, ...] = (
        KeyFrom(header="X-User-Id"),
        KeyFrom(cookie="s"),
        KeyFrom(query="u"),
        "client_ip",
    )
    assert find(*chain, head=head) == expected


@given(st.text(string.ascii_letters + string.digits + "-_.", min_size=1))
def test_a_key_is_the_value_wherever_it_was_found(user: str) -> None:
    heads = {
        KeyFrom(header="x-user-id"): Head("/", ("x-user-id", user)),
        KeyFrom(cookie="u"): Head("/", ("cookie", f"u={user}")),
        KeyFrom(query="u"): Head(f"/?u={user}"),
        KeyFrom(jwt="sub"): bearer({"sub": user}),
    }
    assert {value(source, head=head) for source, head in heads.items()} == {user.encode()}


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ((), None),
        (("client_ip", KeyFrom(header="X-A")), None),
        ((KeyFrom(cookie="a"),), None),
        ((KeyFrom(header="X-A"), "client_ip"), b"x-a"),
    ],
)
def test_first_header(sources: tuple[KeySource, ...], expected: bytes | None) -> None:
    assert first_header(Sticky(key=sources)) == expected
