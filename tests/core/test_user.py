import pytest

from proxy.core.forwarded import TrustedProxies
from proxy.core.user import NOBODY, compile_user, user_of
from proxy.model.config import GeneratedId, KeyFrom, Sticky
from tests.support.heads import Head

NOBODY_TRUSTED = TrustedProxies(())
ID = b"0123456789abcdefghijkl"


def user(sticky: Sticky, fields: list[tuple[str, str]], *cookies: bytes) -> int:
    find = compile_user(sticky, NOBODY_TRUSTED)
    assert find is not None
    return find(Head("/", *fields), "10.0.0.7", cookies)


def test_whoever_has_one_key_is_one_user_wherever_it_is_found() -> None:
    sticky = Sticky((KeyFrom(header="X-User"), KeyFrom(cookie="user")))
    known = user_of(b"ada")
    assert user(sticky, [("x-user", "ada")]) == known
    assert user(sticky, [("cookie", "a=b; user=ada")]) == known
    assert user(sticky, []) == NOBODY
    assert user(Sticky(("client_ip",)), []) == user_of(b"10.0.0.7")


@pytest.mark.parametrize(
    ("key", "cookie"),
    [("generated", "splitway_id"), (KeyFrom(generated=GeneratedId(cookie="id")), "id")],
)
def test_a_new_user_is_known_by_the_id_that_the_answer_gives(key: KeyFrom, cookie: str) -> None:
    sticky = Sticky((KeyFrom(header="X-User"), key))
    name = cookie.encode()
    made = name + b"=" + ID + b"; Path=/; HttpOnly"
    assert user(sticky, [], b"pin=x; Path=/", made) == user_of(ID)
    assert user(sticky, [("cookie", f"{cookie}={ID.decode()}")]) == user_of(ID)
    assert user(sticky, [], b"pin=x; Path=/") == NOBODY
    assert user(sticky, []) == NOBODY


def test_where_nobody_has_a_key_nobody_looks() -> None:
    assert compile_user(Sticky(()), NOBODY_TRUSTED) is None
