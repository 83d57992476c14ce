"""Owns the use cases of tokens: making one, giving it a new secret, revoking it. Never keeps, logs
or audits a secret: its text leaves here once, in the answer to whoever asked for it.

Each is one transaction with its entry in the audit log; then this control plane's book is brought
up to date before the answer, and the others hear of it as of every change (``following``).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from controlplane.access.bearer import keep, new_bearer
from controlplane.access.caller import Role
from controlplane.access.record import TokenRecord
from controlplane.gate import tag_of
from controlplane.model import ControlError, Order, Reply
from controlplane.operations import Edited, Operations, future
from controlplane.store.base import Store, Unit
from controlplane.tokens import GIVEN
from proxy.model.config import Name
from proxy.model.errors import ConfigError, Problem

_Write = Callable[[Unit], Awaitable[Edited]]

FIRST = "first"
HERE = "splitway-control"
"""The author of what was done on the store itself."""
_RESERVED = {
    GIVEN: "whoever has the token that the server is started with",
    HERE: "what is done on the store itself",
}
MAX_LIVING = 10_000
MAX_GRACE_S = 86_400
TokenName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$(?!\n)",
        description="Letters, digits, `.`, `_`, `-`",
    ),
]


class TokenRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a token is to be."""

    name: TokenName
    """What the audit log calls who has it; no two living tokens have the same."""
    role: Role
    services: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=100)] | None = None
    """Its scope; left out: all, and what belongs to none."""
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None
    """With its zone; left out: never."""
    reason: Annotated[str, Meta(max_length=500)] = ""


class TokenView(msgspec.Struct, frozen=True):
    """One token, without its secret."""

    id: str
    name: str
    role: Role
    services: tuple[str, ...] | None
    living: bool
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    rotated_at: datetime | None
    old_until: datetime | None
    """Until when the secret before the last rotation works."""
    used_at: datetime | None
    """To about a minute."""


class IssuedToken(TokenView, frozen=True):
    """The same with the token itself, which is told this once."""

    token: str


