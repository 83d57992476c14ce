"""Owns telling where an answer ends. It trusts the servers it is used with: its own back ends and
proxies under measurement; it refuses nothing and never judges.
"""

import re

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)


def complete(message: bytes | bytearray) -> bool:
    """A whole HTTP/1.1 message with Content-Length, or with none and no body, is there."""
    head = message.find(b"\r\n\r\n")
    if head < 0:
        return False
    length = _LENGTH.search(message, 0, head)
    return len(message) >= head + 4 + (int(length[1]) if length else 0)
