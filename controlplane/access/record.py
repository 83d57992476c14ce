"""Owns what is known of a token that the store keeps. Pure; never holds the token itself.

A token has one secret; after a rotation the one before works on for a while. Both are here only as
what ``controlplane.access.bearer`` keeps of them. Source: docs/adr/0019-tokens.md.
"""

from datetime import datetime

import msgspec

from controlplane.access.caller import Caller, Role


class TokenRecord(msgspec.Struct, frozen=True):
    """One token, living or over."""

    id: str
    """Public; stands in the token's text."""
    number: int
    """The place in the order in which tokens were made, growing."""
    name: str
    """What the audit log calls who has it; no two living tokens have the same."""
    role: Role
    services: tuple[str, ...] | None
    """Its scope; ``None`` means all."""
    kept: str
    """What is kept of the secret."""
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    rotated_at: datetime | None = None
    old_kept: str | None = None
    """What is kept of the secret before the last rotation."""
    old_until: datetime | None = None
    """Until when that one works."""
    used_at: datetime | None = None
    """To the minute."""

    def is_living(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def secrets(self) -> tuple[str, ...]:
        """What is kept of each secret, the newer first."""
        return (self.kept,) if self.old_kept is None else (self.kept, self.old_kept)

    def accepts(self, kept: str, now: datetime) -> bool:
        """Whether the secret of which that is kept is good now."""
        if not self.is_living(now):
            return False
        is_old = kept == self.old_kept and self.old_until is not None and now < self.old_until
        return kept == self.kept or is_old

    def caller(self, kept: str) -> Caller:
        """Who calls with the secret of which that is kept."""
        ends = [self.expires_at, self.old_until if kept != self.kept else None]
        until = min((each for each in ends if each is not None), default=None)
        scope = None if self.services is None else frozenset(self.services)
        return Caller(self.name, self.role, scope, until)
