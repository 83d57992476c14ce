"""Owns an endpoint's response head: bytes in, ``ResponseHead`` out. As strict as for clients.

An endpoint is no more trusted than a client: what is ambiguous is refused (502), and no byte of it
reaches anyone else. Source: RFC 9112 §4, §6.3; RFC 9110 §15.
"""

from enum import IntEnum

from proxy.http1 import grammar
from proxy.http1.errors import BadResponse
from proxy.http1.fields import Fields

_WITH_CONNECTION = frozenset((b"content-length:", b"connection:"))


class Framing(IntEnum):
    """What ends a response's body."""

    NONE = 0
    LENGTH = 1
    CHUNKED = 2
    CLOSE = 3


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
        super().__init__(fields)
        self.status = status
        self.minor = minor
        self.line = line
        self.framing = Framing.CLOSE
        self.length = 0
        self.reusable = minor == 1


def parse_response(data: bytes, method: str) -> ResponseHead:
    """Accept a whole head that answers a request made with ``method``.

    Raises:
        BadResponse: the connection must be dropped.
    """
    match = grammar.RESPONSE_HEAD.fullmatch(data)
    if match is None:
        raise BadResponse("The head is not valid HTTP/1.1.")
    minor, code, fields = match.groups()
    if fields.count(b"\n") > grammar.MAX_FIELDS:
        raise BadResponse("There are too many header fields.")
    head = ResponseHead(int(code), 1 if minor == b"1" else 0, data[: match.start(3) - 2], fields)
    special = grammar.RESPONSE_SPECIAL.findall(head.low)
    if special:
        _read_special(head, special)
    if head.status == 204 or head.status < 200:
        head.plain = None  # a Content-Length must not stand here (RFC 9110 §8.6)
    if method == "HEAD" or head.status < 200 or head.status in (204, 304):
        head.framing = Framing.NONE  # RFC 9110 §6.4.1
    elif head.framing is Framing.CLOSE:
        head.reusable = False
    return head


def _read_special(head: ResponseHead, special: list[bytes]) -> None:
    if b"transfer-encoding:" in special:
        _read_coding(head, special)
    elif b"content-length:" in special:
        _read_length(head, special)
    if special == [b"content-length:"]:
        return
    known = set(special) <= _WITH_CONNECTION and special.count(b"connection:") == 1
    head.plain = head.cut_keep_alive() if known else None
    if head.plain is None or head.minor == 0:
        _read_connection(head)


def _read_connection(head: ResponseHead) -> None:
    options = head.options(b"connection")
    if b"close" in options:
        head.reusable = False
    elif head.minor == 0:
        head.reusable = b"keep-alive" in options


def _read_coding(head: ResponseHead, special: list[bytes]) -> None:
    if b"content-length:" in special or head.minor == 0:
        raise BadResponse("Transfer-Encoding stands beside Content-Length or in HTTP/1.0.")
    codings = head.headers(b"transfer-encoding")
    if len(codings) > 1 or codings[0].lower() != b"chunked":
        raise BadResponse("The only transfer coding accepted is chunked, once.")
    head.framing = Framing.CHUNKED


def _read_length(head: ResponseHead, special: list[bytes]) -> None:
    value = head.header(b"content-length") or b""
    if special.count(b"content-length:") > 1 or grammar.CONTENT_LENGTH.fullmatch(value) is None:
        raise BadResponse("Content-Length must be one decimal number.")
    head.length = int(value)
    head.framing = Framing.LENGTH
