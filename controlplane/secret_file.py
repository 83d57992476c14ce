"""Owns writing a secret to a file that only its owner may read. Never shows it, and never leaves it
half written: whoever reads the file sees the one before, or the new one.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


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
        raise FileExistsError(0, "the file is there already; name a new one")
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as out:
            yield lambda secret: _write(out.fileno(), secret)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _write(handle: int, secret: str) -> None:
    os.write(handle, f"{secret}\n".encode("ascii"))
    os.fsync(handle)
