"""What becomes of a path, row by row of the Gateway API's and Envoy's documentation."""

import pytest

from proxy.core.rewrite import compile_change
from proxy.model.config import PathChange, PathMatch, Rewrite, Substitution
from proxy.model.regex import MAX_MATCHES, BeyondRegex


def changed(change: PathChange, matched: PathMatch | None, target: str) -> str:
    made = compile_change(change, matched)
    assert made is not None
    return made(target.encode()).decode()


@pytest.mark.parametrize(
    ("target", "matched", "instead", "expected"),
    [
        # Gateway API, HTTPPathModifier.replacePrefixMatch
        ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
        ("/foo", "/foo", "/xyz", "/xyz"),
        ("/foo/", "/foo", "/xyz", "/xyz/"),
        ("/foo/bar", "/foo", "", "/bar"),
        ("/foo/", "/foo", "", "/"),
        ("/foo", "/foo", "", "/"),
        ("/foo/", "/foo", "/", "/"),
        ("/foo", "/foo", "/", "/"),
        # and what it leaves open
        ("/foo/bar?a=/foo", "/foo", "/", "/bar?a=/foo"),
        ("/foo?x", "/foo", "/", "/?x"),
        ("/", "/", "/xyz", "/xyz/"),
        ("/a%2Fb", "/", "/xyz", "/xyz/a%2Fb"),
        ("/foo//bar", "/foo", "/", "//bar"),
    ],
)
def test_a_matched_segment_prefix_is_replaced(
    target: str, matched: str, instead: str, expected: str
) -> None:
    match = PathMatch(segment_prefix=matched)
    assert changed(Rewrite(prefix=instead), match, target) == expected


@pytest.mark.parametrize(
    ("target", "matched", "instead", "expected"),
    [
        ("/ratings/7", "/ratings", "/v1/bookRatings", "/v1/bookRatings/7"),  # Istio
        ("/prefix/one", "/prefix/", "/", "/one"),  # Envoy
        ("/prefix/one", "/prefix", "/", "/one"),  # where Envoy sends //one
        ("/items", "/", "/v2", "/v2/items"),
        ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
        ("/foo/", "/foo/", "", "/"),
        ("/ratings7", "/ratings", "/v1", "/v17"),
        ("/a", "/a", "", "/"),
        ("/ab", "/a", "", "/b"),
    ],
)
def test_a_matched_raw_prefix_is_replaced(
    target: str, matched: str, instead: str, expected: str
) -> None:
    assert changed(Rewrite(prefix=instead), PathMatch(prefix=matched), target) == expected


def test_case_may_differ_from_the_matched_prefix() -> None:
    match = PathMatch(segment_prefix="/Foo", ignore_case=True)
    assert changed(Rewrite(prefix="/x"), match, "/fOO/Bar") == "/x/Bar"


def test_without_a_path_match_the_prefix_is_the_root() -> None:
    assert changed(Rewrite(prefix="/api"), None, "/x?y") == "/api/x?y"


@pytest.mark.parametrize("target", ["/", "/a/b", "/a?b", "/a?"])
def test_a_whole_path_is_replaced_and_the_query_stays(target: str) -> None:
    query = target[len(target.partition("?")[0]) :]
    assert changed(Rewrite(path="/new"), None, target) == "/new" + query


@pytest.mark.parametrize(
    ("target", "pattern", "to", "expected"),
    [
        # Envoy, route.v3 RouteAction.regex_rewrite
        ("/service/a/v1/api", r"^/service/([^/]+)(/.*)$", r"\2/instance/\1", "/v1/api/instance/a"),
        ("/xxx/one/yyy/one/zzz", "one", "two", "/xxx/two/yyy/two/zzz"),
        ("/xxx/one/yyy/one/zzz", r"^(.*?)one(.*)$", r"\1two\2", "/xxx/two/yyy/one/zzz"),
        ("/aaa/XxX/bbb", r"(?i)/xxx/", "/yyy/", "/aaa/yyy/bbb"),
        # and what it leaves open
        ("/a?one=one", "one", "two", "/a?one=one"),
        ("/abc", "b", r"[\0]", "/a[b]c"),
        ("/abc", "(x)?b", r"<\1>", "/a<>c"),
        ("/abc", "b", "\\\\", "/a\\c"),
        ("/abc", "/", "", "/abc"),
        ("/abc", "", "-", "/-/-a-b-c-"),
        # An empty match right behind a match is none, as in RE2's own replacing.
        ("/a", ".*", "/new", "/new"),
        ("/a", "(.*)", r"/p\1", "/p/a"),
        ("/a/", "/*$", "/", "/a/"),
    ],
)  # fmt: skip
def test_every_match_of_an_expression_is_replaced(
    target: str, pattern: str, to: str, expected: str
) -> None:
    change = Rewrite(regex=Substitution(pattern=pattern, to=to))
    assert changed(change, None, target) == expected


def test_too_many_matches_are_refused_not_half_done() -> None:
    change = Rewrite(regex=Substitution(pattern="a", to="b"))
    most = "/" + "a" * MAX_MATCHES
    assert changed(change, None, most) == "/" + "b" * MAX_MATCHES
    with pytest.raises(BeyondRegex):
        changed(change, None, most + "a")


def test_the_asterisk_of_options_is_no_path() -> None:
    for change in (Rewrite(path="/x"), Rewrite(prefix="/x")):
        assert changed(change, None, "*") == "*"


def test_a_host_alone_leaves_the_path() -> None:
    assert compile_change(Rewrite(host="other"), None) is None
