from datetime import UTC, datetime
from pathlib import Path

import pytest

from controlplane.access.bearer import new_bearer
from controlplane.access.caller import Caller, Role
from controlplane.tokens import GivenToken, TokenError, administrators_token, given_token


def test_only_the_token_itself_is_the_administrator_s() -> None:
    given = GivenToken("secret")
    found = given.find("secret")
    assert found is not None
    assert found.caller == Caller("admin", Role.ADMIN)
    assert found.holds(datetime.max.replace(tzinfo=UTC))
    for wrong in ("", "secre", "secret ", "SECRET", "sécret", "\udcff"):
        assert given.find(wrong) is None


def test_the_token_itself_is_not_kept() -> None:
    assert "secret" not in repr(vars(GivenToken("secret")))


def test_a_token_of_a_store_is_not_made_an_administrator_s() -> None:
    with pytest.raises(TokenError, match="SPLITWAY_TOKEN: this is a token of a store"):
        administrators_token(None, {"SPLITWAY_TOKEN": new_bearer().text})
    assert administrators_token(None, {"SPLITWAY_TOKEN": "s" * 20}) == "s" * 20
    assert administrators_token(None, {}) is None


def test_a_file_comes_before_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(" from-file\n")
    assert given_token(file, {"SPLITWAY_TOKEN": "from-env"}) == "from-file"
    assert given_token(None, {"SPLITWAY_TOKEN": "from-env"}) == "from-env"
    assert given_token(None, {}) is None


@pytest.mark.parametrize("text", ["", " \n", "two words", "two\nlines", "ключ", "a=b"])
def test_a_token_that_no_header_can_carry_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    with pytest.raises(TokenError, match="token"):
        given_token(file, {})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TokenError, match="nowhere: No such file"):
        given_token(tmp_path / "nowhere", {})


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(TokenError, match="not text"):
        given_token(file, {})


def test_an_administrator_s_token_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("nineteen-characters\n")
    with pytest.raises(TokenError, match=r"token: 19 characters can be guessed.*openssl rand"):
        administrators_token(file, {})
    assert given_token(file, {}) == "nineteen-characters"  # whoever calls has what they were given
