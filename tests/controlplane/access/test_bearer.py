import re

import pytest

from controlplane.access.bearer import fits, keep, new_bearer, read_bearer

RFC_6750 = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


def test_a_token_is_read_back_in_its_parts() -> None:
    bearer = new_bearer()
    assert RFC_6750.fullmatch(bearer.text)
    assert read_bearer(bearer.text) == bearer
    assert new_bearer().secret != bearer.secret
    turned = new_bearer(bearer.id)
    assert (turned.id, turned.secret == bearer.secret) == (bearer.id, False)


@pytest.mark.parametrize(
    "text",
    [
        *("", "sw_", "sw_0123456789ab_", "sw_0123456789ab_short", "SW_0123456789ab_" + "x" * 43),
        *("sw_0123456789ab_" + "x" * 44, "sw_0123456789a\u00e9_" + "x" * 43, "other"),
        *("sw_0123456789ab_" + "x" * 42 + "\n", " sw_0123456789ab_" + "x" * 43),
    ],
)
def test_what_has_another_form_is_no_token(text: str) -> None:
    assert read_bearer(text) is None


def test_of_a_secret_only_salted_scrypt_is_kept() -> None:
    secret = new_bearer().secret
    kept, again = keep(secret), keep(secret)
    assert kept != again  # by its salt
    assert secret not in kept
    assert len(kept) <= 255  # the column's width
    assert fits(secret, kept)
    assert fits(secret, again)
    assert not fits(new_bearer().secret, kept)


def test_the_cost_stands_in_what_is_kept() -> None:
    # Of RFC 7914, section 12: the empty text, the empty salt, N = 16, r = 1, p = 1.
    key = "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442"
    assert fits("", f"scrypt:16:1:1::{key}")
