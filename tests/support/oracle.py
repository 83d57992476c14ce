"""Owns a second reading of HTTP/1.1 streams, to judge the proxy by. Never shares code with it.

Read byte by byte from RFC 9110 and RFC 9112, without the expressions of ``proxy.http1``, so that it
cannot share their mistakes. It is slow and refuses whatever the grammar does not allow; what is
loose but moves no message's border is noted in ``Message.loose`` instead.
"""

from dataclasses import dataclass, field

from tests.support.oracle_grammar import (
    CONTROL_FREE,
    TOKEN,
    VISIBLE,
    Broken,
    Cursor,
    Short,
    is_authority,
    is_strict_authority,
    read_chunk_size,
)

Fields = list[tuple[bytes, bytes]]
"""Names as sent, values without the blanks around them."""

_FRAMING = (b"host", b"content-length", b"transfer-encoding")


@dataclass
class Message:
    """One whole message.

    Attributes:
        start: the three parts of its first line.
        end: where the next message begins.
        loose: what a strict reader may refuse, though every reader sees the same message.
    """

    start: tuple[bytes, bytes, bytes]
    fields: Fields
    minor: int
    body: bytes = b""
    trailers: Fields = field(default_factory=list)
    end: int = 0
    loose: list[str] = field(default_factory=list)

    @property
    def method(self) -> bytes:
        """Of a request."""
        return self.start[0]

    @property
    def target(self) -> bytes:
        """Of a request."""
        return self.start[1]

    @property
    def status(self) -> int:
        """Of a response."""
        return int(self.start[1])

    def values(self, name: bytes) -> list[bytes]:
        """Every value of a field (lower-case name), in order."""
        return [value for key, value in self.fields if key.lower() == name]

    def members(self, name: bytes) -> list[bytes]:
        """The lower-case members of a list field."""
        members = b",".join(self.values(name)).lower().split(b",")
        return [member.strip(b" \t") for member in members if member.strip(b" \t")]

    @property
    def persists(self) -> bool:
        """Another message may follow on the connection (RFC 9112 §9.3)."""
        options = self.members(b"connection")
        return b"close" not in options and (self.minor == 1 or b"keep-alive" in options)


@dataclass
class Reading:
    """What a stream says.

    Attributes:
        messages: the whole ones ahead of the first problem.
        problem: why the rest is no HTTP/1.1, whatever may follow; None if nothing is wrong.
        at: where the problem was met.
        incomplete: the last message lacks its end.
    """

    messages: list[Message] = field(default_factory=list)
    problem: str | None = None
    at: int = 0
    incomplete: bool = False


def read_requests(data: bytes) -> Reading:
    """A client's stream, from its first byte."""
    reading = Reading()
    cursor = Cursor(data)
    try:
        while True:
            cursor.skip_empty_lines()
            if cursor.at == len(data):
                break
            reading.messages.append(_request(cursor))
    except Broken as broken:
        reading.problem, reading.at = str(broken), cursor.at
    except Short:
        reading.incomplete = True
    return reading


def read_responses(data: bytes, methods: list[bytes], *, ended: bool = False) -> Reading:
    """An endpoint's stream, 1xx heads among its messages.

    Args:
        methods: of the requests that are answered, in order.
        ended: the connection was closed cleanly behind ``data``.
    """
    reading = Reading()
    cursor = Cursor(data)
    asked = list(methods)
    try:
        while asked and (cursor.at < len(data) or not ended):
            message = _response(cursor, asked[0], ended=ended)
            reading.messages.append(message)
            if message.status >= 200:
                asked.pop(0)
        if cursor.at < len(data):
            reading.problem = "bytes that answer nothing"
        reading.incomplete = bool(asked)
    except Broken as broken:
        reading.problem, reading.at = str(broken), cursor.at
    except Short:
        reading.incomplete = True
    return reading


def _request(cursor: Cursor) -> Message:
    method = cursor.word(TOKEN, b" ", "method")
    target = cursor.word(VISIBLE, b" ", "target")
    minor = _version(cursor)
    cursor.line_end()
    message = Message((method, target, b""), _fields(cursor), minor)
    _judge_target(message)
    _judge_host(message)
    coded, length = _framing(message)
    if coded:
        _chunked(cursor, message)
    else:
        message.body = cursor.exactly(length or 0)
    message.end = cursor.at
    return message


