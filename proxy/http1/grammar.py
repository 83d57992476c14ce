"""Owns the grammar of HTTP/1.1 heads (RFC 9110 §5, RFC 9112 §2–5) as regular expressions.

One pass of a compiled expression accepts or refuses a whole head; nothing is repaired, nothing is
guessed. Quantifiers are possessive, so the time is linear in the bytes. Limits are applied before.
Why not llhttp: ``docs/adr/0003-own-head-grammar.md``.
"""

import re
from typing import Final

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
VALUE: Final = rb"[\t\x20-\x7e\x80-\xff]"
FIELD: Final = TOKEN + rb"++:" + VALUE + rb"*+\r\n"

REQUEST_HEAD: Final = re.compile(
    rb"(" + TOKEN + rb"++) ([\x21-\x7e]++) HTTP/1\.([01])\r\n((?:" + FIELD + rb")*+)\r\n"
)
"""Groups: method, target, minor version, field lines with their CRLFs."""

RESPONSE_HEAD: Final = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: " + VALUE + rb"*+)?\r\n((?:" + FIELD + rb")*+)\r\n"
)
"""Groups: minor version, status, field lines with their CRLFs."""

VERSION: Final = re.compile(rb"HTTP/[0-9]\.[0-9]")

AUTHORITY: Final = re.compile(
    rb"(?:(?:[A-Za-z0-9.\-_~!$&'()*+,;=]++|%[0-9A-Fa-f]{2})*+|\[[0-9A-Fa-f:.]++\])(?::[0-9]{0,5})?"
)
"""uri-host [":" port] (RFC 9110 §7.2, RFC 3986 §3.2.2)."""

CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;" + VALUE + rb"*+)?")
"""chunk-size [chunk-ext] without its CRLF (RFC 9112 §7.1). Extensions are not forwarded."""

TRAILER: Final = re.compile(rb"(" + TOKEN + rb"++):[ \t]*+(" + VALUE + rb"*+)")

MAX_LENGTH_DIGITS: Final = 18
"""Of a Content-Length: below 2⁶³."""
MAX_HEAD_BYTES: Final = 64 * 1024
"""Of a response. What requests may have is configured (``model.config.Limits``)."""
MAX_FIELDS: Final = 128
LEAST_FIELD_BYTES: Final = len(b"a:\r\n")

HEAD_END: Final = b"\r\n\r\n"

EMPTY_LINES: Final = re.compile(rb"(?:\r\n)++")
"""Ignored ahead of a request line (RFC 9112 §2.2)."""

# Fields that need a second look: framing, connection options, and the names that a client must not
# set for the back end. WSGI and CGI servers read "_" and "-" alike, hence [-_].
REQUEST_SPECIAL: Final = re.compile(
    rb"\n(host|connection|content[-_]length|transfer[-_]encoding|keep[-_]alive|proxy[-_]connection"
    rb"|te|upgrade|expect|forwarded|x[-_]real[-_]ip|x[-_]forwarded[^:]*|x[-_]request[-_]id"
    rb"|x[-_]splitway[^:]*)"
    rb":[ \t]*([^\r]*)"
)
"""Searched in a lower-cased copy. Groups: name, value (blanks may follow it)."""

RESPONSE_SPECIAL: Final = re.compile(
    rb"\n(connection|content-length|transfer-encoding|keep-alive|proxy-connection|upgrade|te"
    rb"|x[-_]splitway[^:]*):[ \t]*([^\r]*)"
)
"""As ``REQUEST_SPECIAL``."""

PROTOCOL: Final = re.compile(TOKEN + rb"++(?:/" + TOKEN + rb"++)?")
"""A member of an Upgrade field (RFC 9110 §7.8)."""

HOP_BY_HOP: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade")
)
"""Consumed by each hop (RFC 9110 §7.6.1); compared after ``_`` became ``-``."""

NEVER_NOMINATED: Final = frozenset(
    (b"host", b"content-length", b"authorization", b"cookie", b"forwarded", b"x-real-ip")
)
"""A ``Connection`` field that lists these, or ``X-Forwarded-*``, does not remove them: a client
could hide from the endpoint what a trusted proxy says of it (CVE-2022-31813, CVE-2024-45806)."""


def is_broken(data: bytes, start: int) -> bool:
    """Whether no continuation of an unfinished head can mend it: a NUL, or a CR or LF by itself.

    Counts, as an expression would take a hundred times as long for what attackers send.

    Args:
        start: what is before it was looked through already.
    """
    if start and data[start - 1] == 13:
        start -= 1
    pairs = data.count(b"\r\n", start)
    ending = 1 if data.endswith(b"\r") and start < len(data) else 0
    return (
        data.count(b"\n", start) != pairs
        or data.count(b"\r", start) != pairs + ending
        or data.find(b"\x00", start) >= 0
    )
