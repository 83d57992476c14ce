from pathlib import Path

import pytest

from controlplane.tokens import TokenError, Tokens, generated_token, given_token


def test_only_the_token_itself_has_a_name() -> None:
    tokens = Tokens("secret")
    assert tokens.name_of("secret") == "admin"
    for wrong in ("", "secre", "secret ", "SECRET", "sécret", "\udcff"):
        assert tokens.name_of(wrong) is None


def test_the_token_itself_is_not_kept() -> None:
    assert "secret" not in repr(vars(Tokens("secret")))


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


def test_the_first_start_makes_a_token_that_later_ones_find(tmp_path: Path) -> None:
    file = tmp_path / "db.token"
    token, is_new = generated_token(file)
    assert is_new
    assert len(token) > 40
    assert file.stat().st_mode & 0o777 == 0o600
    assert generated_token(file) == (token, False)


def test_a_start_that_was_killed_before_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "db.token.new").touch(mode=0o666)
    token, _ = generated_token(tmp_path / "db.token")
    assert (tmp_path / "db.token").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "db.token").read_text().strip() == token


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TokenError, match="No such file"):
        generated_token(tmp_path / "none" / "db.token")
