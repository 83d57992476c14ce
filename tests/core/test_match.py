import pytest

from proxy.core.match import compile_match
from proxy.model.config import Match, PathMatch
from tests.support.heads import Head


def matches(match: Match, target: str, host: str = "") -> bool:
    predicate = compile_match(match)
    return predicate is None or predicate(Head(target, host=host))


@pytest.mark.parametrize(
    "match",
    [
        Match(),
        Match(path=PathMatch(prefix="/")),
        Match(path=PathMatch(segment_prefix="/")),
    ],
)
def test_a_match_of_everything_costs_nothing(match: Match) -> None:
    assert compile_match(match) is None


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
        # Nothing is decoded: what is matched is what is forwarded.
        (PathMatch(prefix="/a b"), "/a%20b", False),
        (PathMatch(prefix="/é"), "/é", True),
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
