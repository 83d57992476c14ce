"""TLS of the control plane: real certificates, real connections, files that change under them."""

import asyncio
import logging
import signal
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
import uvloop
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import CertificateBuilder, Name, random_serial_number

from controlplane.app import Settings, running
from controlplane.cli import main
from controlplane.tls import ServerTls, TlsError, TlsFiles
from tests.controlplane.support import PATIENCE_S, TOKEN, Api, control_process, store_url
from tests.support.certificates import PAST, Authority, Pair


def files_of(pair: Pair, client_ca: Path | None = None) -> TlsFiles:
    return TlsFiles(pair.cert, pair.key, client_ca)


async def at_once(_seconds: float) -> None:
    """Settling takes no time here."""


@asynccontextmanager
async def serving(folder: Path, tls: ServerTls) -> AsyncIterator[str]:
    async with running(Settings(store_url(folder), "127.0.0.1", 0, TOKEN), tls) as url:
        assert url.startswith("https://127.0.0.1:")
        yield url


@asynccontextmanager
async def calling(url: str, context: ssl.SSLContext) -> AsyncIterator[Api]:
    """A caller whose every request is a connection of its own."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    connector = aiohttp.TCPConnector(ssl=context, force_close=True)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
        yield Api(url, session)


async def shown_by(url: str, context: ssl.SSLContext) -> int:
    """The serial number of the certificate that a new connection is shown."""
    host, _, port = url.removeprefix("https://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    certificate = writer.get_extra_info("peercert")
    writer.close()
    await writer.wait_closed()
    return int(certificate["serialNumber"], 16)


async def another_shown_by(url: str, context: ssl.SSLContext, first: int) -> None:
    """Waits for another certificate; new connections alone tell that it is there."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if await shown_by(url, context) != first:
                return
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_it_serves_https_and_wss_and_stops_with_streams_open(tmp_path: Path, factory) -> None:  # type: ignore[no-untyped-def] # loop factories have no common type
    authority = Authority(tmp_path)
    tls = ServerTls(files_of(authority.pair()))

    async def scenario() -> None:
        async with asyncio.timeout(PATIENCE_S):
            async with serving(tmp_path, tls) as url, calling(url, authority.believer()) as api:
                await api.push()
                async with api.proxy() as proxy:
                    assert (await proxy.snapshot()).revision == 1
                    await api.set_weights(stable=1)
                    assert (await proxy.snapshot()).revision == 2
                text = (await api.session.get(f"{url}/metrics")).text()
                ends = f"splitway_control_certificate_end_seconds {tls.ends_at.timestamp():.11g}"
                assert ends.split()[0] in await text

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(scenario())


def test_below_1_2_nobody_is_served(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    old = authority.believer()
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    tls = ServerTls(files_of(authority.pair()))

    async def scenario() -> None:
        async with serving(tmp_path, tls) as url:
            for version, good in (("TLSv1_1", False), ("TLSv1_2", True), ("TLSv1_3", True)):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)  # of old versions
                    old.maximum_version = ssl.TLSVersion[version]
                if good:
                    assert await shown_by(url, old)
                else:
                    with pytest.raises((ssl.SSLError, ConnectionResetError)):
                        await shown_by(url, old)

    asyncio.run(scenario())


def test_mutual_tls_lets_in_only_certificates_of_its_ca(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "other")
    tls = ServerTls(files_of(authority.pair(), authority.file))
    known = authority.pair("client", "ops@example.com")
    unknown = stranger.pair("stranger", "ops@example.com")
    ended = authority.pair("ended", "ops@example.com", ends=PAST)

    async def scenario() -> None:
        async with serving(tmp_path, tls) as url:
            for shown in (None, unknown, ended):
                async with calling(url, authority.believer(shown)) as api:
                    with pytest.raises(aiohttp.ClientConnectionError):
                        await api.get("/healthz")
            async with calling(url, authority.believer(known)) as api:
                assert (await api.get("/v1/config")).status == 200
                # The certificate opens the door, and no more.
                anyone = await api.get("/v1/config", Authorization="Bearer wrong")
                assert anyone.status == 401

    asyncio.run(scenario())


