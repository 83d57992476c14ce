"""Owns who calls and what they may do. Never learns how they proved who they are."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    """What a caller is for. ``proxy`` opens the stream and nothing else."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    PROXY = "proxy"


_CONTAINS: dict[Role, frozenset[Role]] = {
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.OPERATOR: frozenset({Role.VIEWER, Role.OPERATOR}),
    Role.ADMIN: frozenset(Role),
    Role.PROXY: frozenset({Role.PROXY}),
}


@dataclass(frozen=True)
class Caller:
    """Whoever made a request, as far as it was proven."""

    name: str
    """What the audit log says: a token's name, or what the identity provider calls the person."""
    role: Role
    services: frozenset[str] | None = None
    """The services they may see and change; ``None`` means all, and what belongs to none."""
    until: datetime | None = None
    """When the proof ends (UTC); ``None``: not by itself."""

    def is_at_least(self, role: Role) -> bool:
        """Whether they may do what ``role`` may do."""
        return role in _CONTAINS[self.role]

    def may_touch(self, service: str | None) -> bool:
        """Whether a service is in their scope; ``None`` stands for what belongs to no service."""
        return self.services is None or (service is not None and service in self.services)
