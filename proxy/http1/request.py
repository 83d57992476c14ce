"""Owns a client's request head: bytes in, ``RequestHead`` out. Never touches a body or a socket.

The head is accepted or refused by one expression (``grammar.REQUEST_HEAD``), then its lower-cased
copy is searched; no dict of fields is built. Source: RFC 9112 §3, §6; RFC 9110 §7.
"""

from functools import lru_cache
from typing import Final

from proxy.http1 import grammar
from proxy.http1.errors import BadRequest
from proxy.http1.fields import Fields, parse_length
from proxy.model.config import Limits

# The IANA registry of methods (RFC 9110 §16.1) without CONNECT, which asks for a tunnel; others
# are 501.
_METHODS: Final = """
    GET HEAD POST PUT DELETE OPTIONS TRACE PATCH ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT COPY
    LABEL LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE ORDERPATCH
    PROPFIND PROPPATCH QUERY REBIND REPORT SEARCH UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE
    UPDATEREDIRECTREF VERSION-CONTROL
"""
METHODS: Final[dict[bytes, str]] = {name.encode(): name for name in _METHODS.split()}

_DEFAULT_LIMITS: Final = Limits()
_NOTHING: Final[list[bytes]] = []
_NO_TUNNEL: Final = (b"http", b"h2", b"tls")
"""An endpoint that went on in these would take requests that nobody here has looked at
(CVE-2021-21295 class); to other protocols a request means nothing."""


class RequestHead(Fields):
    """One accepted request head.

    Attributes:
        method: upper-case name.
        target: origin-form (or ``*``), the bytes that are matched and forwarded.
        authority: host and port as the client named them; empty in HTTP/1.0 without Host.
        minor: 1 for HTTP/1.1, 0 for HTTP/1.0.
        length: bytes of the body by Content-Length, 0 without.
        chunked: the body is chunked.
        keep_alive: the client allows another request on this connection.
        connection: the members of its Connection field, lower-case.
        upgrade: the protocols that it may be answered with 101 for; none in most requests.
    """

    __slots__ = (
        "authority", "chunked", "connection", "keep_alive", "length", "method", "minor",
        "target", "upgrade",
    )  # fmt: skip

    def __init__(self, method: str, target: bytes, minor: int, fields: bytes) -> None:
        self.raw = self.plain = fields  # as Fields does, without the call
        self.low = b"\n" + fields.lower()
        self.method = method
        self.target = target
        self.minor = minor
        self.authority = b""
        self.length = 0
        self.chunked = False
        self.keep_alive = minor == 1
        self.connection: list[bytes] = _NOTHING
        self.upgrade = b""

    @property
    def host(self) -> bytes:
        """The host asked for, lower-cased, without a port."""
        host = self.authority.lower()
        if host.endswith(b"]"):
            return host
        name, colon, _ = host.rpartition(b":")
        return name if colon else host

    @property
    def has_body(self) -> bool:
        """A body follows the head."""
        return self.chunked or self.length > 0


def parse_request(data: bytes, limits: Limits = _DEFAULT_LIMITS) -> RequestHead:
    """Accept a whole head, its last byte being the one of the empty line.

    Args:
        limits: of these, how many fields and how long a target; who calls looks at the head's size.

    Raises:
        BadRequest: with the status to answer; the connection must then be closed.
    """
    # Before the grammar, which would take a hundred times as long for thousands of fields.
    lines = limits.fields + 2
    if len(data) > lines * grammar.LEAST_FIELD_BYTES and data.count(b"\n") > lines:
        raise BadRequest(431, "There are too many header fields.")
    match = grammar.REQUEST_HEAD.fullmatch(data)
    if match is None:
        raise _refusal(data, limits)
    name, target, minor, fields = match.groups()
    method = METHODS.get(name)
    if method is None:
        raise BadRequest(501, "This method is not supported.")
    if len(target) > limits.target_bytes:
        raise BadRequest(414, "The request target is too long.")
    head = RequestHead(method, target, 1 if minor == b"1" else 0, fields)
    found = grammar.REQUEST_SPECIAL.findall(head.low)
    _read_host(head)
    if len(found) > 1 or not head.authority:  # most requests have nothing else to look at
        _read_special(head, found)
    if target[:1] != b"/":
        _normalize_target(head)
    return head


