"""What a match says of method, headers, query and cookies."""

import pytest

from proxy.core.match import compile_match, decoded_match, is_encoded, takes_every_path
from proxy.model.config import Match, PathMatch, TextMatch
from proxy.model.regex import MAX_TEXT, BeyondRegex
from tests.support.heads import Head, view_of


def matches(match: Match, head: Head) -> bool:
    predicate = compile_match(match)
    assert predicate is not None
    return predicate(view_of(head))


@pytest.mark.parametrize(
    "match", [Match(), Match(host="a"), Match(path=PathMatch(exact="/a")), Match(fraction=0.5)]
)
def test_what_it_says_nothing_of_costs_nothing(match: Match) -> None:
    assert compile_match(match) is None


@pytest.mark.parametrize(
    ("methods", "method", "expected"),
    [
        (("GET",), "GET", True),
        (("GET",), "HEAD", False),
        (("GET",), "get", False),
        (("POST", "PUT"), "PUT", True),
        (("POST", "PUT"), "GET", False),
    ],
)
def test_methods(methods: tuple[str, ...], method: str, *, expected: bool) -> None:
    assert matches(Match(methods=methods), Head(method=method)) is expected


TEXTS = [
    # the match, what is there (None: nothing), whether it matches
    (TextMatch(exact="a"), "a", True),
    (TextMatch(exact="a"), "A", False),
    (TextMatch(exact="a"), "ab", False),
    (TextMatch(exact="a"), None, False),
    (TextMatch(exact=""), "", True),
    (TextMatch(exact=""), None, False),
    (TextMatch(prefix="a"), "ab", True),
    (TextMatch(prefix="a"), "ba", False),
    (TextMatch(prefix="a"), None, False),
    (TextMatch(regex="a+"), "aaa", True),
    (TextMatch(regex="a+"), "aab", False),
    (TextMatch(regex="a*"), "", True),
    (TextMatch(regex="a*"), None, False),
    (TextMatch(regex="(?i)A"), "a", True),
    (TextMatch(present=True), "", True),
    (TextMatch(present=True), None, False),
    (TextMatch(present=False), "", False),
    (TextMatch(present=False), None, True),
    (TextMatch(exact="a", invert=True), "a", False),
    (TextMatch(exact="a", invert=True), "b", True),
    (TextMatch(exact="a", invert=True), None, True),
    (TextMatch(present=True, invert=True), None, True),
    (TextMatch(regex="[0-9]{3}", invert=True), "1234", True),
]


@pytest.mark.parametrize(("text", "value", "expected"), TEXTS)
def test_texts_are_compared_alike_wherever_they_are(
    text: TextMatch, value: str | None, *, expected: bool
) -> None:
    there = [] if value is None else [("x-a", value)]
    assert matches(Match(headers={"X-A": text}), Head("/", *there)) is expected
    target = "/" if value is None else f"/?a={value}"
    assert matches(Match(query={"a": text}), Head(target)) is expected
    there = [] if value is None else [("cookie", f"b=1; a={value}")]
    assert matches(Match(cookies={"a": text}), Head("/", *there)) is expected


def test_a_repeated_field_is_one_list() -> None:
    head = Head("/", ("x-a", "1"), ("x-b", "9"), ("x-a", "2"))
    assert matches(Match(headers={"X-A": TextMatch(exact="1,2")}), head)
    assert not matches(Match(headers={"X-A": TextMatch(exact="1")}), head)


@pytest.mark.parametrize(
    ("target", "name", "expected"),
    [
        ("/?a", "a", b""),
        ("/?a=", "a", b""),
        ("/?a=1&a=2", "a", b"1"),
        ("/?b=1&a=2", "a", b"2"),
        ("/?a=b=c", "a", b"b=c"),
        ("/?%61=x%20y+z", "a", b"x y z"),
        ("/?a%20b=1", "a b", b"1"),
        ("/?A=1", "a", None),
        ("/?", "a", None),
        ("/a=1", "a", None),
        ("/?b=a=1", "a", None),
        ("/?=1", "", b"1"),
    ],
)
def test_query(target: str, name: str, expected: bytes | None) -> None:
    there = matches(Match(query={name: TextMatch(present=True)}), Head(target))
    assert there is (expected is not None)
    if expected is not None:
        exact = TextMatch(exact=expected.decode())
        assert matches(Match(query={name: exact}), Head(target))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["a=1"], b"1"),
        (['a="1 2"'], b"1 2"),
        (["b=2;a=1"], b"1"),
        (["a=1; a=2"], b"1"),
        (["b=2", "a=1"], b"1"),
        (["A=1"], None),
        (["xa=1"], None),
        (["a"], None),
        (["b=a=1"], None),
    ],
)
def test_cookies(fields: list[str], expected: bytes | None) -> None:
    head = Head("/", *[("cookie", field) for field in fields])
    assert matches(Match(cookies={"a": TextMatch(present=True)}), head) is (expected is not None)
    if expected is not None:
        exact = TextMatch(exact=expected.decode())
        assert matches(Match(cookies={"a": exact}), head)


