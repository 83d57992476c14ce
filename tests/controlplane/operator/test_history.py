"""The real command against a real control plane: history, trials, the audit log, freezes."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from controlplane.operator.cli import app
from tests.controlplane.support import DOCUMENT, TOKEN, control_thread


class Cli:
    def __init__(self, url: str, folder: Path) -> None:
        self.env: dict[str, str | None] = {"SPLITWAY_URL": url, "SPLITWAY_TOKEN": TOKEN}
        self.folder = folder

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments), env=self.env)

    def says(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 0, result.stderr
        return str(result.stdout)

    def fails(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert (result.exit_code, result.stdout) == (1, ""), result.output
        return str(result.stderr)


@pytest.fixture(name="cli")
def running_control_plane(tmp_path: Path) -> Iterator[Cli]:
    file = tmp_path / "splitway.yaml"
    file.write_text(json.dumps(DOCUMENT))
    with control_thread(tmp_path) as url:
        cli = Cli(url, tmp_path)
        assert cli.says("config", "push", str(file)) == "revision 1\n"
        yield cli


def test_a_change_is_tried_made_and_undone(cli: Cli) -> None:
    tried = cli.says("weights", "set", "shop", "stable=80", "canary=20", "--dry-run")
    assert "services.shop.weights.canary" in tried
    assert "15 %" in tried
    assert "tried on revision 1; nothing was changed" in tried
    cli.says("weights", "set", "shop", "stable=80", "canary=20")
    found = cli.says("revision", "diff", "2")
    assert "15 %" in found
    assert "from revision 1 to 2" in found
    back = json.loads(cli.says("revision", "diff", "2", "--to", "1", "--json"))
    assert back["services"][0]["moves"] == [{"from": "canary", "to": "stable", "slots": 1_500}]
    assert "nothing was changed" in cli.says("revision", "restore", "1", "--dry-run")
    assert "newest revision is 2" in cli.fails("revision", "restore", "1", "--if-match", "1")
    said = cli.says("revision", "restore", "1", "--reason", "errors", "--if-match", "2")
    assert said == "revision 3\n"
    shown = json.loads(cli.says("revision", "show", "3"))
    assert (shown["reason"], shown["config"]["services"]) == ("errors", DOCUMENT["services"])
    assert "no revision 9" in cli.fails("revision", "show", "9")


def test_a_push_is_tried(cli: Cli) -> None:
    other = cli.folder / "other.yaml"
    other.write_text(json.dumps({**DOCUMENT, "routes": []}))
    tried = cli.says("config", "push", str(other), "--dry-run")
    assert "routes" in tried
    assert json.loads(cli.says("config", "get", "--json"))["revision"] == 1


def test_a_log_is_exported_and_verified(cli: Cli) -> None:
    cli.says("weights", "set", "shop", "stable=1", "--reason", "calm")
    cli.says("weights", "set", "shop", "stable=1", "canary=1")
    listed = cli.says("audit", "list")
    assert "weights.set" in listed
    assert "calm" in listed
    head = json.loads(cli.says("audit", "list", "--json"))["head"]
    assert cli.says("audit", "verify", "--head", head) == f"3 entries, head {head}\n"
    file = cli.folder / "log.jsonl"
    cli.says("audit", "export", str(file))
    assert "File exists" in cli.fails("audit", "export", str(file))
    assert cli.says("audit", "verify", str(file)) == f"3 entries, head {head}\n"
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"calm", b"warm"))
    assert "entry 2 does not fit its seal" in cli.fails("audit", "verify", str(file))
    lines = whole.splitlines(keepends=True)
    file.write_bytes(lines[0] + lines[2])
    assert "entry 2 is numbered 3" in cli.fails("audit", "verify", str(file))
    file.write_bytes(lines[0] + lines[1])
    assert cli.says("audit", "verify", str(file)).startswith("2 entries")
    assert "entry 3 is missing" in cli.fails("audit", "verify", str(file), "--head", head)
    assert "No such file" in cli.fails("audit", "verify", str(cli.folder / "nowhere"))


def test_an_edit_of_the_database_is_found(cli: Cli) -> None:
    database = sqlite3.connect(cli.folder / "control.db")
    database.execute("UPDATE audit SET entry = replace(entry, 'admin', 'nobody')")
    database.commit()
    database.close()
    assert "entry 1 does not fit its seal" in cli.fails("audit", "verify")


def test_a_freeze_and_its_end(cli: Cli) -> None:
    assert "release day" in cli.says("freeze", "shop", "--reason", "release day")
    assert "release day" in cli.fails("weights", "set", "shop", "stable=1")
    assert "release day" not in cli.says("unfreeze", "shop", "--reason", "done")
    assert "revision 2" in cli.says("weights", "set", "shop", "stable=1")
    assert "(everything)" in cli.says("freeze", "--reason", "x", "--until", "2099-01-01T00:00:00Z")
    assert "until 2099-01-01 00:00 UTC" in cli.fails("weights", "set", "shop", "canary=1")
    assert "reason" in cli.fails("freeze")
