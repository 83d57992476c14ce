import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from sqlalchemy import select

from controlplane.access.caller import Role
from controlplane.access.record import TokenRecord
from controlplane.store.base import StoreError
from controlplane.store.tables import tokens
from controlplane.store.tokens import FORGOTTEN
from tests.controlplane.store.test_sql import opened

NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def token(number: int, **fields: object) -> TokenRecord:
    ident = f"{number:012x}"
    record = TokenRecord(
        ident, number, f"t{number}", Role.OPERATOR, None, "scrypt:kept", NOW, "admin"
    )
    return msgspec.structs.replace(record, **fields)


def test_tokens_are_kept_as_they_are(url: str) -> None:
    whole = token(
        2,
        role=Role.VIEWER,
        services=("shop", "cart"),
        expires_at=NOW + MINUTE,
        rotated_at=NOW,
        old_kept="scrypt:old",
        old_until=NOW + MINUTE,
        used_at=NOW,
    )

    async def scenario() -> None:
        async with opened(url) as store, store.writing() as unit:
            assert await unit.token_changes() == 0
            await unit.put_token(token(1), NOW)
            await unit.put_token(whole, NOW)
        async with opened(url) as store, store.reading() as unit:
            assert await unit.token_changes() == 2
            assert await unit.unrevoked_tokens() == [token(1), whole]
            assert await unit.token(whole.id) == whole
            assert await unit.token("0") is None
            assert await unit.tokens(1, None) == [whole]
            assert await unit.tokens(5, 2) == [token(1)]

    asyncio.run(scenario())


def test_a_revoked_one_is_shown_and_not_used(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store, store.writing() as unit:
            await unit.put_token(token(1), NOW)
            revoked = token(1, revoked_at=NOW)
            await unit.put_token(revoked, NOW)
            assert await unit.unrevoked_tokens() == []
            assert await unit.tokens(5, None) == [revoked]

    asyncio.run(scenario())


def test_use_is_noted_forwards_only_and_is_no_change(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store, store.writing() as unit:
            await unit.put_token(token(1), NOW)
            await unit.use_tokens({token(1).id: NOW, "gone": NOW})
            await unit.use_tokens({token(1).id: NOW - MINUTE})
            assert await unit.token(token(1).id) == token(1, used_at=NOW)
            await unit.use_tokens({token(1).id: NOW + MINUTE})
            assert await unit.token(token(1).id) == token(1, used_at=NOW + MINUTE)
            assert await unit.token_changes() == 1

    asyncio.run(scenario())


def test_what_has_long_been_over_goes(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store, store.writing() as unit:
            await unit.put_token(token(1, expires_at=NOW), NOW)
            await unit.put_token(token(2, revoked_at=NOW), NOW)
            await unit.put_token(token(3, expires_at=NOW + MINUTE, revoked_at=NOW), NOW)
            await unit.put_token(token(4), NOW + FORGOTTEN)
            assert len(await unit.tokens(9, None)) == 4
            await unit.put_token(token(5), NOW + FORGOTTEN + MINUTE)
            assert [each.number for each in await unit.tokens(9, None)] == [5, 4]
            assert await unit.token_changes() == 5

    asyncio.run(scenario())


def test_a_transaction_that_fails_makes_none(url: str) -> None:
    async def fail(store: object) -> None:
        async with store.writing() as unit:  # type: ignore[attr-defined] # any store
            await unit.put_token(token(1), NOW)
            raise StoreError("no")

    async def scenario() -> None:
        async with opened(url) as store:
            with pytest.raises(StoreError):
                await fail(store)
            async with store.reading() as unit:
                assert await unit.token_changes() == 0
            async with store._database.reading() as connection:
                assert (await connection.execute(select(tokens))).all() == []

    asyncio.run(scenario())
