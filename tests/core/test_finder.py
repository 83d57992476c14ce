"""The first route that matches is found, however many there are and whatever they look at."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.finder import compile_find
from proxy.core.match import path_of
from proxy.core.request_view import RequestView
from proxy.core.slot import SLOTS
from proxy.model.config import Match, PathMatch, TextMatch
from proxy.model.regex import MAX_SET_STEPS, MAX_TEXT, BeyondRegex
from tests.support.heads import Head, view_of


def found(head: Head, *matches: Match) -> int:
    return compile_find(matches)(head, path_of(head.target), view_of(head))


def matches(match: Match, target: str, host: str = "") -> bool:
    return found(Head(target, host=host), match) == 0


@pytest.mark.parametrize(
    ("pattern", "host", "expected"),
    [
        ("shop.example", "shop.example", True),
        ("Shop.EXAMPLE", "shop.example", True),
        ("shop.example", "a.shop.example", False),
        ("shop.example", "", False),
        ("*.example", "shop.example", True),
        ("*.Example", "a.b.example", True),
        ("*.example", "example", False),
        ("*.example", ".example", False),
        ("*.example", "shopexample", False),
        ("*.example", "example.org", False),
        ("*.b.example", "a.b.example", True),
        ("*.b.example", "a.c.example", False),
        ("[::1]", "[::1]", True),
    ],
)
def test_host(pattern: str, host: str, *, expected: bool) -> None:
    assert matches(Match(host=pattern), "/", host) is expected


@pytest.mark.parametrize(
    ("path", "target", "expected"),
    [
        (PathMatch(exact="/a"), "/a", True),
        (PathMatch(exact="/a"), "/a?b=/c", True),
        (PathMatch(exact="/a"), "/a/", False),
        (PathMatch(exact="/a"), "/A", False),
        (PathMatch(exact="/"), "*", True),
        (PathMatch(prefix="/ab"), "/abc/d", True),
        (PathMatch(prefix="/ab"), "/ab", True),
        (PathMatch(prefix="/ab"), "/a?b", False),
        (PathMatch(prefix="/a?"), "/a?b", False),
        (PathMatch(segment_prefix="/ab"), "/ab", True),
        (PathMatch(segment_prefix="/ab"), "/ab?x", True),
        (PathMatch(segment_prefix="/ab"), "/ab/c", True),
        (PathMatch(segment_prefix="/ab/"), "/ab", True),
        (PathMatch(segment_prefix="/ab"), "/abc", False),
        (PathMatch(segment_prefix="/ab"), "/", False),
        # Nothing is decoded: what is matched is what is forwarded.
        (PathMatch(prefix="/a b"), "/a%20b", False),
        (PathMatch(prefix="/é"), "/é", True),
        # The whole path, without the query.
        (PathMatch(regex="/a"), "/a", True),
        (PathMatch(regex="/a"), "/ab", False),
        (PathMatch(regex="a"), "/a", False),
        (PathMatch(regex="/a|/ab"), "/ab", True),
        (PathMatch(regex="/items/[0-9]+"), "/items/17?x=a", True),
        (PathMatch(regex="/items/[0-9]+"), "/items/17/a", False),
        (PathMatch(regex=".*"), "*", True),
        (PathMatch(exact="/A", ignore_case=True), "/a", True),
        (PathMatch(exact="/a", ignore_case=True), "/A", True),
        (PathMatch(prefix="/A", ignore_case=True), "/ab", True),
        (PathMatch(segment_prefix="/A/b", ignore_case=True), "/a/B/c", True),
        (PathMatch(regex="/A[b]", ignore_case=True), "/aB", True),
        (PathMatch(regex="/A[b]"), "/aB", False),
    ],
)
def test_path(path: PathMatch, target: str, *, expected: bool) -> None:
    assert matches(Match(path=path), target) is expected


@pytest.mark.parametrize(
    ("target", "host", "expected"),
    [
        ("/a/b", "shop.example", True),
        ("/b", "shop.example", False),
        ("/a/b", "other.example", False),
    ],
)
def test_host_and_path_must_both_match(target: str, host: str, *, expected: bool) -> None:
    both = Match(host="shop.example", path=PathMatch(prefix="/a"))
    assert matches(both, target, host) is expected


def test_the_first_in_the_list_wins_whatever_is_more_exact() -> None:
    kinds = (
        Match(),
        Match(host="a.example"),
        Match(host="*.example"),
        Match(path=PathMatch(exact="/a/b")),
        Match(path=PathMatch(prefix="/")),
        Match(path=PathMatch(prefix="/a")),
        Match(path=PathMatch(segment_prefix="/a/b")),
        Match(path=PathMatch(regex="/a.*")),
        Match(path=PathMatch(prefix="/A/", ignore_case=True)),
        Match(headers={"X-Env": TextMatch(exact="b")}),
        Match(methods=("GET",)),
        Match(fraction=1.0),
    )
    head = Head("/a/b", ("x-env", "b"), host="a.example")
    other = Match(path=PathMatch(exact="/other"))
    for first, second in itertools.permutations(kinds, 2):
        assert found(head, other, first, second) == 1, (first, second)


def test_what_does_not_match_otherwise_leaves_its_path_to_others() -> None:
    env = {"X-Env": TextMatch(exact="canary")}
    routes = (
        Match(path=PathMatch(exact="/a"), headers=env),
        Match(path=PathMatch(prefix="/a"), methods=("POST",)),
        Match(path=PathMatch(segment_prefix="/a"), fraction=0.0),
        Match(path=PathMatch(prefix="/")),
    )
    assert found(Head("/a"), *routes) == 3
    assert found(Head("/a", method="POST"), *routes) == 1
    assert found(Head("/a", ("x-env", "canary"), method="POST"), *routes) == 0
    assert found(Head("/b"), *routes[:3]) == -1


@pytest.mark.parametrize(
    ("fraction", "slots"), [(0.0, 0), (0.0001, 1), (0.29, 2_900), (1.0, SLOTS)]
)
def test_a_fraction_is_exact(fraction: float, slots: int) -> None:
    find = compile_find([Match(fraction=fraction)])
    head = Head("/")
    drawn = iter(range(SLOTS))
    views = (view_of(head, drawn.__next__) for _ in range(SLOTS))
    taken = sum(find(head, b"/", view) == 0 for view in views)
    assert taken == slots


def test_each_fraction_is_drawn_by_itself_and_once() -> None:
    drawn = iter([5_000, 4_999, 0])
    half = Match(fraction=0.5)
    find = compile_find([half, half, Match()])
    head = Head("/")
    view = view_of(head, lambda: next(drawn))
    assert [find(head, b"/", view) for _ in range(3)] == [1, 1, 1]
    assert next(drawn) == 0


PARTS = ["/", "/a", "/a/", "/a/b", "/ab", "/b", "/A", "/a/b/c", "/%61", ""]
HOSTS = ["a.example", "b.a.example", "example", "*.example", "*.a.example", "other.test"]


def paths() -> st.SearchStrategy[PathMatch]:
    text = st.lists(st.sampled_from(PARTS), min_size=1, max_size=3).map(
        lambda parts: "/" + "".join(parts).lstrip("/")
    )
    kinds = st.sampled_from(["exact", "prefix", "segment_prefix", "regex"])
    return st.builds(
        lambda kind, value, ignore: PathMatch(
            **{kind: value + (".*" if kind == "regex" else "")}, ignore_case=ignore
        ),
        kinds, text, st.booleans(),
    )  # fmt: skip


def all_matches() -> st.SearchStrategy[Match]:
    return st.builds(
        Match,
        host=st.none() | st.sampled_from(HOSTS),
        path=st.none() | paths(),
        methods=st.sampled_from([(), (), ("GET",), ("POST", "PUT")]),
    )


def plainly(match: Match, head: Head) -> bool:
    """As the documentation says it, without anything that is there to be fast."""
    host = head.host.decode()
    if match.host is not None:
        suffix = match.host.removeprefix("*")
        if suffix == match.host:
            if host != suffix:
                return False
        elif not (host.endswith(suffix) and host != suffix):
            return False
    if match.methods and head.method not in match.methods:
        return False
    path, want = path_of(head.target).decode(), match.path
    if want is None:
        return True
    exact, prefix, segments = want.exact, want.prefix, want.segment_prefix
    if want.ignore_case:
        path = path.lower()
        exact, prefix, segments = (text and text.lower() for text in (exact, prefix, segments))
    if exact is not None:
        return path == exact
    if prefix is not None:
        return path.startswith(prefix)
    if segments is not None:
        return f"{path}/".startswith(f"{segments.rstrip('/')}/")
    flags = re.IGNORECASE if want.ignore_case else 0
    return re.fullmatch(want.regex or "", path, flags) is not None


@settings(max_examples=400, deadline=None)
@given(
    st.lists(all_matches(), max_size=12),
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=4),
    st.sampled_from([host.lstrip("*.") for host in HOSTS]),
    st.sampled_from(["GET", "POST"]),
)
def test_what_is_found_is_the_first_that_matches_plainly(
    routes: list[Match], parts: list[str], host: str, method: str
) -> None:
    head = Head("/" + "".join(parts).lstrip("/"), host=host, method=method)
    expected = next((at for at, match in enumerate(routes) if plainly(match, head)), -1)
    assert found(head, *routes) == expected


def test_many_expressions_are_tried_together() -> None:
    routes = [Match(path=PathMatch(regex=f"/{at}/[a-z]+(/.*)?")) for at in range(300)]
    find = compile_find(routes)
    for at in range(300):
        assert find(Head(f"/{at}/ab"), b"/%d/ab" % at, None) == at
    assert find(Head("/300/ab"), b"/300/ab", None) == -1


@pytest.mark.parametrize("size", [MAX_SET_STEPS // 200, MAX_SET_STEPS // 200 + 1, MAX_TEXT])
def test_a_long_path_is_compared_all_the_same(size: int) -> None:
    routes = [Match(path=PathMatch(regex=f"/{at}/[a-z]+")) for at in range(200)]
    assert found(Head("/7/" + "a" * (size - 3)), *routes) == 7
    assert found(Head("/x/" + "a" * (size - 3)), *routes) == -1


@pytest.mark.parametrize("count", [1, 2])
def test_a_path_too_long_for_expressions_is_refused_not_missed(count: int) -> None:
    routes = [Match(path=PathMatch(regex="/a.*"))] * count
    with pytest.raises(BeyondRegex, match="too long"):
        found(Head("/a" + "a" * MAX_TEXT), *routes)
    assert found(Head("/a" + "a" * MAX_TEXT), Match(), *routes) == 0


def test_what_a_route_says_of_a_request_is_asked_once() -> None:
    asked = 0

    def count(_: RequestView) -> bool:
        nonlocal asked
        asked += 1
        return False

    view = view_of(Head())
    assert [view.fits(3, count) for _ in range(5)] == [False] * 5
    assert asked == 1
