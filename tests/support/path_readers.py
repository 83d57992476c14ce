"""Owns how servers behind a proxy read a path: each habit by itself, and all that they add up to.

Written from what servers do, not from ``proxy.core.path``, so that the two can be compared.
Sources: RFC 3986 §5.2.4 (dot segments), Tomcat's path parameters, nginx's merge_slashes, IIS's
backslash, C strings' NUL.
"""

import re
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

MANY = 20_000
"""More readings than any path of these tests has."""


def decoded(path: bytes) -> bytes:
    """Every %XX at once; a second time where a server decodes twice."""
    return unquote_to_bytes(path)


def decoded_but_slashes(path: bytes) -> bytes:
    """As Apache with AllowEncodedSlashes NoDecode."""
    kept = re.split(rb"(%2[fF])", path)
    return b"".join(part if number % 2 else unquote_to_bytes(part)
                    for number, part in enumerate(kept))  # fmt: skip


def merged(path: bytes) -> bytes:
    """Empty segments dropped."""
    return re.sub(rb"/{2,}", b"/", path)


def without_parameters(path: bytes) -> bytes:
    """From a semicolon to the segment's end."""
    return re.sub(rb";[^/]*", b"", path)


def backslashed(path: bytes) -> bytes:
    """A backslash is a slash."""
    return path.replace(b"\\", b"/")


def ended_by_nul(path: bytes) -> bytes:
    """As a C string."""
    return path.split(b"\0")[0]


def ended_by_mark(path: bytes) -> bytes:
    """A decoded ``?`` or ``#`` taken for the query's or fragment's begin."""
    return re.split(rb"[?#]", path)[0]


def resolved(path: bytes) -> bytes:
    """Dot segments removed, word by word as RFC 3986 §5.2.4 says it."""
    rest, out = path, b""
    while rest:
        if rest.startswith(b"/../") or rest == b"/..":
            rest, out = b"/" + rest[4:], out.rpartition(b"/")[0]
        elif rest.startswith(b"/./") or rest == b"/.":
            rest = b"/" + rest[3:]
        else:
            end = rest.find(b"/", 1)
            end = len(rest) if end < 0 else end
            rest, out = rest[end:], out + rest[:end]
    return out


READERS: tuple[Callable[[bytes], bytes], ...] = (
    decoded,
    decoded_but_slashes,
    merged,
    without_parameters,
    backslashed,
    ended_by_nul,
    ended_by_mark,
    resolved,
)


def read_by_anyone(path: bytes) -> set[bytes]:
    """What the path becomes by any of the habits, in any order, any number of times."""
    found, fresh = {path}, [path]
    while fresh:
        reading = fresh.pop()
        for read in READERS:
            other = read(reading)
            if other not in found:
                found.add(other)
                fresh.append(other)
        assert len(found) < MANY, path
    return found
