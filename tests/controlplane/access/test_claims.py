from datetime import UTC, datetime
from typing import Any

import pytest

from controlplane.access.caller import Caller, Role
from controlplane.access.claims import Rule, caller_of_claims, parse_rule

UNTIL = datetime(2026, 1, 2, tzinfo=UTC)


def caller(claims: dict[str, Any], *rules: str, name: str = "email") -> Caller | None:
    whole = {"sub": "u-1", **claims}
    return caller_of_claims(whole, [parse_rule(rule) for rule in rules], name, UNTIL)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("groups=sre:admin", Rule("groups", "sre", Role.ADMIN)),
        (
            "groups=team:operator@shop,blog",
            Rule("groups", "team", Role.OPERATOR, frozenset({"shop", "blog"})),
        ),
        ("email=ann@example.com:viewer", Rule("email", "ann@example.com", Role.VIEWER)),
        (
            "sub=system:serviceaccount:web:p:proxy",
            Rule("sub", "system:serviceaccount:web:p", Role.PROXY),
        ),
        ("https://e.com/roles=a=b:viewer", Rule("https://e.com/roles", "a=b", Role.VIEWER)),
        ("x=a:admin:viewer", Rule("x", "a:admin", Role.VIEWER)),
    ],
)
def test_rules(text: str, rule: Rule) -> None:
    assert parse_rule(text) == rule


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected CLAIM=VALUE:ROLE"),
        ("groups:admin", "expected CLAIM=VALUE:ROLE"),
        ("groups=sre", "expected CLAIM=VALUE:ROLE"),
        ("groups=:admin", "expected CLAIM=VALUE:ROLE"),
        ("groups=sre:admin@", "expected CLAIM=VALUE:ROLE"),
        ("groups=sre:root", "expected a role of viewer, operator, admin, proxy, got 'root'"),
        ("groups=sre:viewer@shop,", "expected names of services after @"),
        ("groups=sre:viewer@a b", "expected names of services after @"),
        ("groups=sre:proxy@shop", "proxy takes no services"),
    ],
)
def test_rules_that_are_none(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_rule(text)


@pytest.mark.parametrize(
    ("claims", "holds"),
    [
        ({"roles": "sre"}, True),
        ({"roles": ["dev", "sre"]}, True),
        ({"roles": ["dev"]}, False),
        ({"roles": "sre dev"}, False),
        ({"roles": {"sre": True}}, False),
        ({"roles": [["sre"], 1, None]}, False),
        ({}, False),
    ],
)
def test_what_a_claim_holds(claims: dict[str, Any], holds: bool) -> None:
    assert (caller(claims, "roles=sre:viewer") is not None) is holds


def test_claims_within_claims_and_words() -> None:
    assert caller({"realm_access": {"roles": ["ops"]}}, "realm_access.roles=ops:viewer")
    assert caller({"a.b": "c", "a": {"b": "d"}}, "a.b=c:viewer")
    assert caller({"a.b": "c", "a": {"b": "d"}}, "a.b=d:viewer") is None
    assert caller({"a": "b"}, "a.b=c:viewer") is None
    assert caller({"scope": "openid split:write"}, "scope=split:write:operator")


def test_the_highest_role_counts_with_all_of_its_services() -> None:
    groups = {"groups": ["a", "b", "c"]}
    found = caller(groups, "groups=a:viewer", "groups=b:operator@shop", "groups=c:operator@blog")
    assert found == Caller("oidc:u-1", Role.OPERATOR, frozenset({"shop", "blog"}), UNTIL)
    found = caller(groups, "groups=a:operator", "groups=b:operator@shop")
    assert found == Caller("oidc:u-1", Role.OPERATOR, None, UNTIL)
    found = caller(groups, "groups=a:proxy", "groups=b:viewer")
    assert found == Caller("oidc:u-1", Role.VIEWER, None, UNTIL)
    assert caller(groups, "groups=z:admin") is None
    assert caller(groups) is None


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"email": "ann@example.com"}, "oidc:u-1"),
        ({"email": "ann@example.com", "email_verified": "yes"}, "oidc:u-1"),
        ({"email": "ann@example.com", "email_verified": "true"}, "oidc:ann@example.com"),
        ({"email": "ann@example.com", "email_verified": True}, "oidc:ann@example.com"),
        ({"email": "ann@example.com", "email_verified": False}, "oidc:u-1"),
        ({"email": "ann@example.com", "email_verified": "false"}, "oidc:u-1"),
        ({"email": ["ann"], "email_verified": True}, "oidc:u-1"),
        ({"email": "", "email_verified": True}, "oidc:u-1"),
        ({"email": "a\nb", "email_verified": True}, "oidc:u-1"),
        ({"email": "x" * 201, "email_verified": True}, "oidc:u-1"),
        ({"email": "a\nb", "email_verified": True, "sub": "\x1b[2J"}, None),
    ],
)
def test_names(claims: dict[str, Any], name: str | None) -> None:
    found = caller({"g": "x", **claims}, "g=x:viewer")
    assert (found.name if found else None) == name


def test_an_address_that_nobody_verified_gives_no_role() -> None:
    rule = "email=boss@example.com:admin"
    assert caller({"email": "boss@example.com", "email_verified": True}, rule)
    assert caller({"email": "boss@example.com"}, rule) is None
    assert caller({"email": "boss@example.com", "email_verified": False}, rule) is None
