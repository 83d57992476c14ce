import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from controlplane.access import admission as module
from controlplane.access import book as book_module
from controlplane.access.admission import BURST, Admission, NotAdmittedError, Verifier
from controlplane.access.bearer import Bearer, fits, new_bearer
from controlplane.access.book import Admitted
from controlplane.access.caller import Caller, Role
from controlplane.access.record import TokenRecord
from controlplane.tokens import GivenToken
from tests.controlplane.access.test_book import NOW, Wall, book_of, made

ATTACKER, OTHER = "10.0.0.66", "10.0.0.1"


class People:
    """An identity provider that knows one person."""

    def __init__(self, until: datetime | None = None) -> None:
        self.until = until
        self.asked: list[str] = []

    async def caller_of(self, bearer: str) -> Caller | None:
        self.asked.append(bearer)
        if bearer != "jwt":
            return None
        return Caller("ada@example.com", Role.VIEWER, None, self.until)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REFUSED_S", 0.0)


def admission_of(*records: TokenRecord, verifiers: tuple[Verifier, ...] = ()) -> Admission:
    given = GivenToken("given")
    # A clock that stands: no bucket is filled again.
    return Admission(book_of(*records, wall=Wall()), given, verifiers, lambda: 1_000.0)


async def refused(admission: Admission, bearer: str, address: str = ATTACKER) -> float:
    with pytest.raises(NotAdmittedError) as error:
        await admission.admit(bearer, address)
    return error.value.wait_s


async def flood(admission: Admission) -> None:
    for _ in range(BURST):
        assert await refused(admission, new_bearer().text) == 0
    assert await refused(admission, "anything") > 0


def test_the_given_token_the_store_s_and_the_verifiers() -> None:
    bearer, record = made()
    people = People()

    async def scenario() -> None:
        admission = admission_of(record, verifiers=(people,))
        assert (await admission.admit("given", OTHER)).caller == Caller("admin", Role.ADMIN)
        assert (await admission.admit(bearer.text, OTHER)).caller.name == "ada"
        assert (await admission.admit("jwt", OTHER)).caller.name == "ada@example.com"
        assert await refused(admission, new_bearer().text) == 0
        assert people.asked == [
            "given",
            "jwt",
        ]  # what is of the store's form is nobody else's to judge
        assert await refused(admission, "other") == 0

    asyncio.run(scenario())


def test_what_a_verifier_proves_ends_when_it_says() -> None:
    async def scenario() -> None:
        end = NOW + timedelta(hours=1)
        person = await admission_of(verifiers=(People(end),)).admit("jwt", OTHER)
        assert person.holds(NOW)
        assert not person.holds(end)
        endless = await admission_of(verifiers=(People(),)).admit("jwt", OTHER)
        assert endless.holds(datetime.max.replace(tzinfo=UTC))

    asyncio.run(scenario())


def test_after_many_bad_values_an_address_is_told_to_wait_and_others_are_not() -> None:
    bearer, record = made()

    async def scenario() -> None:
        admission = admission_of(record)
        await flood(admission)
        assert await refused(admission, "bad", OTHER) == 0
        assert (await admission.admit(bearer.text, OTHER)).caller.name == "ada"

    asyncio.run(scenario())


def test_who_shares_the_attacker_s_address_is_let_in() -> None:
    bearer, record = made()
    new, unseen = made("bob")

    async def scenario() -> None:
        admission = admission_of(record, unseen, verifiers=(People(),))
        await admission.admit(bearer.text, ATTACKER)
        await flood(admission)
        assert (await admission.admit("given", ATTACKER)).caller.name == "admin"
        assert (await admission.admit(bearer.text, ATTACKER)).caller.name == "ada"
        assert (await admission.admit(new.text, ATTACKER)).caller.name == "bob"
        assert (await admission.admit("jwt", ATTACKER)).caller.name == "ada@example.com"

    asyncio.run(scenario())


