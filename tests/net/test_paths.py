"""No path gets around a route: what reaches an endpoint is read there as it was routed here.

Classes: CVE-2025-66490, CVE-2026-40912 (Traefik), CVE-2026-27587 (Caddy). Each spelling is sent on
a real socket; what an endpoint got is then read with every habit that servers have.
"""

import contextlib
import re
from typing import Any

import pytest

from proxy.model.config import Config, Match, PathMatch, Route, Service, Version
from proxy.model.errors import ConfigError
from tests.support.path_readers import read_by_anyone
from tests.support.raw_backend import RawBackend, Visit, said
from tests.support.raw_client import RawClient, get
from tests.support.running import Running, run

ADMIN = {
    "segment_prefix": PathMatch(segment_prefix="/admin"),
    "prefix": PathMatch(prefix="/admin"),
    "exact": PathMatch(exact="/admin"),
    "deep": PathMatch(segment_prefix="/admin/secret"),
}

_HIDDEN = """
    /x/../admin /./admin /../admin /.//admin //admin ///admin /x//../admin /x/y/../../admin
    /x/..//admin /%2e/admin /%2e%2e/admin /%2E%2e/admin /.%2e/admin /x/%2e%2e/admin
    /x/%2e%2e%2fadmin /x%2f..%2fadmin /x/..%2fadmin /%2fadmin /%2f%2fadmin /%2F/admin /./%2fadmin
    /%61dmin /adm%69n /%61%64%6d%69%6e /%61dmin/x /admin%2f.. /admin%2f../x /admin/../x /admin/..
    /admin/%2e%2e/x /admin%2fx /admin%2f /admin/. /admin/./ /admin/x/.. /admin// /admin/;
    /admin;x /admin;a=b;c /admin;/x /admin/;x /;/admin /;x/admin /x;y/../admin /x/..;/admin
    /admin/..;/ /admin/..;/x /..;/admin /..;a=b/admin /x/%2e%2e;/admin /x/..%3b/admin /admin%3bx
    /admin%3b/x /x/.;/../admin /%5cadmin /\\admin /x\\..\\admin /x%5c..%5cadmin /x/..\\admin
    /admin\\..\\x /admin\\x /admin%5cx /.\\admin /%2561dmin /%252e%252e/admin
    /x/%252e%252e%252fadmin /x%252f..%252fadmin /%25252561dmin /admin%253bx /admin%23 /admin%23/x
    /admin%3f /admin%3fx=y /admin%23/../x /x%23/../../admin /admin/secret/../x /admin//secret
    /admin/./secret /admin/%73ecret /admin/x/../secret /admin;x/secret /admin%2fsecret
    /x%2fy/%2e%2e/admin /x%2Fy/.%2e/admin /x%5cy/%2e%2e/admin /admin/x%2fy/%2e%2e/%2e%2e/z
    /admin/secret%2f.. /admin/secret;x /admin\\secret
"""
HIDDEN = _HIDDEN.split()

OF_ABSOLUTE_FORM = ["http://shop.test/x/../admin", "http://shop.test//admin", "http://a.b/%61dmin",
                    "http://shop.test/admin;x", "HTTP://shop.test/%2e%2e/admin",
                    "http://shop.test/x\\..\\admin"]  # fmt: skip

NULS = ["/%00", "/admin%00", "/admin%00/x", "/x%00/../admin", "/%00admin", "/admin%00.css",
        "http://shop.test/admin%00", "/a%00?b"]  # fmt: skip

_HARMLESS = """
    / /x /x/ /a//b /files/a%2Fb /files/a%2fb%2Fc /x;v=1 /x/y;v=1/z /a/../b /a/./b /.. /a%20b /~me
    /a\\b /a%5Cb /a%3Bb /%E4%BD%A0 /a%252Fb /a/.b/..c /administrator-x /x?/../admin /x?a=%00
    /x?;//%2e%2e/admin /Admin /ADMIN/x /x/admin /x//admin /x/admin/..
"""
HARMLESS = _HARMLESS.split()
"""They lead nowhere else, whoever reads them and however."""

