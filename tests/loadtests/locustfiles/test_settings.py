from pathlib import Path

import pytest

from loadtests.locustfiles import settings


def test_what_is_set_is_used_and_defaults_fill_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOAD_X", "12.5")
    assert settings.text("LOAD_X") == "12.5"
    assert settings.number("LOAD_X", 1, least=0) == 12.5
    monkeypatch.setenv("LOAD_X", "a=1;b=2")
    assert settings.steps("LOAD_X") == [{"a": 1}, {"b": 2}]
    monkeypatch.delenv("LOAD_X")
    assert settings.text("LOAD_X", "d") == "d"
    assert settings.number("LOAD_X", 7, least=0) == 7
    assert settings.steps("LOAD_X", "a=1") == [{"a": 1}]


def test_the_journal_has_a_default_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOAD_JOURNAL", raising=False)
    assert settings.journal_path() == Path("run/journal.jsonl")


@pytest.mark.parametrize("value", ["many", "-1", "nan", "inf", "0.5"])
def test_a_wrong_number_ends_the_run_and_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("LOAD_X", value)
    with pytest.raises(SystemExit, match=r"LOAD_X: .*" + value):
        settings.number("LOAD_X", 1, least=1)


def test_wrong_steps_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOAD_X", "99/1")
    with pytest.raises(SystemExit, match="LOAD_X: weights '99/1': write VERSION=NUMBER"):
        settings.steps("LOAD_X")


def test_what_must_be_set_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOAD_X", raising=False)
    with pytest.raises(SystemExit, match="LOAD_X: must be set"):
        settings.text("LOAD_X")
