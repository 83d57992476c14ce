"""Owns which caller a person's claims make. Never verifies a token: the claims are believed here.

Source: OpenID Connect Core 1.0 sections 2 and 5.1 (claims); RFC 8693 section 4.2 (``scope``).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from controlplane.access.caller import Caller, Role
from proxy.model.config import Name

NAME_CLAIM = "email"
PREFIX = "oidc:"
"""Before a person's name: no claim can pass for the name of a token."""
FORM = "CLAIM=VALUE:ROLE or CLAIM=VALUE:ROLE@SERVICE,SERVICE"

_RULE = re.compile(r"([^=\s]+)=(.+):([a-z]+)(?:@([^@:]+))?")
_RANKS = {Role.PROXY: 0, Role.VIEWER: 1, Role.OPERATOR: 2, Role.ADMIN: 3}
_LISTS_OF_WORDS = frozenset({"scope", "scp"})
"""One text of several words (RFC 8693)."""
_MAX_NAME = 200


@dataclass(frozen=True)
class Rule:
    """Whoever has that value in that claim has that role."""

    claim: str
    """A claim, or the way to one within another: ``realm_access.roles``."""
    value: str
    role: Role
    services: frozenset[str] | None = None
    """As in ``Caller``."""


@dataclass(frozen=True)
class OidcSettings:
    """What the command line says about an identity provider."""

    issuer: str
    """Its URL, exactly as it calls itself."""
    audience: str
    """What tokens for this control plane are made out to."""
    rules: tuple[Rule, ...]
    name_claim: str = NAME_CLAIM
    """What the audit log says of a person; ``sub`` where they have none."""


def parse_rule(text: str) -> Rule:
    """A rule as it is written: ``groups=platform:operator@shop,blog``. The value may hold ``:``,
    ``=`` and ``@``: the claim ends at the first ``=``, and the role follows the last ``:``.

    Raises: ValueError saying what to write instead.
    """
    found = _RULE.fullmatch(text)
    if found is None:
        raise ValueError(f"expected {FORM}, got {text!r}")
    claim, value, role, services = found.groups()
    if role not in tuple(Role):
        raise ValueError(f"expected a role of {', '.join(Role)}, got {role!r}")
    if services is None:
        return Rule(claim, value, Role(role))
    if role == Role.PROXY:
        raise ValueError("proxy takes no services: a proxy is sent all of them")
    try:
        names = msgspec.convert(services.split(","), list[Name])
    except msgspec.ValidationError:
        raise ValueError(f"expected names of services after @, got {services!r}") from None
    return Rule(claim, value, Role(role), frozenset(names))


def caller_of_claims(
    claims: Mapping[str, Any], rules: Sequence[Rule], name_claim: str, until: datetime
) -> Caller | None:
    """Who calls; ``None`` where no rule holds for them.

    The highest role of those whose rules hold is theirs, with the services of all rules that give
    it; one of these rules without services gives it for everything.
    """
    believed = _believed(claims)
    held = [rule for rule in rules if rule.value in _values(believed, rule.claim)]
    name = _name(believed, name_claim)
    if not held or name is None:
        return None
    role = max((rule.role for rule in held), key=_RANKS.__getitem__)
    scopes = [rule.services for rule in held if rule.role is role]
    given = [scope for scope in scopes if scope is not None]
    services = frozenset().union(*given) if len(given) == len(scopes) else None
    return Caller(f"{PREFIX}{name}", role, services, until)


def _believed(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    """An address that the provider does not call verified is only what somebody typed there."""
    if claims.get("email_verified") in (True, "true"):
        return claims
    return {claim: value for claim, value in claims.items() if claim != "email"}


def _values(claims: Mapping[str, Any], claim: str) -> list[str]:
    value = _found(claims, claim)
    if isinstance(value, str):
        return [value, *(value.split() if claim in _LISTS_OF_WORDS else ())]
    if isinstance(value, list):
        return [each for each in value if isinstance(each, str)]
    return []


def _found(claims: Mapping[str, Any], claim: str) -> Any:
    if claim in claims:  # its name may hold dots: https://example.com/roles
        return claims[claim]
    value: Any = claims
    for part in claim.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _name(claims: Mapping[str, Any], name_claim: str) -> str | None:
    for value in (_found(claims, name_claim), claims.get("sub")):
        if isinstance(value, str) and 0 < len(value) <= _MAX_NAME and value.isprintable():
            return value
    return None
