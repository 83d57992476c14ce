from datetime import UTC, datetime, timedelta

import pytest

from controlplane.access.caller import Caller, Role
from controlplane.access.record import TokenRecord

NOW = datetime(2026, 1, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


def record(**fields: object) -> TokenRecord:
    whole: dict[str, object] = {
        "id": "0123456789ab",
        "number": 1,
        "name": "ada",
        "role": Role.OPERATOR,
        "services": ("shop",),
        "kept": "new",
        "created_at": NOW,
        "created_by": "admin",
    }
    return TokenRecord(**{**whole, **fields})  # type: ignore[arg-type] # by name


@pytest.mark.parametrize(
    ("fields", "is_living"),
    [
        ({}, True),
        ({"expires_at": NOW + HOUR}, True),
        ({"expires_at": NOW}, False),
        ({"revoked_at": NOW}, False),
        ({"revoked_at": NOW, "expires_at": NOW + HOUR}, False),
    ],
)
def test_a_token_lives_until_it_is_revoked_or_expired(
    fields: dict[str, object], is_living: bool
) -> None:
    assert record(**fields).is_living(NOW) is is_living
    assert record(**fields).accepts("new", NOW) is is_living


def test_the_secret_before_works_for_its_grace() -> None:
    turned = record(old_kept="old", old_until=NOW + HOUR)
    assert turned.accepts("old", NOW)
    assert turned.accepts("new", NOW + HOUR)
    assert not turned.accepts("old", NOW + HOUR)
    assert not turned.accepts("other", NOW)
    over = record(old_kept="old", old_until=NOW + HOUR, expires_at=NOW)
    assert not over.accepts("old", NOW)


def test_the_caller_has_the_token_s_name_role_scope_and_end() -> None:
    scope = frozenset({"shop"})
    assert record().caller("new") == Caller("ada", Role.OPERATOR, scope)
    assert record(services=None).caller("new").services is None
    ending = record(expires_at=NOW + 2 * HOUR, old_kept="old", old_until=NOW + HOUR)
    assert ending.caller("new").until == NOW + 2 * HOUR
    assert ending.caller("old").until == NOW + HOUR