def test_a_new_certificate_is_shown_to_new_connections_and_open_ones_live_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    authority = Authority(tmp_path)
    pair = authority.pair()
    tls = ServerTls(files_of(pair), look_s=60)
    believer = authority.believer()

    async def scenario() -> None:
        async with serving(tmp_path, tls) as url, calling(url, believer) as api:
            first = await shown_by(url, believer)
            async with api.proxy("open") as before:
                authority.pair()
                tls.reload_now()
                await another_shown_by(url, believer, first)
                await api.push()
                assert (await before.snapshot()).revision == 1
                async with api.proxy("new") as after:
                    assert (await after.snapshot()).revision == 1
                await before.ack(1)

    asyncio.run(scenario())
    assert caplog.text.count("is in use, it ends") == 2
    assert pair.key.read_text() not in caplog.text


def test_a_secret_that_kubernetes_swaps_is_followed(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    for folder in ("..1", "..2"):
        authority.pair(folder=folder)
    data = tmp_path / "..data"
    data.symlink_to("..1")
    for name in ("server.crt", "server.key"):
        (tmp_path / name).symlink_to(Path("..data", name))
    tls = ServerTls(TlsFiles(tmp_path / "server.crt", tmp_path / "server.key"), wait=at_once)

    async def scenario() -> None:
        assert not await tls.look()
        (tmp_path / "..new").symlink_to("..2")
        (tmp_path / "..new").replace(data)
        assert await tls.look()
        assert not await tls.look()

    asyncio.run(scenario())


def test_whom_clients_must_know_changes_too(tmp_path: Path) -> None:
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    cas = tmp_path / "clients.pem"
    cas.write_bytes(old.file.read_bytes())
    tls = ServerTls(files_of(old.pair(), cas), wait=at_once)

    async def may(url: str, authority: Authority) -> bool:
        context = old.believer(authority.pair("client", "ops@example.com"))
        async with calling(url, context) as api:
            try:
                return (await api.get("/healthz")).status == 200
            except aiohttp.ClientConnectionError:
                return False

    async def scenario() -> None:
        async with serving(tmp_path, tls) as url:
            assert (await may(url, old), await may(url, new)) == (True, False)
            cas.write_bytes(old.file.read_bytes() + new.file.read_bytes())
            assert await tls.look()
            assert (await may(url, old), await may(url, new)) == (True, True)
            cas.write_bytes(new.file.read_bytes())
            assert await tls.look()
            assert (await may(url, old), await may(url, new)) == (False, True)

    asyncio.run(scenario())


def test_what_is_broken_or_half_there_is_told_once_and_the_old_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path)
    pair = authority.pair()
    good = (pair.cert.read_bytes(), pair.key.read_bytes())
    other = authority.pair("other")
    tls = ServerTls(files_of(pair), wait=at_once)
    context = tls.context

    async def look(cert: bytes, key: bytes) -> tuple[bool, list[str]]:
        pair.cert.write_bytes(cert)
        pair.key.write_bytes(key)
        caplog.clear()
        taken = await tls.look()
        assert not await tls.look(), "once is enough"
        return taken, [record.getMessage() for record in caplog.records]

    async def scenario() -> None:
        for cert, key, words in (
            (other.cert.read_bytes(), good[1], "does not belong to the first certificate"),
            (good[0], other.key.read_bytes(), "does not belong to the first certificate"),
            (b"", good[1], "holds no certificate in PEM form"),
            (good[0][:200], good[1], "holds no certificate in PEM form"),
            (good[0], good[1][:60], "holds no private key in PEM form"),
        ):
            taken, told = await look(cert, key)
            assert not taken
            assert len(told) == 1
            assert words in told[0]
            assert "the certificate in use stays" in told[0]
            await look(*good)
        pair.key.unlink()
        caplog.clear()
        assert not await tls.look()
        assert "No such file" in caplog.text
        caplog.set_level(logging.INFO)
        assert (await look(*good))[1] == [f"{pair.cert} is again what is in use"]
        assert (await look(other.cert.read_bytes(), other.key.read_bytes()))[0]
        assert tls.context is context

    asyncio.run(scenario())


