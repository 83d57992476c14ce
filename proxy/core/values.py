"""Owns reading single values out of a head: query parameters, cookies. Never changes a byte.

Of what is repeated the first counts. Sources: RFC 6265 section 4.2 (Cookie), the URL standard's
form encoding (query).
"""

from typing import Final
from urllib.parse import unquote_to_bytes

from proxy.core.message import HeadView

_BLANKS: Final = b" \t"


def query_value(target: bytes, name: bytes) -> bytes | None:
    """The decoded value of a parameter; empty for ``?name``, None when it is not there.

    Args:
        name: decoded.
    """
    for pair in target.partition(b"?")[2].split(b"&"):
        field, equals, value = pair.partition(b"=")
        if (field or equals) and _form_decoded(field) == name:
            return _form_decoded(value)
    return None


def cookie_value(head: HeadView, name: bytes) -> bytes | None:
    """The value of a cookie without its quotes; None when it is not there."""
    for field in head.headers(b"cookie"):
        if field.find(name) >= 0:
            value = _cookie_in(field, name)
            if value is not None:
                return value
    return None


def query_values(target: bytes) -> dict[bytes, bytes]:
    """Every parameter, decoded; see ``query_value``."""
    found: dict[bytes, bytes] = {}
    for pair in target.partition(b"?")[2].split(b"&"):
        field, equals, value = pair.partition(b"=")
        if field or equals:
            found.setdefault(_form_decoded(field), _form_decoded(value))
    return found


def cookie_values(head: HeadView) -> dict[bytes, bytes]:
    """Every cookie; see ``cookie_value``."""
    found: dict[bytes, bytes] = {}
    for field in head.headers(b"cookie"):
        for pair in field.split(b";"):
            name, equals, value = pair.partition(b"=")
            if equals:
                found.setdefault(name.strip(_BLANKS), _unquoted(value))
    return found


def _cookie_in(field: bytes, wanted: bytes) -> bytes | None:
    for pair in field.split(b";"):
        name, equals, value = pair.partition(b"=")
        if equals and name.strip(_BLANKS) == wanted:
            return _unquoted(value)
    return None


def _unquoted(value: bytes) -> bytes:
    value = value.strip(_BLANKS)
    quoted = len(value) > 1 and value[:1] == value[-1:] == b'"'
    return value[1:-1] if quoted else value


def _form_decoded(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))