def test_the_line_of_a_flooding_address_is_bounded_and_moves_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bearer, record = made()
    at_once = []

    async def scenario() -> None:
        admission = admission_of(record)
        await flood(admission)
        running = 0

        def check(secret: str, kept: str) -> bool:
            nonlocal running
            running += 1
            at_once.append(running)
            found = fits(secret, kept)
            running -= 1
            return found

        monkeypatch.setattr(book_module, "fits", check)
        texts = [Bearer(bearer.id, new_bearer().secret).text for _ in range(200)]
        waits = await asyncio.gather(*(refused(admission, text) for text in texts))
        assert min(waits) > 0
        assert not admission._lines

    asyncio.run(scenario())
    assert len(at_once) == module._WAITING
    assert set(at_once) == {1}


def test_a_refusal_takes_its_time_whether_the_id_is_known_or_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "REFUSED_S", 0.05)
    bearer, record = made()
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)

    async def scenario() -> None:
        admission = admission_of(record)
        await refused(admission, Bearer(bearer.id, new_bearer().secret).text)
        await refused(admission, new_bearer().text)
        await refused(admission, "garbage")

    asyncio.run(scenario())
    # The clock stands: what is left to wait is all of it, however long the check took.
    assert slept == [0.05, 0.05, 0.05]


def test_one_address_s_line_is_no_other_s(monkeypatch: pytest.MonkeyPatch) -> None:
    bearer, record = made()
    unseen, theirs = made("bob")
    leave = asyncio.Event()

    async def scenario() -> None:
        admission = admission_of(record, theirs)
        await flood(admission)
        for _ in range(BURST + 1):
            await refused(admission, new_bearer().text, OTHER)
        checked = admission._book.check

        async def check(text: str) -> Admitted | None:
            if text != unseen.text:
                await leave.wait()
            return await checked(text)

        monkeypatch.setattr(admission._book, "check", check)
        guess = Bearer(bearer.id, new_bearer().secret).text
        guesses = [
            asyncio.create_task(refused(admission, guess)) for _ in range(module._WAITING + 5)
        ]
        assert (await admission.admit(unseen.text, OTHER)).caller.name == "bob"
        assert sum(each.done() for each in guesses) == 5
        leave.set()
        await asyncio.gather(*guesses)

    asyncio.run(scenario())


def test_what_cannot_be_anybody_s_takes_no_place_in_the_line() -> None:
    bearer, record = made()

    async def scenario() -> None:
        admission = admission_of(record, verifiers=(People(),))
        admission._given = None
        await flood(admission)
        garbage = [refused(admission, new_bearer().text) for _ in range(1_000)]
        flooding = asyncio.gather(*garbage)
        ada = await admission.admit(bearer.text, ATTACKER)
        person = await admission.admit("jwt", ATTACKER)
        await flooding
        assert (ada.caller.name, person.caller.name) == ("ada", "ada@example.com")

    asyncio.run(scenario())


def test_the_given_token_is_guessed_at_slowly_until_the_address_has_sent_it() -> None:
    async def scenario() -> None:
        admission = admission_of()
        await admission.admit("given", OTHER)
        await flood(admission)
        line = [refused(admission, f"guess {number}") for number in range(module._WAITING)]
        guesses = [asyncio.create_task(each) for each in line]
        await asyncio.sleep(0)
        assert await refused(admission, "given", ATTACKER) > 0
        assert (await admission.admit("given", OTHER)).caller.name == "admin"
        await asyncio.gather(*guesses)
        assert (await admission.admit("given", ATTACKER)).caller.name == "admin"

    asyncio.run(scenario())


def test_the_addresses_of_the_given_token_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_ADDRESSES", 3)

    async def scenario() -> None:
        admission = admission_of()
        for number in range(9):
            await admission.admit("given", f"10.0.1.{number}")
        assert list(admission._given_from) == ["10.0.1.6", "10.0.1.7", "10.0.1.8"]

    asyncio.run(scenario())