def _response(cursor: Cursor, method: bytes, *, ended: bool) -> Message:
    minor = _version(cursor)
    cursor.literal(b" ", "status line")
    status = bytes(cursor.take("status", b"0123456789") for _ in range(3))
    if status[:1] == b"0":
        raise Broken("status")
    loose = []
    reason = b""
    if cursor.peek() == 13:
        loose.append("no SP behind the status")
    else:
        cursor.literal(b" ", "status line")
        reason = cursor.line(CONTROL_FREE, "reason")
        cursor.at -= 2
    cursor.line_end()
    message = Message((b"", status, reason), _fields(cursor), minor, loose=loose)
    coded, length = _framing(message)
    code = message.status
    if code < 200 or code in (204, 304) or method == b"HEAD":
        pass
    elif coded:
        _chunked(cursor, message)
    elif length is not None:
        message.body = cursor.exactly(length)
    elif ended:
        message.body = cursor.exactly(len(cursor.data) - cursor.at)
    else:
        raise Short
    message.end = cursor.at
    return message


def _version(cursor: Cursor) -> int:
    cursor.literal(b"HTTP/1.", "version")
    return cursor.take("version", b"01") - ord("0")


def _fields(cursor: Cursor) -> Fields:
    fields: Fields = []
    while cursor.peek() != 13:
        if cursor.peek() in b" \t":
            raise Broken("folded line")
        name = cursor.word(TOKEN, b":", "field name")
        fields.append((name, cursor.line(CONTROL_FREE, "field value").strip(b" \t")))
    cursor.line_end()
    return fields


def _judge_target(message: Message) -> None:
    """RFC 9112 §3.2: the form fits the method."""
    method, target = message.method, message.target
    if method == b"CONNECT":
        host, colon, port = target.rpartition(b":")
        if not (host and colon and port) or not is_authority(target):
            raise Broken("target of CONNECT")
        return
    if target == b"*":
        if method != b"OPTIONS":
            raise Broken("asterisk-form")
        return
    if b"#" in target:
        message.loose.append("fragment")
    if target[:1] == b"/":
        return
    _judge_absolute(message)


def _judge_absolute(message: Message) -> None:
    """RFC 9112 §3.2.2, RFC 9110 §4.2."""
    scheme, colon, rest = message.target.partition(b":")
    if not colon or not scheme[:1].isalpha():
        raise Broken("target form")
    if any(byte not in TOKEN or byte in b"!#$%&'*^_`|~" for byte in scheme):
        raise Broken("scheme")
    if scheme.lower() not in (b"http", b"https"):
        message.loose.append("other scheme")
        return
    if rest[:2] != b"//":
        raise Broken("target form")
    authority = rest[2:]
    for mark in (b"/", b"?", b"#"):
        authority = authority.partition(mark)[0]
    if not authority or authority[:1] == b":" or not is_authority(authority):
        raise Broken("authority of the target")
    if not is_strict_authority(authority):
        message.loose.append("authority")


def _judge_host(message: Message) -> None:
    """RFC 9112 §3.2: one Host, none only in HTTP/1.0."""
    hosts = message.values(b"host")
    if len(hosts) > 1 or (not hosts and message.minor):
        raise Broken("number of Host fields")
    for host in hosts:
        if not is_authority(host):
            raise Broken("Host")
        if not is_strict_authority(host):
            message.loose.append("authority")


def _framing(message: Message) -> tuple[bool, int | None]:
    """Chunked or not, and the Content-Length: RFC 9112 §6.3, every ambiguity refused."""
    codings = message.values(b"transfer-encoding")
    lengths = message.values(b"content-length")
    if codings and lengths:
        raise Broken("Transfer-Encoding beside Content-Length")
    if len(codings) > 1 or len(lengths) > 1:
        raise Broken("repeated framing field")
    if codings:
        if message.minor == 0:
            raise Broken("Transfer-Encoding in HTTP/1.0")
        if codings[0].lower() != b"chunked":
            raise Broken("transfer coding")
        return True, None
    if not lengths:
        return False, None
    value = lengths[0]
    if not value or any(byte not in b"0123456789" for byte in value):
        raise Broken("Content-Length")
    if len(value) > 18:
        message.loose.append("long Content-Length")
        value = value[-4000:]
    return False, int(value)


def _chunked(cursor: Cursor, message: Message) -> None:
    """RFC 9112 §7.1."""
    pieces = []
    while size := read_chunk_size(cursor, message.loose):
        pieces.append(cursor.exactly(size))
        cursor.line_end()
    message.body = b"".join(pieces)
    while cursor.peek() != 13:
        start = cursor.at
        name = cursor.word(TOKEN, b":", "trailer's name")
        value = cursor.line(CONTROL_FREE, "trailer's value").strip(b" \t")
        if name.lower() in _FRAMING:
            cursor.at = start
            raise Broken("framing field among the trailers")
        message.trailers.append((name, value))
    cursor.line_end()
