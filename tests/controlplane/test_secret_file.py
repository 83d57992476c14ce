import errno
import os
from pathlib import Path

import pytest

from controlplane.secret_file import secret_file


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    file = tmp_path / "token"
    with secret_file(file, replace=False) as write:
        write("secret")
        assert not file.exists()
    assert file.read_text() == "secret\n"
    assert file.stat().st_mode & 0o777 == 0o600
    with secret_file(file, replace=True) as write:
        write("newer")
    assert file.read_text() == "newer\n"
    assert list(tmp_path.iterdir()) == [file]


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("before")

    def fail() -> None:
        with secret_file(file, replace=True) as write:
            write("half")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    with pytest.raises(FileExistsError), secret_file(file, replace=False):
        raise AssertionError("nothing may be made for a file that cannot be written")
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_that_is_not_there_is_seen_before(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), secret_file(tmp_path / "no" / "t", replace=False):
        raise AssertionError("nothing may be made for a file that cannot be written")


def test_who_was_quicker_keeps_theirs(tmp_path: Path) -> None:
    file = tmp_path / "token"

    def race() -> None:
        with secret_file(file, replace=False) as write:
            write("mine")
            file.write_text("theirs")

    with pytest.raises(FileExistsError, match="name a new one"):
        race()
    assert file.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [file]


def test_a_disk_without_room_is_seen_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"), secret_file(tmp_path / "t", replace=False):
        raise AssertionError("nothing may be made for a file that cannot be written")
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_that_can_reserve_or_link_nothing_is_good_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", cannot)
    monkeypatch.setattr(os, "link", cannot)
    with secret_file(tmp_path / "t", replace=False) as write:
        write("secret")
    assert (tmp_path / "t").read_text() == "secret\n"
