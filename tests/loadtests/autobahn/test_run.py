"""An Autobahn run with a stand-in for wstest, which needs a Python 2.7 that few machines have."""

import sys
from pathlib import Path

import pytest

from loadtests.autobahn.__main__ import main

pytestmark = pytest.mark.e2e

ONE_CASE = """\
import json, pathlib, sys
from websockets.sync.client import connect

assert sys.argv[1:4] == ["-m", "fuzzingclient", "-s"]
spec = json.loads(pathlib.Path(sys.argv[4]).read_text())
assert (spec["cases"], spec["exclude-cases"]) == (["1.*"], ["1.2"])
index = {}
for server in spec["servers"]:
    with connect(server["url"], max_size=None) as client:
        client.send("x" * 3_000_000)
        came_back = len(client.recv())
    verdict = "OK" if came_back == 3_000_000 else "FAILED"
    index[server["agent"]] = {"1.1": {"behavior": verdict, "behaviorClose": "OK"}}
folder = pathlib.Path(spec["outdir"])
folder.mkdir()
(folder / "index.json").write_text(json.dumps(index))
"""


def run(folder: Path, code: str, *arguments: str) -> int:
    wstest = folder / "wstest"
    wstest.write_text(f"#!{sys.executable}\n{code}")
    wstest.chmod(0o700)
    given = [f"--wstest={wstest}", f"--folder={folder / 'new'}", "--cases=1.*", "--exclude=1.2"]
    return main([*given, *arguments])


def test_every_case_against_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, ONE_CASE) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[1:] == ["direct: 1 OK", "proxied: 1 OK",
                                    "1 cases, 0 worse through the proxy"]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise SystemExit('no such case')", "no such case"),
        ("import signal; print('case 1', flush=True); signal.pause()", "took longer than 2 s"),
    ],
)
def test_no_result(tmp_path: Path, code: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, code, "--within-s=2") == 2
    assert why in capsys.readouterr().err


def test_a_wstest_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([f"--wstest={tmp_path / 'none'}"])
    assert "is no file" in capsys.readouterr().err
