"""The control stream over TLS: real certificates, a real server, every way it can be wrong."""

import asyncio
import logging
from pathlib import Path

import pytest
from aiohttp import web

from controlplane.tls import ServerTls
from controlplane.tls import TlsFiles as ServerFiles
from proxy.sync.frames import StreamError
from proxy.sync.trust import TlsFiles, Trust
from tests.support.certificates import PAST, Authority, Pair
from tests.support.control_peer import Proxy, follow
from tests.support.running import eventually


async def serve(tls: ServerTls, opened: asyncio.Event) -> tuple[web.AppRunner, int]:
    async def stream(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        opened.set()
        async for _ in socket:
            pass
        return socket

    app = web.Application()
    app.router.add_get("/v1/stream", stream)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls.context).start()
    return runner, runner.addresses[0][1]


def files_of(ca: Path | None, shown: Pair | None = None) -> TlsFiles:
    return TlsFiles(
        str(ca) if ca else None,
        str(shown.cert) if shown else None,
        str(shown.key) if shown else None,
    )


def told(
    tls: ServerTls, files: TlsFiles, caplog: pytest.LogCaptureFixture, host: str = "127.0.0.1"
) -> str:
    """What the stream says of a server that it cannot connect to."""

    async def run() -> None:
        runner, port = await serve(tls, asyncio.Event())
        stream = follow(f"https://{host}:{port}", Proxy(), files=files)
        stream.start()
        async with asyncio.timeout(20):
            await eventually(lambda: bool(caplog.records))
        await stream.stop()
        await runner.cleanup()

    caplog.set_level(logging.INFO, logger="splitway")
    asyncio.run(run())
    return str(caplog.records[0].message)


def server(authority: Authority, pair: Pair, *, mutual: bool = False) -> ServerTls:
    return ServerTls(ServerFiles(pair.cert, pair.key, authority.file if mutual else None))


def test_a_wrong_ca_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    right, wrong = Authority(tmp_path), Authority(tmp_path, "wrong")
    said = told(server(right, right.pair()), files_of(wrong.file), caplog)
    assert f"its certificate is not signed by a CA in control.ca_file {wrong.file};" in said


def test_the_system_s_cas_do_not_know_ours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path)
    said = told(server(authority, authority.pair()), TlsFiles(), caplog)
    assert "not signed by a CA that the system knows (set control.ca_file);" in said


def test_an_ended_certificate_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority = Authority(tmp_path)
    tls = server(authority, authority.pair(ends=PAST))
    caplog.clear()
    assert "its certificate has expired;" in told(tls, files_of(authority.file), caplog)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_another_host_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture, host: str) -> None:
    authority = Authority(tmp_path)
    tls = server(authority, authority.pair("server", "control.example.com"))
    said = told(tls, files_of(authority.file), caplog, host)
    assert f"its certificate is not for {host};" in said


@pytest.mark.parametrize(
    ("with_one", "words"),
    [
        (False, "hung up; does it want a client's certificate (control.cert_file)?"),
        (True, "hung up; is control.cert_file {file} of a CA that it believes?"),
    ],
)
def test_a_client_s_certificate_that_is_missing_or_unknown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, with_one: bool, words: str
) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "other")
    tls = server(authority, authority.pair(), mutual=True)
    shown = stranger.pair("proxy", "proxy@example.com") if with_one else None
    said = told(tls, files_of(authority.file, shown), caplog)
    assert words.format(file=shown and shown.cert) in said


def test_renewed_files_are_used_at_the_next_connection(tmp_path: Path) -> None:
    """A wrong CA and a certificate of a stranger are put right while the stream tries."""
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "other")
    tls = server(authority, authority.pair(), mutual=True)
    ca = tmp_path / "believed.pem"
    ca.write_bytes(stranger.file.read_bytes())
    shown = stranger.pair("proxy", "proxy@example.com")

    async def run() -> None:
        opened = asyncio.Event()
        runner, port = await serve(tls, opened)
        stream = follow(f"https://127.0.0.1:{port}", Proxy(), files=files_of(ca, shown))
        stream.start()
        async with asyncio.timeout(20):
            ca.write_bytes(authority.file.read_bytes())
            authority.pair("proxy", "proxy@example.com")
            await opened.wait()
        await stream.stop()
        await runner.cleanup()

    asyncio.run(run())


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair, other = authority.pair(), authority.pair("other")
    rubbish = tmp_path / "rubbish"
    rubbish.write_text("rubbish")
    ca, cert, key = str(authority.file), str(pair.cert), str(pair.key)
    for files, words in (
        (TlsFiles("/nowhere"), "control.ca_file /nowhere cannot be read: No such file"),
        (TlsFiles(str(rubbish)), f"control.ca_file {rubbish} holds no certificate in PEM form"),
        (TlsFiles(ca, "/nowhere", key), "control.cert_file /nowhere cannot be read"),
        (TlsFiles(ca, cert, "/nowhere"), "control.key_file /nowhere cannot be read"),
        (TlsFiles(ca, cert, str(other.key)), "other.key does not belong to control.cert_file"),
        (TlsFiles(ca, str(rubbish), key), "are no certificate and key in PEM form"),
    ):
        with pytest.raises(StreamError) as caught:
            Trust("https://control.test", files).context()
        assert words in str(caught.value)


def test_a_key_with_a_password_is_refused_and_nobody_is_asked(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as forms

    pair = Authority(tmp_path).pair()
    key = forms.load_pem_private_key(pair.key.read_bytes(), None)
    shut = forms.BestAvailableEncryption(b"password")
    pair.key.write_bytes(key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, shut))
    with pytest.raises(StreamError, match="is encrypted: give it without"):
        Trust("https://control.test", files_of(None, pair)).context()


@pytest.mark.parametrize(
    ("url", "is_open"),
    [
        ("http://127.0.0.1:9800", False),
        ("http://[::1]:9800", False),
        ("http://localhost", False),
        ("https://control.internal", False),
        ("http://control.internal:9800", True),
        ("http://10.0.0.1:9800", True),
    ],
)
def test_a_token_that_crosses_a_network_in_the_clear_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, url: str, is_open: bool
) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret")

    async def run() -> None:
        stream = follow(url, Proxy(), token)
        stream.start()
        await stream.stop()

    assert Trust(url, TlsFiles()).is_open is is_open
    asyncio.run(run())
    assert ("the token is sent in the clear" in caplog.text) is is_open
    assert "s3cret" not in caplog.text
