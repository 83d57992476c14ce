from pathlib import Path

import pytest

from loadtests.compare.options import parse_options
from loadtests.compare.peers import PEERS
from loadtests.compare.scenarios import SCENARIOS


def test_everything_is_compared_unless_told_otherwise() -> None:
    options = parse_options([])
    assert (set(options.peers), set(options.scenarios)) == (set(PEERS), set(SCENARIOS))
    assert options.full
    assert (options.rounds, options.rate, options.connections) == (3, 1000, 10_000)


@pytest.mark.parametrize(
    "argument",
    ["--peers=splitway,envoy", "--scenarios=churn", "--also=", "--rounds=2", "--seconds=2",
     "--python-backend"],
)  # fmt: skip
def test_a_part_is_no_full_comparison(argument: str) -> None:
    assert not parse_options([argument]).full


def test_names_are_taken_once_in_the_order_given() -> None:
    assert parse_options(["--peers", "envoy, splitway,envoy"]).peers == ("envoy", "splitway")
    assert parse_options(["--also", ""]).also == ()
    assert parse_options(["--bin", "a", "--bin", "b"]).binaries == (Path("a"), Path("b"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--peers=ngnix"], "unknown: ngnix"),
        (["--scenarios=get"], "unknown: get"),
        (["--rounds=0"], "0 is not a whole number above 0"),
        (["--seconds=1.5"], "1.5 is not a whole number above 0"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        parse_options(arguments)
    assert left.value.code == 2
    assert words in capsys.readouterr().err
