"""The path policy as a pure function: which readings a path has, which it has not."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.finder import compile_find
from proxy.core.path import PLAIN, AmbiguousPath, decoded, has_nul, is_ambiguous, readings
from proxy.model.config import Match, PathMatch
from tests.support.heads import Head
from tests.support.path_readers import read_by_anyone

READINGS = [
    # what it is received as, what it may be read as
    (b"/x/../admin", {b"/admin"}),
    (b"/../admin", {b"/admin"}),
    (b"/./admin", {b"/admin"}),
    (b"/admin/.", {b"/admin/"}),
    (b"/admin/..", {b"/"}),
    (b"/admin/../", {b"/"}),
    (b"/..", {b"/"}),
    (b"/%2e%2e/admin", {b"/../admin", b"/admin"}),
    (b"/.%2E/admin", {b"/../admin", b"/admin"}),
    (b"//admin", {b"/admin"}),
    (b"///admin", {b"/admin"}),
    (b"/admin//", {b"/admin/"}),
    (b"/%61dmin", {b"/admin"}),
    (b"/%2fadmin", {b"//admin", b"/admin"}),
    (b"/x/%2e%2e%2fadmin", {b"/x/..%2Fadmin", b"/x/../admin", b"/admin"}),
    (b"/admin%2f..", {b"/admin/..", b"/"}),
    (b"/a\\b", {b"/a/b"}),
    (b"/x\\..\\admin", {b"/x/../admin", b"/admin"}),
    (b"/%5cadmin", {b"/\\admin", b"//admin", b"/admin"}),
    (b"/admin;x", {b"/admin"}),
    (b"/admin;x/y;z", {b"/admin/y"}),
    (b"/admin/..;/", {b"/admin/../", b"/"}),
    (b"/x/..;a=b/admin", {b"/x/../admin", b"/admin"}),
    (b"/x/%2e%2e%3b/admin", {b"/x/../admin", b"/admin"}),
    (b"/;/admin", {b"//admin", b"/admin"}),
    (b"/admin%3b", {b"/admin;", b"/admin"}),
    (b"/admin%3fx", {b"/admin"}),
    (b"/admin%23x", {b"/admin"}),
    (b"/%2561dmin", {b"/%61dmin", b"/admin"}),
    (b"/x%252f..%252f..%252fadmin", {b"/x/../../admin", b"/admin"}),
    (b"/caf%c3%a9", {b"/caf%C3%A9"}),
    (b"/x%2fy/%2e%2e/admin", {b"/x/admin", b"/admin"}),
    (b"/x%2Fy/.%2e/admin", {b"/x/admin", b"/admin"}),
    (b"/v1%3abatch", {b"/v1:batch"}),
    (b"/%40me", {b"/@me"}),
    (b"/a%2bb", {b"/a+b"}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "others"), READINGS)
def test_every_likely_reading_is_among_them(path: bytes, others: set[bytes]) -> None:
    assert {decoded(other) for other in others} <= readings(path)


ALIKE = [b"/", b"/a", b"/a/", b"/a/b.html", b"/a.b/c..d/e.", b"/a-b_c~d", b"/a:b@c!$&'()*+,=d",
         b"/A/B", b"/%20", b"/caf%C3%A9"]  # fmt: skip


@pytest.mark.parametrize("path", ALIKE)
def test_what_everyone_reads_alike_has_no_readings(path: bytes) -> None:
    assert readings(path) == {decoded(path)}
    assert not is_ambiguous(path)


@pytest.mark.parametrize("path", [path for path, _ in READINGS])
def test_nothing_that_has_readings_takes_the_short_way(path: bytes) -> None:
    assert PLAIN.fullmatch(path) is None


def test_letter_case_and_the_trailing_slash_stay() -> None:
    assert readings(b"/Admin//") == {b"/Admin//", b"/Admin/"}
    assert b"/admin" not in readings(b"/admin/") | readings(b"/Admin")


@pytest.mark.parametrize(
    ("path", "has"),
    [(b"/%00", True), (b"/a%00/b", True), (b"/a/b%00", True), (b"/%2500", False),
     (b"/%01", False), (b"/0%0", False), (b"/", False)],
)  # fmt: skip
def test_nul(path: bytes, has: bool) -> None:
    assert has_nul(path) is has


def test_a_path_of_many_readings_is_none_that_anyone_meant() -> None:
    with pytest.raises(AmbiguousPath):
        readings(b"/" + b"..;a//b%252f%5c.%2e;/" * 50)


@pytest.mark.parametrize(
    "path",
    [b"/files/a%2Fb", b"/files/a%2Fb%2Fc;v=1//d/./e%20f", b"/x;v=1", b"/a//b", b"/a/../b/./c",
     b"/%E4%BD%A0%2F%E5%A5%BD;lang=zh//x", b"/wiki/C%2B%2B/%3Fa%26b%3Dc", b"/a%252Fb;x=1;y=2//c"],
)  # fmt: skip
def test_honest_paths_have_few_enough(path: bytes) -> None:
    assert readings(path)


PIECES = ["/", "//", ".", "..", "%2e", "%2E%2e", "%2f", "%2F", "\\", "%5c", ";", ";a=b", "%3b",
          "%3f", "%23", "%25", "%2561", "%61", "a", "admin", "x", "%252e", "%20", "%3a", ":",
          "dmin", "%2541", "%c3%a9"]  # fmt: skip
PATTERNS = [PathMatch(exact="/admin"), PathMatch(prefix="/admin"), PathMatch(prefix="/admin/"),
            PathMatch(segment_prefix="/admin"), PathMatch(exact="/a:x"), PathMatch(prefix="/x/a"),
            PathMatch(exact="/"), PathMatch(segment_prefix="/admin/x")]  # fmt: skip
FINDS = [compile_find([Match(path=pattern)]) for pattern in PATTERNS]


def taken(path: bytes) -> list[bool]:
    """Which patterns match a path; what servers cannot read as a path matches none."""
    head = Head(path.decode("latin-1"))
    return [find(head, path, None) == 0 for find in FINDS]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=9).map(lambda parts: "/" + "".join(parts)))
def test_no_server_reads_what_is_let_through_otherwise(text: str) -> None:
    """Where all readings of ours take the routes of the bytes, those of every server do: for every
    habit that servers have, in every order, any number of times."""
    path = text.encode()
    own = taken(path)
    try:
        let_through = all(taken(reading) == own for reading in readings(path))
    except AmbiguousPath:
        return
    for reading in read_by_anyone(path) if let_through else ():
        if reading.startswith(b"/") and b"\0" not in reading:
            assert taken(reading) == own, (path, reading)


def test_a_network_path_reference_is_read_without_its_authority() -> None:
    assert urlsplit("//x/admin").path == "/admin"
    assert b"/admin" in readings(b"//x/admin")