def test_everything_must_match() -> None:
    match = Match(
        methods=("GET",),
        headers={"X-A": TextMatch(exact="1"), "X-B": TextMatch(present=True)},
        query={"q": TextMatch(exact="1")},
        cookies={"c": TextMatch(exact="1")},
    )
    fields = [("x-a", "1"), ("x-b", ""), ("cookie", "c=1")]
    assert matches(match, Head("/?q=1", *fields))
    assert not matches(match, Head("/?q=1", *fields, method="PUT"))
    assert not matches(match, Head("/?q=2", *fields))
    for left_out in fields:
        assert not matches(match, Head("/?q=1", *[field for field in fields if field != left_out]))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (None, True),
        (PathMatch(prefix="/"), True),
        (PathMatch(segment_prefix="/"), True),
        (PathMatch(exact="/"), False),
        (PathMatch(prefix="/a"), False),
        (PathMatch(regex=".*"), False),
    ],
)
def test_takes_every_path(path: PathMatch | None, *, expected: bool) -> None:
    assert takes_every_path(path) is expected


def test_a_match_is_decoded_but_for_expressions() -> None:
    plain = Match(path=PathMatch(exact="/a"))
    assert decoded_match(plain) is plain
    encoded = Match(path=PathMatch(exact="/%61", ignore_case=True), methods=("GET",))
    assert is_encoded(encoded)
    assert decoded_match(encoded) == Match(
        path=PathMatch(exact="/a", ignore_case=True), methods=("GET",)
    )
    regex = Match(path=PathMatch(regex="/%61"))
    assert is_encoded(regex)
    assert decoded_match(regex) is regex
    assert not is_encoded(Match())


PREFLIGHT = (("origin", "https://a.example"), ("access-control-request-method", "PUT"))


@pytest.mark.parametrize(
    ("match", "cors", "expected"),
    [
        (Match(methods=("PUT",)), True, True),
        (Match(methods=("OPTIONS",)), True, True),
        (Match(methods=("GET",)), True, False),
        (Match(methods=("PUT",)), False, False),
        (Match(headers={"X-Env": TextMatch(exact="a")}), True, True),
        (Match(headers={"X-Env": TextMatch(exact="a")}), False, False),
        (Match(methods=("GET",), cookies={"c": TextMatch(exact="a")}), True, False),
        (Match(query={"q": TextMatch(exact="a")}), True, False),
        (Match(query={"q": TextMatch(exact="b")}, cookies={"c": TextMatch(exact="a")}), True, True),
    ],
)
def test_a_preflight_is_matched_as_the_request_it_asks_for(
    match: Match, *, cors: bool, expected: bool
) -> None:
    predicate = compile_match(match, cors=cors)
    assert predicate is not None
    head = Head("/?q=b", *PREFLIGHT, method="OPTIONS")
    assert predicate(view_of(head)) is expected


@pytest.mark.parametrize("missing", [0, 1])
def test_an_options_request_is_no_preflight_by_itself(missing: int) -> None:
    predicate = compile_match(Match(methods=("PUT",)), cors=True)
    assert predicate is not None
    fields = PREFLIGHT[:missing] + PREFLIGHT[missing + 1 :]
    assert not predicate(view_of(Head("/", *fields, method="OPTIONS")))
    assert not predicate(view_of(Head("/", *PREFLIGHT, method="GET")))


@pytest.mark.parametrize("name", ["X-Forwarded-Proto", "Forwarded", "X-Real-IP"])
def test_only_a_trusted_proxy_is_believed_in_what_it_says_of_the_client(name: str) -> None:
    predicate = compile_match(Match(headers={name: TextMatch(exact="https")}))
    assert predicate is not None
    head = Head("/", (name.lower(), "https"))
    assert not predicate(view_of(head))
    assert not predicate(view_of(head, trusted=("10.0.0.0/8",)))
    assert predicate(view_of(head, peer="10.1.2.3", trusted=("10.0.0.0/8",)))


def test_a_value_too_long_for_an_expression_is_refused() -> None:
    match = Match(headers={"X-Env": TextMatch(regex="a*")})
    assert matches(match, Head("/", ("x-env", "a" * MAX_TEXT)))
    with pytest.raises(BeyondRegex):
        matches(match, Head("/", ("x-env", "a" * (MAX_TEXT + 1))))