def _refusal(data: bytes, limits: Limits) -> BadRequest:
    """Why the grammar refused a head."""
    line = data[: data.find(b"\r\n")]
    parts = line.split(b" ")
    if len(line) > limits.target_bytes + 64 and len(parts) <= 3:
        return BadRequest(414, "The request target is too long.")
    version = parts[-1]
    if len(parts) == 3 and grammar.VERSION.fullmatch(version) is not None:
        if version not in (b"HTTP/1.1", b"HTTP/1.0"):
            return BadRequest(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
        return BadRequest(400, "The request's head is not valid HTTP/1.1.")
    return BadRequest(400, "The request line is not valid HTTP/1.1.")


_CACHED_BYTES: Final = 255
"""Longer hosts are no real ones: kept, they would let clients fill the cache with megabytes."""


@lru_cache(maxsize=256)
def _is_authority(host: bytes) -> bool:
    """Cached, as a service is asked for by few names."""
    return grammar.AUTHORITY.fullmatch(host) is not None


def _read_host(head: RequestHead) -> None:
    mark = head.low.find(b"\nhost:")
    if mark < 0:
        if head.minor:
            raise BadRequest(400, "A request needs a Host field.")
        return
    raw = head.raw
    host = raw[mark + 5 : raw.index(b"\r", mark)].strip(b" \t")
    judge = _is_authority if len(host) <= _CACHED_BYTES else _is_authority.__wrapped__
    if not judge(host):
        raise BadRequest(400, "The Host field is not a valid authority.")
    head.authority = host


def _read_special(head: RequestHead, found: list[tuple[bytes, bytes]]) -> None:
    special = dict(found)
    if len(special) < len(found):
        _refuse_repeated([name for name, _ in found])
    others = len(found) - (b"host" in special)
    if b"transfer-encoding" in special:
        _read_coding(head, special)
    elif b"content-length" in special:
        others -= 1
        length = parse_length(special[b"content-length"])
        if length is None:
            raise BadRequest(400, "Content-Length must be one decimal number.")
        head.length = length
    if others == 0:
        return
    if others == 1 and b"connection" in special:
        # What many clients add is cut out without a look at each line.
        head.plain = head.cut_connection()
        if head.plain is not None:
            option = special[b"connection"]
            head.connection = [option]
            head.keep_alive = option != b"close"
            return
    head.plain = None
    _read_connection(head)


def _refuse_repeated(names: list[bytes]) -> None:
    """Ambiguity is refused, never resolved (RFC 9110 §7.2, RFC 9112 §6.3)."""
    if names.count(b"host") > 1:
        raise BadRequest(400, "A request needs exactly one Host field.")
    if names.count(b"content-length") > 1:
        raise BadRequest(400, "Content-Length must be one decimal number.")
    if names.count(b"transfer-encoding") > 1:
        raise BadRequest(400, "The only transfer coding accepted is chunked, once.")


def _read_coding(head: RequestHead, special: dict[bytes, bytes]) -> None:
    if b"content-length" in special:
        raise BadRequest(400, "Content-Length and Transfer-Encoding exclude each other.")
    if head.minor == 0:
        raise BadRequest(400, "HTTP/1.0 has no Transfer-Encoding.")
    if special[b"transfer-encoding"].strip(b" \t") != b"chunked":
        raise BadRequest(400, "The only transfer coding accepted is chunked, once.")
    head.chunked = True


def _read_connection(head: RequestHead) -> None:
    head.connection = head.options(b"connection")
    if b"upgrade" in head.connection and head.minor and not head.has_body:
        head.upgrade = _protocols(head)
    if b"close" in head.connection:
        head.keep_alive = False
    elif head.minor == 0:
        head.keep_alive = b"keep-alive" in head.connection


def _protocols(head: RequestHead) -> bytes:
    """What may be switched to, as an Upgrade field has it. What else was asked for is left out: an
    Upgrade may always be ignored (RFC 9110 §7.8)."""
    members = b",".join(head.headers(b"upgrade")).split(b",")
    asked = [member.strip(b" \t") for member in members]
    return b", ".join(
        member
        for member in asked
        if grammar.PROTOCOL.fullmatch(member) and not member.lower().startswith(_NO_TUNNEL)
    )


def _normalize_target(head: RequestHead) -> None:
    """Bring absolute-form to origin-form; its authority takes the place of Host (§3.2.2)."""
    target = head.target
    if target == b"*":
        if head.method != "OPTIONS":
            raise BadRequest(400, "Only OPTIONS may ask for *.")
        return
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        raise BadRequest(400, "The request target must be a path or an http URL.")
    authority, _, after = rest.partition(b"/")
    path = b"/" + after if len(authority) < len(rest) else b""
    authority, question, query = authority.partition(b"?")
    if question:  # http://host?query, the slash being part of the query
        path = b"/?" + query + path
    if not authority or grammar.AUTHORITY.fullmatch(authority) is None or authority[:1] == b":":
        raise BadRequest(400, "The request target has no valid authority.")
    if b"#" in path:
        raise BadRequest(400, "A request target has no fragment.")
    head.target = path or (b"*" if head.method == "OPTIONS" else b"/")
    head.authority = authority
    head.plain = None
