"""Bound sockets."""

import socket
from pathlib import Path

import pytest

from proxy.net.listener import bind, bound_name, release


def test_copies_share_one_port() -> None:
    sockets = bind("web", "127.0.0.1:0", 3)
    try:
        names = {bound_name(sock) for sock in sockets}
        assert len(names) == 1
        assert names.pop().startswith("http://127.0.0.1:")
        assert not any(sock.getblocking() for sock in sockets)
    finally:
        for sock in sockets:
            sock.close()


def test_ipv6() -> None:
    (sock,) = bind("web", "[::1]:0")
    with sock:
        assert bound_name(sock).startswith("http://[::1]:")
    release("[::1]:80")


def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(OSError, match=r"web: 192\.0\.2\.1:80: "):
        bind("web", "192.0.2.1:80")


def test_unix_sockets(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    address = f"unix:{path}"
    sockets = bind("web", address, 2)
    assert [bound_name(sock) for sock in sockets] == [f"unix:{path}"] * 2
    sockets[0].listen()
    with pytest.raises(OSError, match="another process"):
        bind("web", address)
    for sock in sockets:
        sock.close()
    assert path.exists()
    (again,) = bind("web", address)  # the file of a process that was killed is in nobody's use
    again.close()
    release(address)
    release(address)
    assert not path.exists()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(OSError, match=r"."):
        bind("web", f"unix:{path}")
    assert path.read_text() == "data"
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(OSError, match=r"."):
        sock.connect(str(path))


def test_what_is_not_shared_is_bound_once() -> None:
    (sock,) = bind("admin", "127.0.0.1:0", shared=False)
    with sock:
        sock.listen()
        port = sock.getsockname()[1]
        with pytest.raises(OSError, match=f"admin: 127.0.0.1:{port}: Address already in use"):
            bind("admin", f"127.0.0.1:{port}", shared=False)
