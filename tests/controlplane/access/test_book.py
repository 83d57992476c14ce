import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from controlplane.access import book as module
from controlplane.access.bearer import Bearer, fits, keep, new_bearer
from controlplane.access.book import TokenBook
from controlplane.access.caller import Role
from controlplane.access.record import TokenRecord

NOW = datetime(2026, 1, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Wall:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def made(name: str = "ada", **fields: object) -> tuple[Bearer, TokenRecord]:
    bearer = new_bearer()
    record = TokenRecord(bearer.id, 1, name, Role.VIEWER, None, keep(bearer.secret), NOW, "admin")
    return bearer, msgspec.structs.replace(record, **fields)


def book_of(*records: TokenRecord, wall: Wall | None = None) -> TokenBook:
    book = TokenBook(wall or Wall())
    book.load(1, records)
    return book


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The secrets that are checked by scrypt."""
    checks: list[str] = []

    def check(secret: str, kept: str) -> bool:
        checks.append(secret)
        return fits(secret, kept)

    monkeypatch.setattr(module, "fits", check)
    return checks


def test_a_token_is_found_once_it_was_checked() -> None:
    bearer, record = made()

    async def scenario() -> None:
        book = book_of(record)
        assert book.find(bearer.text) is None
        admitted = await book.check(bearer.text)
        assert admitted is not None
        assert admitted.caller == record.caller(record.kept)
        assert book.find(bearer.text) is admitted
        assert bearer.secret not in repr(vars(book))

    asyncio.run(scenario())


def test_nobody_else_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    bearer, record = made()
    checks = counted(monkeypatch)

    async def scenario() -> None:
        book = book_of(record)
        stranger, _ = made()
        for text in ("", "sw_", stranger.text, bearer.text[:-1], bearer.text + "x"):
            assert await book.check(text) is None
        assert checks == []  # no scrypt for ids that there are not
        wrong = Bearer(bearer.id, stranger.secret).text
        assert await book.check(wrong) is None
        assert book.find(wrong) is None
        assert checks == [stranger.secret]
        assert book._known == {}

    asyncio.run(scenario())


def test_many_at_once_cost_one_check(monkeypatch: pytest.MonkeyPatch) -> None:
    bearer, record = made()
    checks = counted(monkeypatch)

    async def scenario() -> None:
        book = book_of(record)
        hasty = asyncio.create_task(book.check(bearer.text))
        others = [asyncio.create_task(book.check(bearer.text)) for _ in range(100)]
        await asyncio.sleep(0)
        hasty.cancel()  # who leaves takes nothing from the others
        assert all(await asyncio.gather(*others))
        assert len(checks) == 1
        assert book._checks == {}

    asyncio.run(scenario())


def test_what_was_found_is_over_with_the_record() -> None:
    bearer, record = made()

    async def scenario() -> None:
        book = book_of(record)
        admitted = await book.check(bearer.text)
        assert admitted is not None
        assert admitted.holds(NOW)
        book.load(2, [])
        assert not admitted.holds(NOW)
        assert book.find(bearer.text) is None
        assert await book.check(bearer.text) is None
        assert not admitted.holds(NOW)

    asyncio.run(scenario())


def test_expiry_is_judged_by_the_clock() -> None:
    bearer, record = made(expires_at=NOW + HOUR)

    async def scenario() -> None:
        wall = Wall()
        book = book_of(record, wall=wall)
        admitted = await book.check(bearer.text)
        assert admitted is not None
        assert admitted.caller.until == NOW + HOUR
        wall.now += HOUR
        assert book.find(bearer.text) is None
        assert not admitted.holds(wall.now)
        assert await book.check(bearer.text) is None
        wall.now -= HOUR  # it was set back: the record says what it said
        assert book.find(bearer.text) is admitted

    asyncio.run(scenario())


def test_both_secrets_work_until_the_grace_is_over() -> None:
    old, record = made()
    new = new_bearer(old.id)
    turned = msgspec.structs.replace(
        record, kept=keep(new.secret), old_kept=record.kept, old_until=NOW + HOUR
    )

    async def scenario() -> None:
        wall = Wall()
        book = book_of(record, wall=wall)
        before = await book.check(old.text)
        book.load(2, [turned])
        assert book.find(old.text) is before  # known still: no second check
        after = await book.check(new.text)
        assert before is not None
        assert after is not None
        wall.now += HOUR
        assert not before.holds(wall.now)
        assert book.find(old.text) is None
        assert book.find(new.text) is after

    asyncio.run(scenario())


def test_what_is_revoked_while_it_is_checked_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    bearer, record = made()

    async def scenario() -> None:
        book = book_of(record)

        def slow(secret: str, kept: str) -> bool:
            book.load(2, [])
            return fits(secret, kept)

        monkeypatch.setattr(module, "fits", slow)
        assert await book.check(bearer.text) is None

    asyncio.run(scenario())


def test_use_is_told_once() -> None:
    bearer, record = made()

    async def scenario() -> None:
        wall = Wall()
        book = book_of(record, wall=wall)
        assert book.take_used() == {}
        admitted = await book.check(bearer.text)
        assert book.take_used() == {bearer.id: NOW}
        assert book.take_used() == {}
        wall.now += HOUR
        assert admitted is not None
        assert admitted.holds(wall.now)  # an open stream is use, too
        assert book.take_used() == {bearer.id: NOW + HOUR}

    asyncio.run(scenario())
