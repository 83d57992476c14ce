"""The comparison as a command: Splitway alone, for a second, on a back end of Python."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.compare import peers
from loadtests.compare.measures import Contender
from loadtests.compare.options import parse_options
from loadtests.compare.peers import PEERS
from loadtests.compare.run import find_contenders, in_turn
from tests.support.road import ROOT

needs_wrk = pytest.mark.skipif(
    shutil.which("wrk") is None, reason="wrk makes the load: apt-get install wrk"
)
SHORT = ("--python-backend", "--rounds=1", "--seconds=1", "--rate=200", "--connections=50")
MEASURED = (
    ("keepalive", "cpu_us"), ("keepalive", "rps"), ("rate", "p99_ms"), ("idle", "pss_after_mb"),
    ("start", "start_s"), ("weights", "applied_ms"),
)  # fmt: skip

ONCE = """
import re, socket, sys
if "--version" in sys.argv:
    sys.exit("version 9.8.7")
port = re.search(r"port_value: (\\d+)", open(sys.argv[2]).read())[1]
with socket.create_server(("127.0.0.1", int(port))) as server:
    client = server.accept()[0]
    client.recv(65536)
    client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
"""
"""A proxy that answers once, and leaves."""


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """The comparison, in its own session, with ``folder`` for what is temporary."""
    return subprocess.Popen(
        [sys.executable, "-m", "loadtests.compare", *SHORT, *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=90)
    finally:
        process.kill()
    return process.returncode, out, err


def left_by(folder: Path) -> list[str]:
    """What a run has not cleaned up: its files, and processes that were given them."""
    files = [str(file) for file in folder.glob("splitway-bench-*")]
    commands = [_command(path) for path in Path("/proc").glob("[0-9]*/cmdline")]
    return files + [command for command in commands if f"{folder}/splitway-bench" in command]


def _command(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


@pytest.mark.e2e
@needs_wrk
def test_splitway_alone_is_measured_and_written(tmp_path: Path) -> None:
    figures, docs = tmp_path / "figures.json", tmp_path / "docs"
    process = start(
        tmp_path, "--peers=splitway", "--scenarios=keepalive", f"--json={figures}", f"--docs={docs}"
    )
    status, out, err = finish(process)
    assert status == 0, err
    found = json.loads(figures.read_text())
    values = {(each["work"], each["name"]): each["value"] for each in found["figures"]}
    for key in MEASURED:
        assert values[key] > 0, key
    assert [values[work, "failed"] for work in ("keepalive", "rate", "idle")] == [0, 0, 0]
    assert found["machine"]["kernel"] in (docs / "benchmarks.md").read_text()
    assert "| Splitway |" in out
    assert "Splitway" in (docs / "benchmarks.svg").read_text()
    assert left_by(tmp_path) == []


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path, "--peers=splitway", "--scenarios=", "--also=rate,idle")
    assert process.stderr is not None
    for line in process.stderr:
        if re.fullmatch(r" +Splitway\n", line):
            break
    assert left_by(tmp_path) != [], "it does run"
    process.send_signal(number)
    status, _, err = finish(process)
    assert status == 130
    assert "Traceback" not in err
    assert left_by(tmp_path) == []


@pytest.mark.e2e
def test_a_proxy_that_fails_is_told_and_left_out(tmp_path: Path) -> None:
    binary = tmp_path / "bin" / "envoy"
    binary.parent.mkdir()
    binary.write_text(f"#!{sys.executable}\n{ONCE}")
    binary.chmod(0o755)
    process = start(
        tmp_path, "--peers=envoy", f"--bin={binary.parent}", "--scenarios=", "--also=rate"
    )
    status, out, err = finish(process)
    assert status == 1
    assert "FAILED Envoy:" in err
    assert "Envoy" not in out, "not even its start"
    assert "docs/ is left as it is" in err


def test_a_missing_proxy_is_skipped_and_where_to_get_it_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = {"nginx": "/usr/sbin/nginx"}
    monkeypatch.setattr(peers, "find", lambda name, _: here.get(name))
    found = find_contenders(parse_options(["--peers=nginx,haproxy,caddy"]))
    assert found == [Contender(PEERS["nginx"], "/usr/sbin/nginx")]
    told = capsys.readouterr().err
    assert "SKIPPED HAProxy: haproxy is not here; get it: Debian package haproxy" in told
    assert "SKIPPED Caddy: caddy is not here; get it: pip install --group bench" in told


def test_each_round_begins_with_another_proxy() -> None:
    contenders = [Contender(peer, peer.executable) for peer in PEERS.values()]
    firsts = [in_turn(contenders, turn)[0] for turn in range(len(contenders) + 1)]
    assert firsts == [*contenders, contenders[0]]
    assert set(in_turn(contenders, 4)) == set(contenders)
