"""Who may do what."""

import pytest

from controlplane.access.caller import Caller, Role


@pytest.mark.parametrize(
    ("role", "contains"),
    [
        (Role.VIEWER, {Role.VIEWER}),
        (Role.OPERATOR, {Role.VIEWER, Role.OPERATOR}),
        (Role.ADMIN, set(Role)),
        (Role.PROXY, {Role.PROXY}),
    ],
)
def test_a_role_may_do_what_the_roles_in_it_may(role: Role, contains: set[Role]) -> None:
    caller = Caller("ada", role)
    assert {each for each in Role if caller.is_at_least(each)} == contains


def test_without_a_scope_everything_may_be_touched() -> None:
    caller = Caller("ada", Role.OPERATOR)
    assert caller.may_touch("shop")
    assert caller.may_touch(None)


def test_a_scope_names_services_and_leaves_out_what_belongs_to_none() -> None:
    caller = Caller("ada", Role.OPERATOR, frozenset({"shop"}))
    assert caller.may_touch("shop")
    assert not caller.may_touch("cart")
    assert not caller.may_touch(None)
