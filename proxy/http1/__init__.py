"""Bytes ↔ HTTP/1.1 messages. Strict grammar, framing, head building; no sockets."""
