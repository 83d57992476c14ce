"""Owns turning an address into a bound socket. Never accepts.

The process that starts workers binds and keeps the sockets, one a worker: what waits in a dead
worker's queue is taken by its successor instead of being reset (with SO_REUSEPORT each socket has a
queue of its own).
"""

import contextlib
import errno
import socket
import stat
from pathlib import Path

from proxy.model.address import Address, parse_bind


def bind(name: str, text: str, copies: int = 1, *, shared: bool = True) -> list[socket.socket]:
    """Bound sockets for ``copies`` processes that share an address.

    Args:
        name: whose address it is, for the error.
        text: the address as the configuration has it.
        shared: a successor may bind it too, before this process has left.

    Raises:
        OSError: the address is in use, not ours, or forbidden; the message names it.
    """
    try:
        return _bind(parse_bind(text), copies, shared=shared)
    except OSError as error:
        raise OSError(f"{name}: {text}: {error.strerror or error}") from error


def _bind(address: Address, copies: int, *, shared: bool) -> list[socket.socket]:
    if address.is_unix:
        sock = _bind_unix(address.path)
        return [sock, *(sock.dup() for _ in range(copies - 1))]
    first = _bind_tcp(address.host, address.port, shared=shared)
    port = first.getsockname()[1]
    return [first, *(_bind_tcp(address.host, port, shared=shared) for _ in range(copies - 1))]


def bound_name(sock: socket.socket) -> str:
    """The address as a client would write it."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    host, port = name[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def release(text: str) -> None:
    """Take the file of a closed Unix socket away, unless a successor listens there already; nothing
    is left of other addresses."""
    address = parse_bind(text)
    if address.is_unix:
        with contextlib.suppress(OSError):
            _remove_stale(address.path)


def _bind_tcp(host: str, port: int, *, shared: bool) -> socket.socket:
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, proto, _, name = infos[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
        sock.bind(name)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _bind_unix(path: str) -> socket.socket:
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _remove_stale(path: str) -> None:
    """A socket's file outlives a process that was killed; one that answers is in use."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)  # a process that hangs with its queue full is in use too
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                Path(path).unlink()
                return
            except BlockingIOError:
                pass
        raise OSError(errno.EADDRINUSE, "another process listens there", path)
