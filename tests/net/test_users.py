"""Who is seen by which version, through a real data plane."""

from proxy.core.user import user_of
from proxy.model.config import (
    Config,
    KeyFrom,
    Match,
    Override,
    PathMatch,
    Retry,
    Route,
    Segment,
    Service,
    Sticky,
    Version,
)
from proxy.model.spread import BUCKETS, columns
from proxy.model.users import users_in
from tests.net.test_retry_policy import OOPS, UP
from tests.support.raw_backend import RawBackend, replying
from tests.support.raw_client import RawClient, get
from tests.support.running import Running, run

STICKY = Sticky(
    (KeyFrom(header="X-User"), "generated"), override=Override(header="X-Version", secret="s")
)


def config(good: str, bad: str, **weights: int) -> Config:
    service = Service(
        versions={"a": Version(endpoints=(good,)), "b": Version(endpoints=(bad,))},
        weights=weights,
        sticky=STICKY,
        segments={"country": Segment(header="X-Country", values=("de",))},
    )
    alone = Service(versions={"only": Version(endpoints=(good,))}, sticky=STICKY)
    routes = (
        Route("alone", match=Match(path=PathMatch(prefix="/alone"))),
        Route("shop", match=Match()),
    )
    return Config(services={"shop": service, "alone": alone}, routes=routes)


def test_users_are_seen_where_they_are_split_once_somebody_asks() -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(UP, UP, UP, UP, UP, UP, UP, UP)) as good,
            RawBackend(replying(OOPS, OOPS, OOPS, OOPS)) as bad,
            Running(config(good.endpoint, bad.endpoint, a=50, b=50)) as running,
            RawClient(running.where) as client,
        ):

            async def ask(*fields: str, path: str = "/") -> str:
                answer = await client.ask(get(path, *fields))
                cookies = answer.head.headers(b"set-cookie")
                return cookies[0].decode() if cookies else str(answer.status)

            def seen() -> dict[tuple[str, str], tuple[set[int], set[int]]]:
                return {
                    (each.version, each.segment): (
                        set(users_in(each.users)),
                        set(users_in(each.erring)),
                    )
                    for each in running.registry.take().seen
                    if each.users and each.erring
                }

            status = {}
            for name in ("ada", "bob", "cy"):
                status[name] = await ask(f"X-User: {name}", "X-Country: de")
            assert set(status.values()) == {"200", "500"}
            assert seen() == {}
            running.plane.watch_splits()
            for name in status:
                assert await ask(f"X-User: {name}", "X-Country: de") == status[name]
            await ask("X-Version: a:s", "X-User: tester")
            await ask("X-User: ada", path="/alone")
            fine = {user_of(name.encode()) for name in status if status[name] == "200"}
            hurt = {user_of(name.encode()) for name in status if status[name] == "500"}
            found = seen()
            assert found == {
                (version, segment): (users, erring)
                for version, users, erring in (("a", fine, set()), ("b", hurt, hurt))
                for segment in ("", "country=de")
            }
            assert seen() == {}

            # In the next revision, too; and a new user by the id of the answer.
            running.install(config(good.endpoint, good.endpoint, a=50, b=50))
            cookie = await ask()
            ident = cookie.partition("=")[2].partition(";")[0].encode()
            assert {next(iter(users)) for users, _ in seen().values()} == {user_of(ident)}
            running.install(config(good.endpoint, bad.endpoint, a=1, b=0))
            await ask("X-User: ada")
            assert seen() == {}

    run(test)


def test_requests_are_counted_by_user_and_by_the_endpoint_of_their_first_attempt() -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(UP, UP, UP, UP, UP)) as good,
            RawBackend(replying(OOPS, OOPS)) as bad,
        ):
            service = Service(
                versions={
                    "a": Version(endpoints=(bad.endpoint, good.endpoint)),
                    "b": Version(endpoints=(good.endpoint,)),
                },
                weights={"a": 9_999, "b": 1},
                sticky=STICKY,
            )
            retry = Retry(retries=1, conditions=("500-599",), backoff_s=0.001)
            route = Route("shop", match=Match(), retry=retry)
            with_edges = Config(services={"shop": service}, routes=(route,))
            async with Running(with_edges) as running, RawClient(running.where) as client:
                running.plane.watch_splits()
                for _ in range(4):
                    assert (await client.ask(get("/", "X-User: ada"))).status == 200
                assert (await client.ask(get("/", "X-Version: a:s"))).status == 200
                taken = running.registry.take()
                (seen,) = taken.seen
                assert seen.spread is not None
                requests, errors = columns(seen.spread)
                at = user_of(b"ada") % BUCKETS
                assert (requests[at], sum(requests)) == (4, 4)
                assert 1 <= errors[at] == sum(errors) <= 2
                told = {row.endpoint: (row.requests, row.errors) for row in taken.served}
                assert told == {
                    bad.endpoint: (errors[at], errors[at]),
                    good.endpoint: (4 - errors[at], 0),
                }

    run(test)