def test_whatever_stands_between_certificates_is_no_matter(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cas = tmp_path / "clients.pem"
    cas.write_bytes("# Zürich\n".encode("latin-1") + authority.file.read_bytes() + b"\xff\xfe\n")
    tls = ServerTls(files_of(authority.pair(), cas), wait=at_once)
    cas.write_bytes(b"# \xc3\xbc\n" + authority.file.read_bytes())
    assert asyncio.run(tls.look())
    assert len(tls.context.newest.get_ca_certs()) == 1  # type: ignore[attr-defined] # its own kind


def test_files_that_are_being_written_are_left_until_they_settle(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair, other = authority.pair(), authority.pair("other")
    whole = other.cert.read_bytes()

    async def writer_goes_on(_seconds: float) -> None:
        pair.cert.write_bytes(whole)

    tls = ServerTls(files_of(pair), wait=writer_goes_on)

    async def scenario() -> None:
        leaf = whole[: whole.index(b"-----END CERTIFICATE-----") + 30]
        assert leaf != whole or whole.count(b"BEGIN") == 1
        pair.key.write_bytes(other.key.read_bytes())
        pair.cert.write_bytes(leaf[:-40])
        assert not await tls.look()
        assert await tls.look()

    asyncio.run(scenario())


def test_a_certificate_that_has_ended_is_said_loudly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pair = Authority(tmp_path).pair(ends=PAST)
    assert ServerTls(files_of(pair)).ends_at == PAST
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "it ends 2020-01-01" in record.getMessage()


def bad_starts(folder: Path) -> dict[str, list[str]]:
    """What is wrong → the options that are."""
    authority = Authority(folder)
    pair, other = authority.pair(), authority.pair("other")
    locked, rubbish, huge = folder / "locked", folder / "rubbish", folder / "huge"
    key = load_pem_private_key(pair.key.read_bytes(), None)
    shut = BestAvailableEncryption(b"password")
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, shut))
    rubbish.write_text("rubbish")
    huge.write_bytes(b"x" * (1 << 20) + b"x")
    good = ["--tls-cert", str(pair.cert), "--tls-key", str(pair.key)]
    return {
        "--tls-cert and --tls-key: give both": good[:2],
        "--tls-key: give both": good[2:],
        "give both": ["--tls-client-ca", str(authority.file)],
        "--tls-cert /nowhere: No such file": ["--tls-cert", "/nowhere", *good[2:]],
        "rubbish: holds no certificate": ["--tls-cert", str(rubbish), *good[2:]],
        "rubbish: holds no private key": [*good[:2], "--tls-key", str(rubbish)],
        "locked: is encrypted; give it without": [*good[:2], "--tls-key", str(locked)],
        "other.key does not belong to": [*good[:2], "--tls-key", str(other.key)],
        "huge: is larger than": ["--tls-cert", str(huge), *good[2:]],
        "--tls-client-ca /nowhere: No such": [*good, "--tls-client-ca", "/nowhere"],
        "rubbish: holds no cert": [*good, "--tls-client-ca", str(rubbish)],
    }


def test_a_bad_start_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPLITWAY_TOKEN", TOKEN)
    for message, options in bad_starts(tmp_path).items():
        assert main(["--store", store_url(tmp_path), *options]) == 2
        error = capsys.readouterr().err
        assert error.startswith("splitway-control: ")
        assert message in error
        assert error.count("\n") == 1
    assert not (tmp_path / "control.db").exists()


def test_a_weak_key_is_refused(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 that is the point
    weak = (
        CertificateBuilder(Name([]), Name([]), key.public_key(), random_serial_number())
        .not_valid_before(PAST)
        .not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    pair = Pair(tmp_path / "weak.crt", tmp_path / "weak.key")
    pair.cert.write_bytes(weak.public_bytes(Encoding.PEM))
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pair.key.write_bytes(text)
    with pytest.raises(TlsError, match="OpenSSL refuses it: EE_KEY_TOO_SMALL"):
        ServerTls(files_of(pair))


@pytest.mark.e2e
def test_hangup_has_the_command_read_its_files_again(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.pair()
    believer = authority.believer()
    options = ("--tls-cert", str(pair.cert), "--tls-key", str(pair.key))
    with control_process(tmp_path, *options) as (process, url):

        async def scenario() -> None:
            async with calling(url, believer) as api, api.proxy() as proxy:
                await proxy.settle()
                first = await shown_by(url, believer)
                authority.pair()
                process.send_signal(signal.SIGHUP)
                await another_shown_by(url, believer, first)
                await api.push()
                assert (await proxy.snapshot()).revision == 1
                process.send_signal(signal.SIGTERM)
                assert await proxy.closed_with() == aiohttp.WSCloseCode.GOING_AWAY
                # Here, so that the loop sees the other end of each connection close.
                assert await asyncio.to_thread(process.wait, PATIENCE_S) == 0

        asyncio.run(scenario())