TO_ADMIN = ["/admin", "/admin?x=/../y", "/admin?%2e%2e;//"]
"""They are the route's own in every spelling of the rule but ``deep``."""


def config(rule: PathMatch, admin: str, web: str, **more: Any) -> Config:
    services = {
        name: Service(versions={"stable": Version(endpoints=(endpoint,))})
        for name, endpoint in (("admin", admin), ("web", web))
    }
    routes = (Route(service="admin", match=Match(path=rule)), Route(service="web"))
    return Config(services=services, routes=routes, **more)


def service_of(rule: PathMatch, path: bytes) -> str:
    """Whose a path is, written down a second time."""
    if rule.exact:
        mine = path == rule.exact.encode()
    elif rule.prefix:
        mine = path.startswith(rule.prefix.encode())
    else:
        own = (rule.segment_prefix or "").encode()
        mine = path == own or path.startswith(own + b"/")
    return "admin" if mine else "web"


class Journal:
    """Two services that say which they are, and keep the targets they got."""

    def __init__(self) -> None:
        self.targets: list[tuple[str, bytes]] = []

    def service(self, name: str) -> RawBackend:
        async def script(visit: Visit) -> None:
            while True:
                head = await visit.head()
                self.targets.append((name, head.split(b" ")[1]))
                await visit.send(said(name.encode()))

        return RawBackend(script)


def ask_all(rule: PathMatch, targets: list[str], **more: Any) -> list[tuple[int, str, bytes]]:
    """For each target: the status, and whom it reached as what."""

    async def test() -> list[tuple[int, str, bytes]]:
        journal = Journal()
        came = []
        async with (
            journal.service("admin") as admin,
            journal.service("web") as web,
            Running(config(rule, admin.endpoint, web.endpoint, **more)) as running,
        ):
            for target in targets:
                before = len(journal.targets)
                async with RawClient(running.where) as client:
                    answer = await client.ask(get(target))
                new = journal.targets[before:]
                assert len(new) == (1 if answer.status == 200 else 0), target
                assert answer.status == 200 or b'"status":400' in answer.body
                name, got = new[0] if new else ("", b"")
                assert answer.status == 400 or answer.body == name.encode()
                came.append((answer.status, name, got))
        return came

    return run(test)


def origin_form(target: str) -> bytes:
    return re.sub(r"(?i)^http://[^/?]*", "", target).encode()


@pytest.mark.parametrize("rule", ADMIN.values(), ids=ADMIN)
def test_nothing_gets_around_a_route(rule: PathMatch) -> None:
    targets = [*HIDDEN, *OF_ABSOLUTE_FORM, *NULS, *HARMLESS, *TO_ADMIN]
    refused = 0
    for target, (status, service, got) in zip(targets, ask_all(rule, targets), strict=True):
        sent = origin_form(target)
        path = sent.partition(b"?")[0]
        readers = {service_of(rule, reading) for reading in read_by_anyone(path)}
        if status == 200:
            assert got == sent, target  # the bytes matched are the bytes forwarded
            assert service == service_of(rule, path), target
            assert readers == {service}, target
        else:
            assert status == 400
            refused += 1
    assert refused >= len(NULS) + 10  # else these targets hide nothing


@pytest.mark.parametrize("name", ["segment_prefix", "prefix", "exact"])
def test_paths_that_lead_nowhere_else_are_served_untouched(name: str) -> None:
    """``/administrator`` is the prefix rule's own: what is harmless depends on the rule."""
    rule = ADMIN[name]
    for target, came in zip(HARMLESS, ask_all(rule, HARMLESS), strict=True):
        sent = target.encode()
        assert came == (200, service_of(rule, sent.partition(b"?")[0]), sent)
    for target, came in zip(TO_ADMIN, ask_all(rule, TO_ADMIN), strict=True):
        assert came == (200, "admin", target.encode())


