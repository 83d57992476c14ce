"""Owns an endpoint's response head: bytes in, ``ResponseHead`` out. As strict as for clients.

An endpoint is no more trusted than a client: what is ambiguous is refused (502), and no byte of it
reaches anyone else. Source: RFC 9112 §4, §6.3; RFC 9110 §15.
"""

from enum import IntEnum
from typing import Final

from proxy.http1 import grammar
from proxy.http1.errors import BadResponse
from proxy.http1.fields import Fields, parse_length

_SURELY_FEW_BYTES: Final = grammar.MAX_FIELDS * grammar.LEAST_FIELD_BYTES
_BARE_LINE: Final = len(b"HTTP/1.1 200")


class Framing(IntEnum):
    """What ends a response's body."""

    NONE = 0
    LENGTH = 1
    CHUNKED = 2
    CLOSE = 3


# An enumeration's members cost a descriptor's call each time they are looked up (Python 3.11).
_NONE: Final = Framing.NONE
_LENGTH: Final = Framing.LENGTH
_CHUNKED: Final = Framing.CHUNKED
_CLOSE: Final = Framing.CLOSE

_KEEP_ALIVE: Final = (b"connection", b"keep-alive")


class ResponseHead(Fields):
    """One accepted response head.

    Attributes:
        status: 100–999.
        line: the status line without its CRLF.
        framing: what ends the body; ``length`` holds its bytes for ``LENGTH``.
        reusable: the endpoint keeps the connection open after this response.
    """

    __slots__ = ("framing", "length", "line", "minor", "reusable", "status")

    def __init__(self, status: int, minor: int, line: bytes, fields: bytes) -> None:
        self.raw = self.plain = fields  # as Fields does, without the call
        self.low = b"\n" + fields.lower()
        self.status = status
        self.minor = minor
        self.line = line
        self.framing = _CLOSE
        self.length = 0
        self.reusable = minor == 1


def is_switch(head: ResponseHead, asked: bytes) -> bool:
    """Whether a 101 switches to one of the protocols asked for (an Upgrade field's value)."""
    if head.minor == 0 or b"upgrade" not in head.options(b"connection"):
        return False
    chosen = head.options(b"upgrade")
    wanted = [member.strip(b" ") for member in asked.lower().split(b",")]
    return len(chosen) == 1 and chosen[0] in wanted


def parse_response(data: bytes, method: str) -> ResponseHead:
    """Accept a whole head that answers a request made with ``method``.

    Raises:
        BadResponse: the connection must be dropped.
    """
    match = grammar.RESPONSE_HEAD.fullmatch(data)
    if match is None:
        raise BadResponse("The head is not valid HTTP/1.1.")
    minor, code, fields = match.groups()
    if len(fields) > _SURELY_FEW_BYTES and fields.count(b"\n") > grammar.MAX_FIELDS:
        raise BadResponse("There are too many header fields.")
    line = data[: match.start(3) - 2]
    if len(line) == _BARE_LINE:
        line += b" "  # some servers leave it out; RFC 9112 §4 has it stand even without a reason
    status = int(code)
    head = ResponseHead(status, 1 if minor == b"1" else 0, line, fields)
    found = grammar.RESPONSE_SPECIAL.findall(head.low)
    if found:
        if len(found) == 2 and minor == b"1" and _KEEP_ALIVE in found:
            # What most servers add is cut out; what is left is most often the length.
            head.plain = head.cut_connection()
            found.remove(_KEEP_ALIVE)
        if len(found) == 1 and found[0][0] == b"content-length":
            _read_length(head, found[0][1])
        else:
            _read_special(head, found)
    if status < 200 or status == 204:
        head.framing = _NONE  # RFC 9110 §6.4.1
        head.plain = None  # a Content-Length must not stand here (§8.6)
    elif status == 304 or method == "HEAD":
        head.framing = _NONE
    elif head.framing is _CLOSE:
        head.reusable = False
    return head


def _read_length(head: ResponseHead, value: bytes) -> None:
    length = parse_length(value)
    if length is None:
        raise BadResponse("Content-Length must be one decimal number.")
    head.length = length
    head.framing = _LENGTH


def _read_special(head: ResponseHead, found: list[tuple[bytes, bytes]]) -> None:
    special = dict(found)
    if len(special) < len(found):
        _refuse_repeated([name for name, _ in found])
    head.plain = None
    if b"transfer-encoding" in special:
        _read_coding(head, special)
    elif b"content-length" in special:
        _read_length(head, special[b"content-length"])
    options = head.options(b"connection")
    if b"close" in options:
        head.reusable = False
    elif head.minor == 0:
        head.reusable = b"keep-alive" in options


def _refuse_repeated(names: list[bytes]) -> None:
    if names.count(b"content-length") > 1:
        raise BadResponse("Content-Length must be one decimal number.")
    if names.count(b"transfer-encoding") > 1:
        raise BadResponse("The only transfer coding accepted is chunked, once.")


def _read_coding(head: ResponseHead, special: dict[bytes, bytes]) -> None:
    if b"content-length" in special or head.minor == 0:
        raise BadResponse("Transfer-Encoding stands beside Content-Length or in HTTP/1.0.")
    if special[b"transfer-encoding"].strip(b" \t") != b"chunked":
        raise BadResponse("The only transfer coding accepted is chunked, once.")
    head.framing = _CHUNKED
