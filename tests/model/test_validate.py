import msgspec
import pytest

from proxy.model import config as c
from proxy.model.errors import Problem
from proxy.model.validate import check_config, check_traffic, check_weights

TWO = ("stable", "canary")


@pytest.mark.parametrize(
    ("versions", "weights"),
    [
        (TWO, {"stable": 95, "canary": 5}),
        (TWO, {"stable": 1}),
        (TWO, {"stable": 0, "canary": 1_000_000}),
        (("v1",), {}),
        (("v1",), {"v1": 1}),
    ],
)
def test_good_weights(versions: tuple[str, ...], weights: dict[str, object]) -> None:
    assert check_weights("shop", versions, weights) == []


@pytest.mark.parametrize(
    ("versions", "weights", "problems"),
    [
        (TWO, {}, [("", "required where there are several versions: canary, stable")]),
        (TWO, {"stable": 1, "canry": 5}, [(".canry", "unknown version, did you mean `canary`?")]),
        (TWO, {"stable": 1, "x": 0}, [(".x", "unknown version; known here: canary, stable")]),
        (TWO, {"stable": -1}, [(".stable", "expected a whole number ≥ 0, got -1")]),
        (TWO, {"stable": 1.0}, [(".stable", "expected a whole number, got 1.0")]),
        (TWO, {"stable": True}, [(".stable", "expected a whole number, got true")]),
        (TWO, {"stable": False}, [(".stable", "expected a whole number, got false")]),
        (TWO, {"stable": "1"}, [(".stable", "expected a whole number, got '1'")]),
        (TWO, {"stable": None}, [(".stable", "expected a whole number, got nothing")]),
        (TWO, {"stable": 1_000_001},
         [(".stable", "expected a whole number ≤ 1000000, got 1000001")]),
        (("v1",), {"v1": 0}, [("", "all weights are 0; at least one version must get traffic")]),
        (TWO, {"x": 0, "stable": 0},
         [(".x", "unknown version; known here: canary, stable"),
          ("", "all weights are 0; at least one version must get traffic")]),
    ],
)  # fmt: skip
def test_bad_weights(
    versions: tuple[str, ...], weights: dict[str, object], problems: list[tuple[str, str]]
) -> None:
    found = check_weights("shop", versions, weights)
    assert found == [Problem(f"services.shop.weights{tail}", said) for tail, said in problems]


def test_traffic_without_a_text_has_no_lines() -> None:
    service = c.Service({"v1": c.Version(("http://a:1", "a"))}, {"v2": 1})
    traffic = c.Traffic({"shop": service}, (c.Route("shop"), c.Route("shp")))
    problems = check_traffic(traffic)
    assert [(problem.field, problem.line) for problem in problems] == [
        ("services.shop.versions.v1.endpoints[1]", 0),
        ("services.shop.weights.v2", 0),
        ("routes[1].service", 0),
    ]


def test_no_text_of_a_snapshot_ends_a_line() -> None:
    """A pattern's ``$`` alone lets a newline through at the end."""
    with pytest.raises(msgspec.ValidationError, match="matching regex"):
        msgspec.convert({"generated": {"cookie": "id\n"}}, c.KeyFrom)
    service = c.Service({"v1": c.Version(("http://a:1",))}, salt="a\rb")
    match = c.Match(path=c.PathMatch(exact="/a\r\nX: y"))
    traffic = c.Traffic({"shop": service}, (c.Route("shop", match=match),))
    said = "control characters are not allowed, got "
    assert [problem for problem in check_traffic(traffic) if problem.message.startswith(said)] == [
        Problem("services.shop.salt", said + r"'a\rb'"),
        Problem("routes[0].match.path.exact", said + r"'/a\r\nX: y'"),
    ]


def test_guessing_ends() -> None:
    routes = tuple(c.Route("shp") for _ in range(60))
    said = [each.message for each in check_traffic(c.Traffic({"shop": c.Service({})}, routes))]
    assert said[1] == "unknown service 'shp', did you mean `shop`?"
    assert said[-1] == "unknown service 'shp'"


def test_defaults_fit_each_other() -> None:
    assert check_config(c.Config(control=c.Control("http://c:1"))) == []


def test_a_file_may_do_without_a_control_plane() -> None:
    service = c.Service({"v1": c.Version(("http://a:1",))})
    assert check_config(c.Config({"shop": service}, (c.Route("shop"),))) == []
