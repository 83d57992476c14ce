"""``splitway`` over TLS: the real command against a real control plane."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controlplane.operator.test_cli import Cli
from tests.controlplane.support import control_process
from tests.support.certificates import PAST, Authority

pytestmark = pytest.mark.e2e


class Tls(Cli):
    """A control plane that speaks TLS, with every file that its callers may have."""

    def __init__(self, url: str, folder: Path, authority: Authority) -> None:
        super().__init__(url, folder)
        self.authority = authority
        for name in ("CA", "CERT", "KEY"):
            self.env[f"SPLITWAY_{name}_FILE"] = None


@pytest.fixture(name="mutual", scope="module")
def mutual_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    folder = tmp_path_factory.mktemp("mutual")
    authority = Authority(folder)
    pair = authority.pair()
    options = ("--tls-cert", str(pair.cert), "--tls-key", str(pair.key))
    with control_process(folder, *options, "--tls-client-ca", str(authority.file)) as (_, url):
        yield Tls(url, folder, authority)


def test_options_or_the_environment_open_the_door(mutual: Tls) -> None:
    me = mutual.authority.pair("me", "ops@example.com")
    ca, cert, key = str(mutual.authority.file), str(me.cert), str(me.key)
    options = ("--ca-file", ca, "--cert-file", cert, "--key-file", key)
    assert "INSTANCE" in mutual.says(*options, "proxies")
    mutual.env |= {
        "SPLITWAY_CA_FILE": ca,
        "SPLITWAY_CERT_FILE": cert,
        "SPLITWAY_KEY_FILE": key,
    }
    assert "INSTANCE" in mutual.says("proxies")
    assert "0 entries" in mutual.says("audit", "verify")
    both = mutual.folder / "both.pem"
    both.write_bytes(me.key.read_bytes() + me.cert.read_bytes())
    mutual.env |= {"SPLITWAY_CERT_FILE": str(both), "SPLITWAY_KEY_FILE": None}
    assert "INSTANCE" in mutual.says("proxies")


def test_what_is_wrong_is_one_clear_line(mutual: Tls) -> None:
    stranger = Authority(mutual.folder, "stranger")
    theirs = stranger.pair("theirs", "ops@example.com")
    ours = mutual.authority.pair("ours", "ops@example.com")
    rubbish = mutual.folder / "rubbish"
    rubbish.write_text("rubbish")
    ca = ("--ca-file", str(mutual.authority.file))
    for options, words in (
        ((), "not signed by a CA that this system knows (give --ca-file)"),
        (("--ca-file", str(stranger.file)), f"not signed by a CA in --ca-file {stranger.file}"),
        (ca, "or want a certificate (--cert-file)?"),
        (
            (*ca, "--cert-file", str(theirs.cert), "--key-file", str(theirs.key)),
            f"is --cert-file {theirs.cert} of a CA that it believes?",
        ),
        (("--ca-file", "/nowhere"), "--ca-file /nowhere: No such file"),
        (("--ca-file", str(rubbish)), "rubbish: holds no certificate in PEM form"),
        ((*ca, "--key-file", str(ours.key)), "--key-file: needs --cert-file"),
        ((*ca, "--cert-file", str(ours.cert)), "no certificate and key in PEM form"),
        (
            (*ca, "--cert-file", str(ours.cert), "--key-file", str(theirs.key)),
            "does not belong to --cert-file",
        ),
        ((*ca, "--url", mutual.url.replace("127.0.0.1", "127.0.0.1.nip.invalid")), "no control"),
        (("--url", mutual.url.replace("https:", "http:")), "does it speak TLS (https://)"),
    ):
        mutual.env |= {f"SPLITWAY_{name}_FILE": None for name in ("CA", "CERT", "KEY")}
        error = mutual.fails(*options, "services")
        assert words in error
        assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("host", "ends", "words"),
    [
        ("127.0.0.1", PAST, "its certificate has expired"),
        ("control.example.com", None, "its certificate is not for 127.0.0.1"),
    ],
)
def test_a_certificate_that_ended_or_is_another_s(
    tmp_path: Path, host: str, ends: object, words: str
) -> None:
    authority = Authority(tmp_path)
    pair = authority.pair("server", host, ends=PAST if ends else None)
    options = ("--tls-cert", str(pair.cert), "--tls-key", str(pair.key))
    with control_process(tmp_path, *options) as (_, url):
        cli = Cli(url, tmp_path)
        assert words in cli.fails("--ca-file", str(authority.file), "services")