@pytest.mark.parametrize("mode", ["route", "refuse", "pass"])
def test_nul_is_refused_always(mode: str) -> None:
    for target, came in zip(
        NULS, ask_all(ADMIN["prefix"], NULS, ambiguous_paths=mode), strict=True
    ):
        assert came == (400, "", b""), target


def test_pass_goes_by_the_bytes_alone() -> None:
    rule = ADMIN["segment_prefix"]
    for target, came in zip(HIDDEN, ask_all(rule, HIDDEN, ambiguous_paths="pass"), strict=True):
        assert came == (200, service_of(rule, target.encode()), target.encode())


AMBIGUOUS = ["/a//b", "/a/../b", "/a/./b", "/files/a%2Fb", "/x;v=1", "/a\\b", "/a%5cb",
             "/a/..", "/.", "//", "/a%3bb", "/a/%2e%2E/b", "/%252e"]  # fmt: skip
CLEAR = ["/", "/a/b/", "/a.b/.c/c..", "/a%20b", "/x?//..;a=%2f", "/a:b@c,d", "/~a_b-c", "/%61"]
"""The last is equivalent to /a by RFC 3986 §6.2.2.2: no server may tell them apart."""


def test_refuse_refuses_whatever_can_be_read_otherwise() -> None:
    rule = ADMIN["prefix"]
    came = ask_all(rule, AMBIGUOUS + CLEAR, ambiguous_paths="refuse")
    assert [status for status, _, _ in came] == [400] * len(AMBIGUOUS) + [200] * len(CLEAR)
    assert [got for _, _, got in came[len(AMBIGUOUS) :]] == [target.encode() for target in CLEAR]


def test_where_no_route_names_a_path_only_nul_is_refused() -> None:
    """All readings take the same route: there is nothing to get around."""
    everywhere = PathMatch(prefix="/")
    of_many_readings = "/" + "..;a//b%252f%5c.%2e;/" * 20
    targets = [*HIDDEN, *OF_ABSOLUTE_FORM, *HARMLESS, of_many_readings]
    for target, came in zip(targets, ask_all(everywhere, targets), strict=True):
        assert came == (200, "admin", origin_form(target)), target


@pytest.mark.parametrize(
    ("rule", "other"),
    [
        ("/v1:batch", "/v1%3Abatch"),
        ("/v1:batch", "/v1%3abatch"),
        ("/@me", "/%40me"),
        ("/a+b", "/a%2Bb"),
        ("/a,b(c)!", "/a%2cb%28c%29%21"),
        ("/caf%C3%A9", "/caf%c3%a9"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/%61dmin", "/admin"),
        ("/a%2fb", "/a%2Fb"),
    ],
)
def test_a_rule_holds_for_other_spellings_of_its_own_path(rule: str, other: str) -> None:
    """The same resource by RFC 3986 §6.2.2, or once decoded, must not take the other route; a rule
    that cannot be kept so may be refused with its file."""
    try:
        ((status, service, _),) = ask_all(PathMatch(segment_prefix=rule), [other])
    except ConfigError:
        return
    assert status == 400 or service == "admin"


def test_refusals_are_counted_logged_and_the_connection_stays_in_step() -> None:
    async def test() -> None:
        journal = Journal()
        async with (
            journal.service("admin") as admin,
            journal.service("web") as web,
            Running(config(ADMIN["prefix"], admin.endpoint, web.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            client.write(get("/ok") + get("/x/../admin", "Content-Length: 3", method="POST"))
            client.write(b"abc" + get("/never"))
            assert (await client.answer()).status == 200
            assert (await client.answer()).status == 400
            rest = b""
            with contextlib.suppress(ConnectionError):
                rest = await client.rest()
            # Whether the connection goes on or not, "abc" is nobody's request.
            assert b"HTTP/1.1 501" not in rest
            assert set(journal.targets) <= {("web", b"/ok"), ("web", b"/never")}

    run(test)