class NameTakenError(ControlError):
    """A living token has that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is a living token named {name!r}; take another name or revoke it")


class UnknownTokenError(ControlError):
    """No token has that id."""

    def __init__(self, ident: str) -> None:
        super().__init__(f"there is no token {ident!r}; GET /v1/tokens lists them")


class TokenOverError(ControlError):
    """The token is revoked or expired."""

    def __init__(self, record: TokenRecord) -> None:
        what = "expired" if record.revoked_at is None else "revoked"
        super().__init__(f"token {record.id!r} ({record.name}) is {what}; make a new one")


class NotFirstError(ControlError):
    """There have been tokens before."""


class Issuing:
    """What can be done with tokens. Every method raises StoreError.

    Args:
        changed: called after each change, before it is answered.
    """

    def __init__(
        self,
        store: Store,
        operations: Operations,
        wall: Callable[[], datetime],
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._operations = operations
        self._wall = wall
        self._changed = changed

    async def create(self, wanted: TokenRequest, order: Order, *, first: bool = False) -> Reply:
        """Makes a token; the reply holds its text.

        Args:
            first: only if there never was one.

        Raises: ConfigError, NameTakenError; NotFirstError.
        """
        now = self._wall()
        if problems := list(_problems(wanted)):
            raise ConfigError(problems)
        expires_at = future("expires_at", wanted.expires_at, now)
        bearer = new_bearer()
        kept = await asyncio.to_thread(keep, bearer.secret)

        async def write(unit: Unit) -> Edited:
            changes = await unit.token_changes()
            if first and changes:
                raise NotFirstError("there have been tokens")
            await _check_room(unit, wanted.name, now)
            record = TokenRecord(
                id=bearer.id,
                number=changes + 1,
                name=wanted.name,
                role=wanted.role,
                services=wanted.services,
                kept=kept,
                created_at=now,
                created_by=order.author,
                expires_at=expires_at,
            )
            if not order.dry_run:
                await unit.put_token(record, now)
            view = view_of(record, now)
            return Edited({}, view, _issued(view, bearer.text), "", _tag(record))

        return await self._issue(write, order, ("token.create", f"tokens.{wanted.name}"))

    async def rotate(self, ident: str, grace_s: int, order: Order) -> Reply:
        """Gives a token a new secret; the reply holds its text.

        Args:
            grace_s: for so long the secret before works on; the one before that ends now.

        Raises: UnknownTokenError, TokenOverError.
        """
        now = self._wall()
        bearer = new_bearer(ident)
        kept = await asyncio.to_thread(keep, bearer.secret)

        async def write(unit: Unit) -> Edited:
            record = await _found(unit, ident)
            if not record.is_living(now):
                raise TokenOverError(record)
            turned = msgspec.structs.replace(
                record,
                kept=kept,
                rotated_at=now,
                old_kept=record.kept if grace_s else None,
                old_until=now + timedelta(seconds=grace_s) if grace_s else None,
            )
            if not order.dry_run:
                await unit.put_token(turned, now)
            view = view_of(turned, now)
            issued = _issued(view, bearer.text)
            return Edited(view_of(record, now), view, issued, _tag(record), _tag(turned))

        return await self._issue(write, order, ("token.rotate", f"tokens.{ident}"))

    async def revoke(self, ident: str, order: Order) -> Reply:
        """Ends a token; one that is revoked already stays as it is.

        Raises: UnknownTokenError, KeyReusedError.
        """
        now = self._wall()

        async def write(unit: Unit) -> Edited:
            record = await _found(unit, ident)
            if record.revoked_at is not None:
                view, tag = view_of(record, now), _tag(record)
                return Edited(view, view, view, tag, tag)
            over = msgspec.structs.replace(record, revoked_at=now, old_kept=None, old_until=None)
            if not order.dry_run:
                await unit.put_token(over, now)
            view = view_of(over, now)
            return Edited(view_of(record, now), view, view, _tag(record), _tag(over))

        return await self._edit(write, order, ("token.revoke", f"tokens.{ident}"))

    async def first(self) -> str | None:
        """Makes an administrator's token if the store never had a token; gives its text then.

        Of several control planes that start at once one makes it.
        """
        async with self._store.reading() as unit:
            if await unit.token_changes():
                return None
        try:
            reply = await self.create(
                TokenRequest(FIRST, Role.ADMIN), Order(HERE, "the first start"), first=True
            )
        except NotFirstError:
            return None
        return msgspec.json.decode(reply.body, type=IssuedToken).token

    async def has_admin(self) -> bool:
        """Whether an administrator's token is living."""
        now = self._wall()
        async with self._store.reading() as unit:
            found = await unit.unrevoked_tokens()
        return any(each.role is Role.ADMIN and each.is_living(now) for each in found)

    async def _issue(self, write: _Write, order: Order, what: tuple[str, str]) -> Reply:
        # A reply that is kept would hold the secret.
        return await self._edit(write, msgspec.structs.replace(order, key=""), what)

    async def _edit(self, write: _Write, order: Order, what: tuple[str, str]) -> Reply:
        reply = await self._operations.edit(write, order, what)
        if not order.dry_run:
            await self._changed()
        return reply


def view_of(record: TokenRecord, now: datetime) -> TokenView:
    """The token as it may be shown."""
    return TokenView(
        id=record.id,
        name=record.name,
        role=record.role,
        services=record.services,
        living=record.is_living(now),
        created_at=record.created_at,
        created_by=record.created_by,
        expires_at=record.expires_at,
        revoked_at=record.revoked_at,
        rotated_at=record.rotated_at,
        old_until=record.old_until,
        used_at=record.used_at,
    )


def _tag(record: TokenRecord) -> str:
    """Of what an order changes: a token that was only used since is the same one."""
    return tag_of((record.id, record.rotated_at, record.revoked_at))


def _issued(view: TokenView, text: str) -> IssuedToken:
    return IssuedToken(**msgspec.structs.asdict(view), token=text)


def _problems(wanted: TokenRequest) -> Iterator[Problem]:
    if who := _RESERVED.get(wanted.name.casefold()):
        yield Problem("name", f"{wanted.name!r} is what the audit log calls {who}; take another")
    if wanted.role is Role.PROXY and wanted.services is not None:
        message = "a proxy's token has no scope, because snapshots are whole; leave it out"
        yield Problem("services", message)


async def _check_room(unit: Unit, name: str, now: datetime) -> None:
    living = [each for each in await unit.unrevoked_tokens() if each.is_living(now)]
    if any(each.name == name for each in living):
        raise NameTakenError(name)
    if len(living) >= MAX_LIVING:
        message = f"there are {len(living)} living tokens, which is the most; revoke some"
        raise ConfigError([Problem("", message)])


async def _found(unit: Unit, ident: str) -> TokenRecord:
    record = await unit.token(ident)
    if record is None:
        raise UnknownTokenError(ident)
    return record
