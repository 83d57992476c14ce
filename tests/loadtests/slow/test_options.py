"""The command line of the slow attacks."""

import pytest

from loadtests.slow.options import parse_options


def test_defaults_are_those_of_the_promise() -> None:
    options = parse_options([])
    assert (options.connections, options.good_rate, options.flood_rate) == (9_000, 200, 1_000)
    assert {"heads", "bodies", "reads"} < set(options.attacks)
    assert options.folder is None


def test_attacks_are_chosen_by_name() -> None:
    options = parse_options(["--attacks", "heads", "many-fields", "--seconds", "2.5"])
    assert options.attacks == ("heads", "many-fields")
    assert options.seconds == 2.5


@pytest.mark.parametrize(
    "arguments",
    [["--connections", "0"], ["--seconds", "0"], ["--seconds", "nan"], ["--attacks", "ping"],
     ["--attacks"], ["--rate", "many"]],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse_options(arguments)
    assert "usage" in capsys.readouterr().err


def test_aiming_elsewhere_is_asked_for() -> None:
    assert not parse_options([]).aside
    assert parse_options(["--aside"]).aside
