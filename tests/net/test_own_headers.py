"""Fields that only the proxy may set: no spelling, peer or nomination forges one.

What an endpoint "reads" is what a WSGI or CGI server makes of the bytes: names in upper case, with
``_`` for ``-``. Sources: CVE-2022-31813, CVE-2024-45806, CVE-2026-30851, CVE-2026-39858.
"""

import itertools
import re
from collections.abc import Iterator

import pytest

from tests.support.raw_backend import OK, RawBackend, Visit, replying, said
from tests.support.raw_client import RawClient, get
from tests.support.running import Running, config_for, run

FORGED = b"6.6.6.6-forged"
FORWARDED = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port",
             "x-forwarded", "x-forwarded-prefix", "forwarded", "x-real-ip")  # fmt: skip
OURS = ("x-splitway-decision", "x-splitway", "x-splitway-anything")
TRUSTED = ("127.0.0.0/8",)


def spellings(name: str) -> Iterator[str]:
    """Every mix of ``-`` and ``_`` in three cases."""
    parts = name.split("-")
    for marks in itertools.product("-_", repeat=len(parts) - 1):
        spelt = parts[0] + "".join(mark + part for mark, part in zip(marks, parts[1:], strict=True))
        yield from (spelt, spelt.upper(), spelt.title())


def misspelt(name: str) -> list[str]:
    """Those with a ``_`` in them: a proxy in front would not have written them."""
    return [spelt for spelt in spellings(name) if "_" in spelt]


def read_as_cgi(head: bytes) -> dict[bytes, list[bytes]]:
    """The values by the names that a WSGI or CGI server gives them."""
    fields: dict[bytes, list[bytes]] = {}
    for line in head.split(b"\r\n")[1:-2]:
        name, _, value = line.partition(b":")
        fields.setdefault(name.upper().replace(b"-", b"_"), []).append(value.strip())
    return fields


def forwarded(lines: list[str], trusted: tuple[str, ...] = ()) -> list[dict[bytes, list[bytes]]]:
    """What the endpoint reads of one request per line."""

    async def test() -> list[dict[bytes, list[bytes]]]:
        read = []

        async def script(visit: Visit) -> None:
            while True:
                read.append(read_as_cgi(await visit.head()))
                await visit.send(OK)

        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint, trusted_proxies=trusted)) as running,
            RawClient(running.where) as client,
        ):
            for line in lines:
                assert (await client.ask(get("/", *line.split("\r\n")))).status == 200, line
        return read

    return run(test)


@pytest.mark.parametrize("connection", ["", "\r\nConnection: keep-alive", "\r\nTE: trailers"])
@pytest.mark.parametrize("name", [*FORWARDED, *OURS])
def test_strangers_set_nothing_whatever_the_spelling(name: str, connection: str) -> None:
    """With other fields beside it, as what is dropped may depend on them."""
    lines = [f"{spelt}: 6.6.6.6-forged{connection}" for spelt in spellings(name)]
    for line, fields in zip(lines, forwarded(lines), strict=True):
        assert not any(FORGED in value for values in fields.values() for value in values), line
        assert fields[b"X_FORWARDED_FOR"] == [b"127.0.0.1"], line
        assert fields[b"X_FORWARDED_PROTO"] == [b"http"], line
        assert fields[b"X_FORWARDED_HOST"] == [b"shop.test"], line
        own = (b"X_FORWARDED", b"FORWARDED", b"X_REAL_IP", b"X_SPLITWAY", b"X_REQUEST_ID")
        told = {known for known in fields if known.startswith(own)}
        assert told == {b"X_FORWARDED_FOR", b"X_FORWARDED_PROTO", b"X_FORWARDED_HOST",
                        b"X_REQUEST_ID"}, line  # fmt: skip


@pytest.mark.parametrize("name", FORWARDED)
def test_a_trusted_proxy_is_believed_in_its_own_spelling(name: str) -> None:
    lines = [f"{spelt}: 192.0.2.1" for spelt in (name, name.upper(), name.title())]
    for fields in forwarded(lines, TRUSTED):
        told = fields[name.upper().replace("-", "_").encode()]
        if name == "x-forwarded-for":
            assert b", ".join(told) == b"192.0.2.1, 127.0.0.1"
        else:
            assert told == [b"192.0.2.1"]


@pytest.mark.parametrize("name", [*FORWARDED, *OURS, "x-request-id"])
def test_a_trusted_proxys_client_cannot_speak_for_it(name: str) -> None:
    """A proxy in front drops or sets the names with ``-``; what has a ``_`` is its client's."""
    lines = [f"{spelt}: 6.6.6.6-forged" for spelt in misspelt(name)]
    for line, fields in zip(lines, forwarded(lines, TRUSTED), strict=True):
        assert not any(FORGED in value for values in fields.values() for value in values), line
    if name in OURS:
        plain = [f"{name}: 6.6.6.6-forged", f"{name.title()}: 6.6.6.6-forged"]
        for fields in forwarded(plain, TRUSTED):
            assert not [known for known in fields if known.startswith(b"X_SPLITWAY")]


