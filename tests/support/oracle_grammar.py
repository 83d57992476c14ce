"""Owns the oracle's alphabet and its cursor: one byte after another. Never judges a message.

Source: RFC 9110 §5, RFC 9112 §2 and §7.1, RFC 3986 §3.2.
"""

from ipaddress import AddressValueError, IPv6Address

_ALPHANUMERIC = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
TOKEN = frozenset(_ALPHANUMERIC + b"!#$%&'*+-.^_`|~")
VISIBLE = frozenset(range(0x21, 0x7F))
CONTROL_FREE = frozenset([9, *range(0x20, 0x7F), *range(0x80, 0x100)])
_NAME = frozenset(_ALPHANUMERIC + b"-._~!$&'()*+,;=")
_HEXADECIMAL = b"0123456789ABCDEFabcdef"
_DIGITS = b"0123456789"
_MOST_DIGITS = 15
"""Of a chunk's size: more would not fit any counter that real programs use."""


class Broken(Exception):
    """No bytes that may follow can mend this."""


class Short(Exception):
    """More bytes are needed."""


class Cursor:
    """A place in a stream."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def peek(self) -> int:
        """The next byte, which stays."""
        if self.at == len(self.data):
            raise Short
        return self.data[self.at]

    def take(self, what: str, allowed: bytes) -> int:
        """The next byte, one of ``allowed``."""
        byte = self.peek()
        if byte not in allowed:
            raise Broken(what)
        self.at += 1
        return byte

    def literal(self, wanted: bytes, what: str) -> None:
        """These bytes and no others."""
        for byte in wanted:
            self.take(what, bytes((byte,)))

    def exactly(self, size: int) -> bytes:
        """So many bytes."""
        if len(self.data) - self.at < size:
            self.at = len(self.data)
            raise Short
        self.at += size
        return self.data[self.at - size : self.at]

    def word(self, allowed: frozenset[int], end: bytes, what: str) -> bytes:
        """One or more of ``allowed``, then ``end``, which is taken too."""
        data, start = self.data, self.at
        at, stop = start, end[0]
        while at < len(data) and data[at] in allowed and data[at] != stop:
            at += 1
        self.at = at
        if at == len(data):
            raise Short
        if at == start or data[at] != stop:
            raise Broken(what)
        self.at = at + 1
        return data[start:at]

    def line(self, allowed: frozenset[int], what: str) -> bytes:
        """Any number of ``allowed`` up to CRLF, which is taken too."""
        data, start = self.data, self.at
        at = start
        while at < len(data) and data[at] in allowed:
            at += 1
        self.at = at
        if at == len(data):
            raise Short
        if data[at] != 13:
            raise Broken(what)
        self.line_end()
        return data[start:at]

    def line_end(self) -> None:
        """CRLF, and nothing less."""
        self.take("CR expected", b"\r")
        self.take("LF expected", b"\n")

    def skip_empty_lines(self) -> None:
        """What a server ignores ahead of a request (RFC 9112 §2.2)."""
        while self.at < len(self.data) and self.data[self.at] == 13:
            self.line_end()


def read_chunk_size(cursor: Cursor, loose: list[str]) -> int:
    """A chunk's first line. Its extension must hold no control byte; whether it keeps to the
    grammar of extensions is noted."""
    digits = bytearray()
    while cursor.peek() in _HEXADECIMAL:
        digits.append(cursor.take("chunk size", _HEXADECIMAL))
        if len(digits) > _MOST_DIGITS:
            loose.append("long chunk size")
            if len(digits) > _MOST_DIGITS + 1:
                raise Broken("chunk size overflows")
    if not digits:
        raise Broken("chunk size")
    extension = cursor.line(CONTROL_FREE, "chunk extension")
    blanks = extension.lstrip(b" \t")
    if extension and not blanks.startswith(b";"):
        raise Broken("bytes behind the chunk size")
    if extension.endswith((b" ", b"\t")) or not _is_strict_extension(blanks):
        loose.append("chunk extension")
    return int(digits.decode(), 16)


def _is_strict_extension(text: bytes) -> bool:
    """*( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )"""
    while text:
        if text[:1] != b";":
            return False
        name, text = _token(text[1:].lstrip(b" \t"))
        text = text.lstrip(b" \t")
        if not name:
            return False
        if text[:1] == b"=":
            text = text[1:].lstrip(b" \t")
            length = _quoted(text) if text[:1] == b'"' else len(_token(text)[0])
            if not length:
                return False
            text = text[length:].lstrip(b" \t")
    return True


def _token(text: bytes) -> tuple[bytes, bytes]:
    end = 0
    while end < len(text) and text[end] in TOKEN:
        end += 1
    return text[:end], text[end:]


def _quoted(text: bytes) -> int:
    """The length of the quoted-string at the front; 0 if it does not end."""
    at = 1
    while at < len(text):
        if text[at] == ord('"'):
            return at + 1
        at += 2 if text[at] == ord("\\") else 1
    return 0


def is_authority(text: bytes) -> bool:
    """uri-host [":" port]; what stands in brackets is judged by its bytes only."""
    if text[:1] == b"[":
        inner, closed, port = text[1:].partition(b"]")
        if not closed or not inner or any(byte not in _HEXADECIMAL + b":." for byte in inner):
            return _is_future(inner) and bool(closed) and _is_port(port)
        return _is_port(port)
    host, colon, port = text.partition(b":")
    return _is_name(host) and (not colon or _is_port(b":" + port))


def is_strict_authority(text: bytes) -> bool:
    """As above, and the address in brackets is one, and the port a number a port can have."""
    port = text.rpartition(b"]")[2].rpartition(b":")[2] if b":" in text else b""
    if port.isdigit() and (len(port) > 5 or int(port) > 65_535):
        return False
    if text[:1] != b"[":
        return True
    try:
        IPv6Address(text[1:].partition(b"]")[0].decode())
    except (AddressValueError, ValueError):
        return False
    return True


def _is_future(inner: bytes) -> bool:
    """IPvFuture: nobody uses it; a refusal is noted as loose."""
    version, dot, rest = inner[1:].partition(b".")
    return (
        inner[:1] in (b"v", b"V")
        and bool(version and dot and rest)
        and all(byte in _HEXADECIMAL for byte in version)
        and all(byte in _NAME or byte == ord(":") for byte in rest)
    )


def _is_port(text: bytes) -> bool:
    return not text or (text[:1] == b":" and all(byte in _DIGITS for byte in text[1:]))


def _is_name(host: bytes) -> bool:
    at = 0
    while at < len(host):
        if host[at] == ord("%"):
            pair = host[at + 1 : at + 3]
            if len(pair) < 2 or any(byte not in _HEXADECIMAL for byte in pair):
                return False
            at += 3
        elif host[at] in _NAME:
            at += 1
        else:
            return False
    return True
