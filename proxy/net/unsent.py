"""Owns how much of what was written to a connection waits, and where: with us or in the kernel.

The transport's own buffer is not enough to see a slow reader read: the kernel takes more only once
a third of its send buffer, which may be megabytes, has been acknowledged. And the kernel's memory
for sending is one for all: what thousands of slow readers leave there stops everyone's connections.
So among many connections neither the kernel nor the transport may hold much of one. Among few, what
they hold saves turns. Source: tcp(7) SIOCOUTQ, tcp_mem; the kernel's ip-sysctl tcp_notsent_lowat.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import termios
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

LITTLE_BYTES: Final = 16_384
"""What the kernel takes beyond what it can send at once, and what may wait in the transport before
no more is read for it."""
_INT = struct.Struct("i")


def unsent_bytes(transport: asyncio.WriteTransport) -> int:
    """Bytes in the transport's buffer, and in the kernel's without acknowledgement."""
    waiting = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    if sock is None:
        return waiting
    try:
        queued = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(_INT.size))
    except (OSError, ValueError):  # closed meanwhile
        return waiting
    return waiting + int(_INT.unpack(queued)[0])


def hold_little(transport: asyncio.WriteTransport) -> None:
    """Have little wait for this connection, whoever holds it."""
    transport.set_write_buffer_limits(LITTLE_BYTES)
    sock = transport.get_extra_info("socket")
    if sock is None:
        return
    with contextlib.suppress(OSError):  # a Unix socket, whose buffer is small anyway
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, LITTLE_BYTES)


def send_corked(transport: asyncio.WriteTransport, data: bytes) -> bytes:
    """Send what will be followed by the connection's end at once, so that both share a segment.

    Two segments cost each side a second round through its network stack (tcp(7) MSG_MORE). Only
    for a transport whose own buffer is empty.

    Returns:
        What was not taken; all of it where this cannot be done.
    """
    known = transport.get_extra_info("socket")
    if known is None or (number := known.fileno()) < 0:  # closed meanwhile
        return data
    # The C type alone: the event loop's own view of the socket cannot send. The family does not
    # matter to sending.
    sock = socket.SocketType(socket.AF_INET, socket.SOCK_STREAM, 0, number)
    try:
        return data[sock.send(data, socket.MSG_MORE) :]
    except OSError:  # full, or closed: the transport will find out
        return data
    finally:
        sock.detach()
