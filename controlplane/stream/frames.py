"""Owns the WebSocket frames that go to every proxy alike, made once. No I/O.

Source: RFC 6455 §5.2 (a server's frames are not masked), §5.5.1, §7.4.1.
"""

_FINAL_TEXT, _FINAL_CLOSE = 0x81, 0x88
_TWO_BYTES, _EIGHT_BYTES = 126, 127
_MAX_TWO_BYTES = 0xFFFF
_MAX_REASON_BYTES = 123


def text_frame(payload: bytes) -> bytes:
    """A whole text message."""
    return _frame(_FINAL_TEXT, payload)


def close_frame(code: int, reason: str) -> bytes:
    """The start of a closing handshake; a reason too long for it is cut."""
    said = reason.encode()[:_MAX_REASON_BYTES]
    return _frame(_FINAL_CLOSE, code.to_bytes(2, "big") + said)


def _frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < _TWO_BYTES:
        head = bytes((first, size))
    elif size <= _MAX_TWO_BYTES:
        head = bytes((first, _TWO_BYTES)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, _EIGHT_BYTES)) + size.to_bytes(8, "big")
    return head + payload
