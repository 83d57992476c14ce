"""People's tokens, against an identity provider that really runs, with real keys."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
import warnings
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from jwt.warnings import InsecureKeyLengthWarning

from controlplane.access.caller import Caller, Role
from controlplane.access.claims import OidcSettings, parse_rule
from controlplane.access.issuer import AGAIN_S, FRESH_S, KEEP_S, Issuer, check_issuer
from controlplane.access.oidc import Oidc
from tests.controlplane.access.identity_provider import AUDIENCE, Key, Provider, providing

RSA, EC, ED = Key("rsa", "RS256"), Key("ec", "ES256"), Key("ed", "EdDSA")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def oidc_of(provider: Provider, clock: Clock | None = None) -> Oidc:
    rules = (parse_rule("groups=sre:admin"), parse_rule("groups=dev:viewer@shop"))
    settings = OidcSettings(provider.url, AUDIENCE, rules)
    return Oidc(settings, Issuer(provider.url, clock or Clock()))


def play(test: Callable[[Provider], Awaitable[None]], *keys: Key) -> None:
    async def run() -> None:
        async with providing(*(keys or (RSA, EC, ED))) as provider, asyncio.timeout(20):
            await test(provider)

    asyncio.run(run())


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_person_is_known_until_their_token_ends() -> None:
    async def test(provider: Provider) -> None:
        oidc = oidc_of(provider)
        for key in (RSA, EC, ED):
            claims = provider.claims()
            found = await oidc.caller_of(provider.token(key, **claims))
            until = datetime.fromtimestamp(claims["exp"], UTC)
            assert found == Caller("oidc:ann@example.com", Role.ADMIN, None, until)
        found = await oidc.caller_of(provider.token(RSA, groups=["dev"]))
        assert found is not None
        assert (found.role, found.services) == (Role.VIEWER, frozenset({"shop"}))
        assert await oidc.caller_of(provider.token(RSA, groups=["guests"])) is None
        assert await oidc.caller_of(provider.token(RSA, aud=["other", AUDIENCE])) is not None
        assert provider.asked == 1

    play(test)


def test_clocks_may_differ_by_a_minute() -> None:
    async def test(provider: Provider) -> None:
        oidc = oidc_of(provider)
        now = int(time.time())
        cases: list[tuple[dict[str, Any], bool]] = [
            ({"exp": now - 50}, True),
            ({"exp": now - 70}, False),
            ({"nbf": now + 50}, True),
            ({"nbf": now + 70}, False),
            ({"iat": now + 50}, True),
            ({"iat": now + 70}, False),
        ]
        for claims, good in cases:
            found = await oidc.caller_of(provider.token(RSA, **claims))
            assert (found is not None) is good, claims

    play(test)


def test_claims_that_are_missing_or_wrong() -> None:
    async def test(provider: Provider) -> None:
        oidc = oidc_of(provider)
        wrong: list[dict[str, Any]] = [
            *({claim: None} for claim in ("iss", "aud", "sub", "exp", "iat")),
            *({"iss": iss} for iss in (f"{provider.url}/", "https://evil.example")),
            *({"aud": aud} for aud in ("other", [], ["other"], "")),
            *({"sub": sub} for sub in ("", "x" * 300 + "\n")),
            *({"exp": exp} for exp in ("soon", 1e300, 10**18, 10**30, float("inf"))),
            {"nbf": "later"},
            {"nbf": []},
            {"sub": "\n", "email": None},
        ]
        for claims in wrong:
            given = {"email": None, **claims}
            assert await oidc.caller_of(provider.token(RSA, **given)) is None, claims

    play(test)


def test_only_the_provider_s_own_signature_counts() -> None:
    forger = Key("rsa", "RS256")

    async def test(provider: Provider) -> None:
        oidc = oidc_of(provider)
        good = provider.token(RSA)
        head, body, signature = good.split(".")
        claims = provider.claims()

        def by_secret(secret: bytes, name: str) -> str:
            signed = f"{part({'alg': 'HS256', 'kid': name})}.{part(claims)}"
            mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
            return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"

        bad = {
            "another's key": provider.token(forger),
            "no signature": f"{part({'alg': 'none', 'kid': 'rsa'})}.{part(claims)}.",
            "none in another case": f"{part({'alg': 'None', 'kid': 'rsa'})}.{body}.{signature}",
            "the public key as a secret": by_secret(RSA.pem, "rsa"),
            "its JWK as a secret": by_secret(json.dumps(RSA.public).encode(), "rsa"),
            "another algorithm": f"{part({'alg': 'RS512', 'kid': 'rsa'})}.{body}.{signature}",
            "the algorithm of another key": provider.token(EC, {"kid": "rsa"}),
            "no algorithm": f"{part({'kid': 'rsa'})}.{body}.{signature}",
            "an algorithm that is no text": f"{part({'alg': ['RS256']})}.{body}.{signature}",
            "an own key in the header": provider.token(forger, {"jwk": forger.public}),
            "a URL in the header": provider.token(forger, {"jku": "http://evil.example"}),
            "what must be understood": provider.token(RSA, {"crit": ["x"], "x": 1}),
            "a name that is no text": f"{part({'alg': 'RS256', 'kid': 5})}.{body}.{signature}",
            "other claims": f"{head}.{part(provider.claims(sub='root'))}.{signature}",
            "a signature that is cut": good[:-4],
        }
        for what, token in bad.items():
            assert await oidc.caller_of(token) is None, what
        assert await oidc.caller_of(good) is not None

    play(test)


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "\x00.\x00.\x00",
        "sw_x_y",
        "é.é.é",
        "\udcff..",
        "x" * 100_000,
        "." * 8000,
        f"{base64.urlsafe_b64encode(b'[' * 4000).decode()}.e30.e30",
        f"{base64.urlsafe_b64encode(b'{' + b'x' * 10).decode()}.e30.e30",
    ],
)
def test_garbage_is_nobody_s_and_costs_no_question(garbage: str) -> None:
    async def test(provider: Provider) -> None:
        oidc = oidc_of(provider)
        assert await oidc.caller_of(garbage) is None
        assert provider.asked == 0

    play(test)


def test_what_is_too_long_is_not_even_read() -> None:
    async def test(provider: Provider) -> None:
        token = provider.token(RSA, more="x" * 8192)
        assert await oidc_of(provider).caller_of(token) is None
        assert provider.asked == 0

    play(test)


def test_a_new_key_is_found_and_a_flood_of_names_asks_once() -> None:
    new = Key("new", "ES256")

    async def test(provider: Provider) -> None:
        clock = Clock()
        oidc = oidc_of(provider, clock)
        assert await oidc.caller_of(provider.token(RSA)) is not None
        provider.keys.append(new.public)
        clock.now_s += AGAIN_S
        unknown = [provider.token(EC, {"kid": f"k{number}"}) for number in range(50)]
        found = await asyncio.gather(*map(oidc.caller_of, [provider.token(new), *unknown]))
        assert [each is not None for each in found] == [True, *[False] * 50]
        assert provider.asked == 2
        clock.now_s += AGAIN_S - 1
        assert await oidc.caller_of(unknown[0]) is None
        assert provider.asked == 2
        clock.now_s += 1
        assert await oidc.caller_of(unknown[0]) is None
        assert provider.asked == 3

    play(test)


def test_a_key_that_was_taken_back_is_believed_no_longer() -> None:
    async def test(provider: Provider) -> None:
        clock = Clock()
        issuer = Issuer(provider.url, clock)
        await issuer._refresh()
        provider.keys = [EC.public]
        await issuer._refresh()
        assert await issuer.key("rsa", "RS256") is None
        assert await issuer.key("ec", "ES256") is not None

    play(test)


def test_while_the_provider_is_down_the_last_keys_hold_for_a_day(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(provider: Provider) -> None:
        clock = Clock()
        oidc = oidc_of(provider, clock)
        assert await oidc.caller_of(provider.token(RSA)) is not None
        provider.is_down = True
        for _ in range(3):
            await oidc._issuer._refresh()
        assert caplog.text.count("answered 503; the last keys are believed for a day") == 1
        clock.now_s += KEEP_S
        assert await oidc.caller_of(provider.token(RSA)) is not None
        clock.now_s += 1
        assert await oidc.caller_of(provider.token(RSA)) is None
        provider.is_down = False
        clock.now_s += AGAIN_S
        assert await oidc.caller_of(provider.token(RSA)) is not None

    caplog.set_level(logging.INFO)
    play(test)
    assert "answers again" in caplog.text


def test_a_provider_that_is_down_at_the_start_is_asked_again() -> None:
    async def test(provider: Provider) -> None:
        provider.is_down = True
        clock = Clock()
        oidc = oidc_of(provider, clock)
        assert await oidc.caller_of(provider.token(RSA)) is None
        provider.is_down = False
        assert await oidc.caller_of(provider.token(RSA)) is None
        clock.now_s += AGAIN_S
        assert await oidc.caller_of(provider.token(RSA)) is not None
        assert provider.asked == 2

    play(test)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"issuer": "https://evil.example"}, "calls itself by another name"),
        ({"jwks_uri": "http://10.0.0.1/keys"}, "names no jwks_uri of https"),
        ({"jwks_uri": "file:///etc/passwd"}, "names no jwks_uri of https"),
        ({"jwks_uri": 5}, "names no jwks_uri of https"),
        ({"jwks_uri": "https://[::1"}, "names no jwks_uri of https"),
        ({"jwks_uri": "{url}/away"}, "answered 302"),
        ({"jwks_uri": "{url}/nowhere"}, "answered 404"),
    ],
)
def test_a_provider_that_tells_what_cannot_be_believed(
    change: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(provider: Provider) -> None:
        for name, value in change.items():
            is_text = isinstance(value, str)
            provider.discovery[name] = value.format(url=provider.url) if is_text else value
        assert await oidc_of(provider).caller_of(provider.token(RSA)) is None

    play(test)
    assert words in caplog.text
    assert "nobody can sign in" in caplog.text


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"<html>", "answered no JSON object"),
        (b"[]", "answered no JSON object"),
        (b"[" * 100_000, "answered no JSON object"),
        (b"{}", "has no key for ES256, EdDSA, RS256"),
        (b'{"keys": 5}', "has no key for"),
        (b'{"keys": [5, {}, {"kty": "x"}, {"kty": "RSA", "n": 5}]}', "has no key for"),
        (b'{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "rsa"}]}', "has no key for"),
        (b" " * ((1 << 20) + 1), "answered more than 1048576 bytes"),
    ],
)
def test_keys_that_are_none(raw: bytes, words: str, caplog: pytest.LogCaptureFixture) -> None:
    async def test(provider: Provider) -> None:
        provider.raw = raw
        assert await oidc_of(provider).caller_of(provider.token(RSA)) is None

    play(test)
    assert words in caplog.text


def test_keys_that_are_not_for_this_are_left_out() -> None:
    weak = Key("weak", "RS256", bits=1024)

    async def test(provider: Provider) -> None:
        provider.keys = [
            {**RSA.public, "use": "enc"},
            {**EC.public, "d": "c2VjcmV0"},
            weak.public,
            ED.public,
        ]
        oidc = oidc_of(provider)
        for key, good in ((RSA, False), (EC, False), (weak, False), (ED, True)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", InsecureKeyLengthWarning)  # that is the point
                token = provider.token(key)
            with_it = await oidc.caller_of(token)
            assert (with_it is not None) is good, key.name

    play(test)


def test_a_token_without_a_key_s_name_needs_just_one_key() -> None:
    async def test(provider: Provider) -> None:
        oidc = oidc_of(provider)
        import jwt

        token = jwt.encode(provider.claims(), RSA.private, "RS256")
        assert await oidc.caller_of(token) is not None
        provider.keys = [RSA.public, Key("rsa-2", "RS256").public]
        await oidc._issuer._refresh()
        assert await oidc.caller_of(token) is None

    play(test)


def test_the_keys_are_kept_fresh_in_the_background() -> None:
    async def test(provider: Provider) -> None:
        issuer = Issuer(provider.url, Clock())
        task = asyncio.create_task(issuer.run())
        while provider.asked == 0:  # noqa: ASYNC110 it is told to nobody
            await asyncio.sleep(0.001)
        assert await issuer.key("rsa", "RS256") is not None
        task.cancel()
        await asyncio.wait([task])
        assert provider.asked == 1

    assert AGAIN_S < FRESH_S < KEEP_S
    play(test)


def test_no_token_is_ever_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    tokens: list[str] = []

    async def test(provider: Provider) -> None:
        oidc = oidc_of(provider)
        tokens.extend(
            (
                provider.token(RSA, exp=1),
                provider.token(Key("rsa", "RS256")),
                f"{part({'alg': 'c4n4ry', 'kid': 'c4n4ry'})}.c4n4ry.c4n4ry",
            )
        )
        for token in tokens:
            assert await oidc.caller_of(token) is None

    caplog.set_level(logging.DEBUG)
    play(test)
    said = caplog.text
    assert "a token was refused" in said
    assert not any(piece in said for token in tokens for piece in token.split("."))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("id.example.com", "expected a URL such as"),
        ("https://", "expected a URL such as"),
        ("https://a:b@id.example.com", "expected a URL such as"),
        ("https://id.example.com?x=1", "expected a URL such as"),
        ("http://id.example.com", "http:// on loopback only"),
        ("ftp://127.0.0.1", "http:// on loopback only"),
    ],
)
def test_what_is_no_issuer(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_issuer(url)


@pytest.mark.parametrize("url", ["https://id.example.com/realms/a", "http://localhost:8080"])
def test_what_is_one(url: str) -> None:
    check_issuer(url)
