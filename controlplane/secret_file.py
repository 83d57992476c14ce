"""Owns writing a secret to a file that only its owner may read. Never shows it, and never leaves it
half written: whoever reads the file sees the one before, or the new one.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOM_BYTES = 4096


@contextmanager
def secret_file(file: Path, *, replace: bool) -> Iterator[Callable[[str], None]]:
    """Gives what writes the secret; the file is in its place when the block has ended well.

    What can go wrong with the file goes wrong, as far as can be, before the block: there the secret
    is made, and cannot be had again.

    Args:
        replace: takes the place of a file that is there, which is refused without this.

    Raises: OSError.
    """
    if not replace and file.exists():
        raise _exists()
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as out:
            _make_room(out.fileno())
            yield lambda secret: _write(out.fileno(), secret)
        if replace:
            part.replace(file)
        else:
            _put_new(part, file)
    finally:
        part.unlink(missing_ok=True)


def _exists() -> FileExistsError:
    return FileExistsError(0, "the file is there already; name a new one")


def _make_room(handle: int) -> None:
    """A full disk is found before the secret is made."""
    try:
        os.posix_fallocate(handle, 0, _ROOM_BYTES)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # not every file system can
            raise


def _write(handle: int, secret: str) -> None:
    length = os.write(handle, f"{secret}\n".encode("ascii"))
    os.ftruncate(handle, length)
    os.fsync(handle)


def _put_new(part: Path, file: Path) -> None:
    """In its place, unless somebody was quicker: what is theirs stays theirs."""
    try:
        os.link(part, file)
    except FileExistsError:
        raise _exists() from None
    except OSError:  # a file system without hard links: better a small race than a lost secret
        part.replace(file)
