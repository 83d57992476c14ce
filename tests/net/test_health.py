"""Endpoints are asked whether they work; who fails is left out, and comes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.model.address import parse_endpoint
from proxy.model.config import (
    Balance,
    Config,
    Endpoint,
    Fallback,
    HealthCheck,
    KeyFrom,
    Match,
    Outliers,
    Route,
    Service,
    Sticky,
    Version,
    traffic_of,
)
from proxy.model.wire import Snapshot
from proxy.net.health import EndpointWatch, Thresholds, check, passes
from tests.support.raw_backend import OK, RawBackend, Visit, replying, said
from tests.support.raw_client import RawClient, get, post
from tests.support.running import Running, eventually, run

QUICK = HealthCheck(
    path="/health?deep=1", interval_s=0.02, timeout_s=0.2, healthy_after=2, unhealthy_after=2
)


class Clinic:
    """A back end whose health is what a test says.

    Attributes:
        healthy: how it answers checks.
        checks, requests: heads that it got.
    """

    def __init__(self, name: str, *, healthy: bool = True) -> None:
        self.name = name.encode()
        self.healthy = healthy
        self.status = b"200 OK"
        self.checks: list[bytes] = []
        self.requests: list[bytes] = []

    async def serve(self, visit: Visit) -> None:
        while True:
            head = await visit.head()
            if head.startswith(b"GET /health"):
                self.checks.append(head)
                await visit.send(said(b"", status=b"200 OK" if self.healthy else b"503 Down"))
            else:
                self.requests.append(head)
                await visit.send(said(self.name, status=self.status))


def configured(service: Service, **more: object) -> Config:
    return Config(services={"shop": service}, routes=(Route("shop", match=Match()),), **more)  # type: ignore[arg-type]


@asynccontextmanager
async def clinics(
    *clinics: Clinic, health: HealthCheck | None = QUICK, outliers: Outliers | None = None
) -> AsyncIterator[Running]:
    """A version whose endpoints these are."""
    async with asyncio.timeout(20):
        backends = [RawBackend(clinic.serve) for clinic in clinics]
        for backend in backends:
            await backend.__aenter__()
        try:
            version = Version(endpoints=tuple(backend.endpoint for backend in backends))
            service = Service(versions={"stable": version}, health=health, outliers=outliers)
            async with Running(configured(service)) as running:
                await running.plane.checked()
                yield running
        finally:
            for backend in backends:
                await backend.__aexit__(None, None, None)


async def asked(running: Running, times: int) -> list[bytes]:
    """Who answers so many requests."""
    async with RawClient(running.where) as client:
        return [(await client.ask(get("/"))).body for _ in range(times)]


def endpoints_of(running: Running) -> EndpointWatch:
    (watch,) = running.plane._watches.values()
    return watch


@pytest.mark.parametrize(
    ("statuses", "status", "expected"),
    [
        (("200-299",), 200, True),
        (("200-299",), 299, True),
        (("200-299",), 300, False),
        (("200-299",), 199, False),
        (("204", "401-403"), 204, True),
        (("204", "401-403"), 402, True),
        (("204", "401-403"), 200, False),
    ],
)
def test_which_statuses_pass(statuses: tuple[str, ...], status: int, *, expected: bool) -> None:
    assert passes(HealthCheck(statuses=statuses), status) is expected


def test_the_first_check_decides_and_then_so_many_in_a_row() -> None:
    thresholds = Thresholds(HealthCheck(healthy_after=2, unhealthy_after=3))
    seen = []
    for passed in (True, False, False, True, False, False, False, True, False, True, True):
        thresholds.checked(passed=passed)
        seen.append(thresholds.healthy)
    assert seen == [True] * 6 + [False] * 4 + [True]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (OK, True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, True),
        (said(b"", status=b"500 Oops"), False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", False),
        (b"nonsense\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, False),
        (b"", False),
        (b"HTTP/1.1 200", False),
    ],
)
def test_one_check(answer: bytes, *, expected: bool) -> None:
    async def visit(visit: Visit) -> None:
        await visit.head()
        await visit.send(answer)

    async def test() -> None:
        async with RawBackend(visit) as backend:
            address = parse_endpoint(backend.endpoint)
            assert await check(HealthCheck(timeout_s=2), address) is expected

    run(test)


def test_a_check_that_hangs_or_is_refused_has_failed() -> None:
    async def silent(visit: Visit) -> None:
        await visit.end()

    async def test() -> None:
        async with RawBackend(silent) as backend:
            address = parse_endpoint(backend.endpoint)
            assert not await check(HealthCheck(timeout_s=0.05), address)
        assert not await check(HealthCheck(timeout_s=1), address)

    run(test)


def test_what_a_check_asks() -> None:
    async def test() -> None:
        clinic = Clinic("a")
        async with clinics(clinic):
            pass
        assert clinic.checks[0].startswith(b"GET /health?deep=1 HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"\r\nUser-Agent: splitway" in clinic.checks[0]

    run(test)


def test_who_fails_its_checks_gets_no_requests_until_it_passes_again() -> None:
    async def test() -> None:
        good, bad = Clinic("good"), Clinic("bad", healthy=False)
        async with clinics(good, bad) as running:
            assert await asked(running, 6) == [b"good"] * 6
            bad.healthy = True
            states = endpoints_of(running).endpoints.states
            await eventually(lambda: bool(states[1].healthy))
            assert set(await asked(running, 6)) == {b"good", b"bad"}
            good.healthy = False
            await eventually(lambda: not states[0].healthy)
            assert await asked(running, 6) == [b"bad"] * 6

    run(test)


def test_with_nobody_healthy_it_is_503() -> None:
    async def test() -> None:
        clinic = Clinic("a", healthy=False)
        async with clinics(clinic) as running, RawClient(running.where) as client:
            answer = await client.ask(get("/"))
            assert answer.status == 503
            assert b"No endpoint of this version works." in answer.body
            assert (await client.ask(post(b"body"), "POST")).status == 503  # still open
            counts = await running.counted({"GET 503": 1, "POST 503": 1})
            assert counts.attempts == {"no_endpoint": 2}
        assert clinic.requests == []

    run(test)


def test_the_fallback_serves_and_the_failing_version_is_charged() -> None:
    async def test() -> None:
        stable, canary = Clinic("stable"), Clinic("canary", healthy=False)
        async with RawBackend(stable.serve) as one, RawBackend(canary.serve) as two:
            service = Service(
                versions={
                    "stable": Version(endpoints=(one.endpoint,)),
                    "canary": Version(endpoints=(two.endpoint,)),
                },
                weights={"stable": 0, "canary": 1},
                health=QUICK,
                fallback=Fallback("stable"),
            )
            async with Running(configured(service)) as running:
                await running.plane.checked()
                assert await asked(running, 3) == [b"stable"] * 3
                canary_counts = running.counts("canary")
                assert sum(canary_counts.requests.values()) == 3
                assert canary_counts.attempts == {"no_endpoint": 3, "success": 3}
                assert running.counts("stable").requests == {}

    run(test)


def test_five_errors_in_a_row_eject() -> None:
    async def test() -> None:
        good, bad = Clinic("good"), Clinic("bad")
        bad.status = b"503 No"
        outliers = Outliers(base_ejection_s=0.1, interval_s=0.02)
        async with clinics(good, bad, health=None, outliers=outliers) as running:
            answers = await asked(running, 10)
            assert answers.count(b"bad") == 5
            assert endpoints_of(running).endpoints.detector is not None
            bad.status = b"200 OK"
            detector = endpoints_of(running).endpoints.detector
            assert detector is not None
            await eventually(lambda: not detector.ejected)
            assert set(await asked(running, 6)) == {b"good", b"bad"}

    run(test)


def test_what_is_known_outlives_a_revision() -> None:
    async def test() -> None:
        good, bad = Clinic("good"), Clinic("bad", healthy=False)
        async with RawBackend(good.serve) as one, RawBackend(bad.serve) as two:
            version = Version(endpoints=(one.endpoint, two.endpoint))
            service = Service(versions={"stable": version}, health=QUICK)
            async with Running(configured(service)) as running:
                await running.plane.checked()
                watch = endpoints_of(running)
                running.install(configured(service))
                assert endpoints_of(running) is watch
                weighted = Version(endpoints=(Endpoint(one.endpoint, 2), two.endpoint))
                running.install(configured(Service({"stable": weighted}, health=QUICK)))
                assert endpoints_of(running) is not watch
                assert await asked(running, 4) == [b"good"] * 4
                assert [state.healthy for state in endpoints_of(running).endpoints.states] == [
                    True,
                    False,
                ]
                running.install(configured(Service({"stable": version})))
                assert running.plane._watches == {}

    run(test)


def test_zones_and_weights() -> None:
    async def test() -> None:
        here, there, light = Clinic("here"), Clinic("there"), Clinic("light")
        async with (
            RawBackend(here.serve) as one,
            RawBackend(there.serve) as two,
            RawBackend(light.serve) as three,
        ):
            version = Version(
                endpoints=(
                    Endpoint(one.endpoint, 3, "a"),
                    Endpoint(two.endpoint, 1, "b"),
                    Endpoint(three.endpoint, 1, "a"),
                )
            )
            service = Service(versions={"stable": version})
            async with Running(configured(service, zone="a")) as running:
                answers = await asked(running, 8)
                assert answers.count(b"here") == 6
                assert answers.count(b"light") == 2
            async with Running(configured(service)) as running:
                answers = await asked(running, 10)
                assert answers.count(b"there") == 2

    run(test)


@pytest.mark.parametrize("bounded_load", [0.0, 1.25])
def test_a_user_stays_with_an_endpoint(bounded_load: float) -> None:
    async def test() -> None:
        names = [Clinic(str(number)) for number in range(4)]
        backends = [RawBackend(clinic.serve) for clinic in names]
        for backend in backends:
            await backend.__aenter__()
        try:
            version = Version(endpoints=tuple(backend.endpoint for backend in backends))
            service = Service(
                versions={"stable": version},
                balance=Balance("ring_hash", bounded_load),
                sticky=Sticky((KeyFrom(header="X-User-Id"),)),
            )
            async with Running(configured(service)) as running, RawClient(running.where) as client:
                seen: dict[int, set[bytes]] = {}
                for number in range(120):
                    user = number % 40
                    answer = await client.ask(get("/", f"X-User-Id: user-{user}"))
                    seen.setdefault(user, set()).add(answer.body)
                assert all(len(who) == 1 for who in seen.values())
                assert len(set().union(*seen.values())) == 4
        finally:
            for backend in backends:
                await backend.__aexit__(None, None, None)

    run(test)


def test_a_dead_endpoint_is_ejected_and_nobody_notices() -> None:
    """Connections that are refused go to the next endpoint, and count."""

    async def test() -> None:
        good = Clinic("good")
        async with RawBackend(good.serve) as one, RawBackend(replying(OK)) as two:
            dead = two.endpoint
            await two.__aexit__(None, None, None)
            version = Version(endpoints=(one.endpoint, dead))
            service = Service(versions={"stable": version}, outliers=Outliers())
            async with Running(configured(service)) as running:
                assert await asked(running, 20) == [b"good"] * 20
                counts = running.counts()
                assert counts.attempts == {"success": 20, "connect_failed": 5}
            await two.__aenter__()

    run(test)


def test_ejections_outlive_endpoints_that_come_and_go() -> None:
    """A source that finds one more endpoint does not bring back the one that fails."""

    async def test() -> None:
        good, bad, new = Clinic("good"), Clinic("bad"), Clinic("new")
        bad.status = b"503 No"
        async with (
            RawBackend(good.serve) as one,
            RawBackend(bad.serve) as two,
            RawBackend(new.serve) as three,
        ):
            service = Service(
                {"stable": Version(endpoints=("dns://shop.test:80",))},
                outliers=Outliers(consecutive_5xx=2, max_ejected_percent=100),
            )
            config = configured(service)
            async with Running(config) as running:
                plane = running.plane

                def install(*urls: str) -> None:
                    found = {"dns://shop.test:80": tuple(Endpoint(url) for url in urls)}
                    plane.install(config, Snapshot(1, traffic_of(config)), found)

                async with RawClient(running.where) as client:
                    assert (await client.ask(get("/"))).status == 503  # nothing was found yet
                install(one.endpoint, two.endpoint)
                await asked(running, 6)
                assert len(bad.requests) == 2
                install(three.endpoint, two.endpoint, one.endpoint)
                answers = await asked(running, 6)
                assert set(answers) == {b"good", b"new"}
                install(one.endpoint)
                assert await asked(running, 2) == [b"good"] * 2

    run(test)


@pytest.mark.parametrize("policy", ["round_robin", "least_request"])
def test_a_dead_endpoint_that_is_never_busy_holds_nobody(policy: str) -> None:
    """The idlest of two is the one that refuses: who is turned away goes to another."""

    async def test() -> None:
        good = Clinic("good")
        async with RawBackend(good.serve) as one, RawBackend(replying(OK)) as two:
            dead = two.endpoint
            await two.__aexit__(None, None, None)
            version = Version(endpoints=(dead, one.endpoint))
            service = Service(versions={"stable": version}, balance=Balance(policy))  # type: ignore[arg-type]
            async with (
                Running(configured(service)) as running,
                RawClient(running.where) as other,
            ):
                await other.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nb")
                assert await asked(running, 12) == [b"good"] * 12
            await two.__aenter__()

    run(test)


def test_the_stand_in_is_asked_by_its_own_rules() -> None:
    """Its endpoints are tried one after the other, and ejected for what they do."""

    async def test() -> None:
        good, bad, down = Clinic("good"), Clinic("bad"), Clinic("down", healthy=False)
        bad.status = b"500 No"
        async with (
            RawBackend(good.serve) as one,
            RawBackend(bad.serve) as two,
            RawBackend(down.serve) as three,
        ):
            service = Service(
                {
                    "stable": Version(endpoints=(one.endpoint, two.endpoint)),
                    "canary": Version(endpoints=(three.endpoint,)),
                },
                {"stable": 0, "canary": 1},
                health=QUICK,
                outliers=Outliers(consecutive_5xx=2),
                fallback=Fallback("stable"),
            )
            async with Running(configured(service)) as running:
                await running.plane.checked()
                answers = await asked(running, 12)
                assert answers.count(b"bad") == 2
                attempts = running.counts("canary").attempts
                assert attempts == {"no_endpoint": 12, "success": 10, "server_error": 2}

    run(test)


def test_the_last_endpoint_that_works_is_never_ejected() -> None:
    async def test() -> None:
        bad, off = Clinic("bad"), Clinic("off")
        bad.status = b"500 No"
        async with RawBackend(bad.serve) as one, RawBackend(off.serve) as two:
            version = Version(endpoints=(one.endpoint, Endpoint(two.endpoint, 0)))
            service = Service({"stable": version}, outliers=Outliers(consecutive_5xx=2))
            async with Running(configured(service)) as running:
                assert await asked(running, 6) == [b"bad"] * 6
                alone = Service(
                    {"stable": Version(endpoints=(one.endpoint,))},
                    outliers=Outliers(consecutive_5xx=2),
                )
                running.install(configured(alone))
                assert await asked(running, 2) == [b"bad"] * 2

    run(test)


def test_nobody_waits_for_what_cannot_be_known() -> None:
    async def test() -> None:
        async def silent(visit: Visit) -> None:
            asking.set()
            await visit.end()

        asking = asyncio.Event()
        async with RawBackend(silent) as backend:
            slow = HealthCheck(timeout_s=15)
            sourced = Service({"stable": Version(endpoints=("dns://x:1",))}, health=slow)
            async with Running(configured(sourced)) as running:
                await running.plane.checked()  # there is nobody to check
                # A first check that is under way is not waited for once nobody wants it.
                hung = Service({"stable": Version(endpoints=(backend.endpoint,))}, health=slow)
                running.install(configured(hung))
                waiting = asyncio.create_task(running.plane.checked())
                await asking.wait()
                assert not waiting.done()
                running.install(configured(Service({"stable": Version((backend.endpoint,))})))
                await waiting

    run(test)