@pytest.mark.parametrize("trusted", [(), TRUSTED])
def test_there_is_one_request_id_and_only_a_plain_one_is_taken_over(
    trusted: tuple[str, ...],
) -> None:
    kept = ["abc-123", "!#~", "x" * 128]
    replaced = ["x" * 129, "a b", "caf\u00e9", ""]
    lines = [f"x-request-id: {value}" for value in kept + replaced]
    lines += [f"{spelt}: forged" for spelt in misspelt("x-request-id")]
    read = [fields[b"X_REQUEST_ID"] for fields in forwarded(lines, trusted)]
    assert all(len(values) == 1 for values in read)
    assert [values[0] for values in read[: len(kept)]] == [value.encode() for value in kept]
    made = [values[0] for values in read[len(kept) :]]
    assert all(re.fullmatch(rb"[0-9a-f]{16}-[0-9a-f]+", value) for value in made)
    assert len(set(made)) == len(made)


@pytest.mark.parametrize("sent", ["", "{0}: 192.0.2.1\r\n"])
@pytest.mark.parametrize("trusted", [(), TRUSTED])
@pytest.mark.parametrize(
    "name", ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id"]
)
def test_connection_cannot_take_our_fields_away(
    name: str, trusted: tuple[str, ...], sent: str
) -> None:
    wanted = name.upper().replace("-", "_").encode()
    lines = [
        f"{sent.format(name)}Connection: {prefix}{spelt}"
        for spelt in spellings(name)
        for prefix in ("", "close-not, ", "keep-alive, ")
    ]
    for line, fields in zip(lines, forwarded(lines, trusted), strict=True):
        assert fields.get(wanted), line
        if name == "x-forwarded-for":
            assert fields[wanted][-1] == b"127.0.0.1", line


def test_connection_cannot_take_the_host_or_the_users_fields_away() -> None:
    names = ["host", "cookie", "authorization"]
    lines = [f"Cookie: a=b\r\nAuthorization: c\r\nConnection: {name}" for name in names]
    for fields in forwarded(lines):
        assert fields[b"HOST"] == [b"shop.test"]
        assert fields[b"COOKIE"] == [b"a=b"]
        assert fields[b"AUTHORIZATION"] == [b"c"]


FORBIDDEN = [b"\r", b"\n", b"\x00", b"\r\nX-Splitway-A: b\r", b"\n\n", b"\x01", b"\x0b", b"\x7f"]


@pytest.mark.parametrize("mark", FORBIDDEN)
@pytest.mark.parametrize(
    "name", [b"X-Request-Id", b"X-Forwarded-For", b"Cookie", b"X-Any", b"Host", b"Connection"]
)
def test_no_control_character_passes_in_a_requests_value(name: bytes, mark: bytes) -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config_for(backend.endpoint, trusted_proxies=TRUSTED)) as running,
        ):
            host = b"" if name == b"Host" else b"Host: shop.test\r\n"
            for value in (b"a" + mark + b"b", mark + b"b", b"a" + mark):
                async with RawClient(running.where) as client:
                    raw = b"GET / HTTP/1.1\r\n%b%b: %b\r\n\r\n" % (host, name, value)
                    answer = await client.ask(raw)
                    assert (answer.status, answer.head.reusable) == (400, False), raw
            assert backend.visits == []

    run(test)


@pytest.mark.parametrize("mark", FORBIDDEN)
@pytest.mark.parametrize("name", [b"X-Any", b"Set-Cookie", b"Location", b"Content-Type"])
def test_no_control_character_passes_in_an_answers_value(name: bytes, mark: bytes) -> None:
    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(said(b"ok", name + b": a" + mark + b"b"))

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            answer = await client.ask(get())
            assert answer.status == 502
            assert not set(answer.head.raw.replace(b"\r\n", b"")) & set(b"\r\n\x00\x01\x0b\x7f")

    run(test)


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("name", OURS)
def test_endpoints_cannot_speak_for_the_proxy(name: str, debug: bool) -> None:
    lines = [f"{spelt}: forged".encode() for spelt in spellings(name)]

    async def script(visit: Visit) -> None:
        for line in lines:
            await visit.head()
            await visit.send(b"HTTP/1.1 103 Early Hints\r\n%b\r\n\r\n" % line + said(b"ok", line))

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint, debug_header=debug)) as running,
            RawClient(running.where) as client,
        ):
            for line in lines:
                answer = await client.ask(get())
                heads = [*answer.informational, answer.head]
                assert len(heads) == 2
                assert all(b"forged" not in head.raw for head in heads), line
                own = answer.head.raw.lower().replace(b"_", b"-").count(b"x-splitway")
                assert own == int(debug), line

    run(test)
