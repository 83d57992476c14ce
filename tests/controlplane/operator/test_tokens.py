"""The real command against a real control plane: who may call."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controlplane.operator.test_history import Cli
from tests.controlplane.support import DOCUMENT, control_thread

FORM = re.compile(r"sw_[0-9a-f]{12}_[A-Za-z0-9_-]{43}\n")


@pytest.fixture(name="cli")
def running_control_plane(tmp_path: Path) -> Iterator[Cli]:
    with control_thread(tmp_path) as url:
        yield Cli(url, tmp_path)


def only(cli: Cli) -> dict[str, object]:
    (token,) = json.loads(cli.says("tokens", "list", "--json"))["tokens"]
    return dict(token)


def test_a_token_is_made_used_rotated_and_revoked(cli: Cli) -> None:
    made = cli.says("tokens", "create", "--name", "ada", "--role", "viewer", "--service", "shop")
    assert FORM.fullmatch(made)
    token = only(cli)
    ident = str(token["id"])
    assert (token["name"], token["services"]) == ("ada", ["shop"])
    listed = cli.says("tokens", "list")
    assert made.strip() not in listed
    assert "living" in listed
    theirs = Cli(str(cli.env["SPLITWAY_URL"]), cli.folder)
    theirs.env["SPLITWAY_TOKEN"] = made.strip()
    theirs.says("services")
    assert "needs the role admin" in theirs.fails("tokens", "list")
    turned = cli.says("tokens", "rotate", ident, "--grace", "0")
    assert FORM.fullmatch(turned)
    assert "not valid here" in theirs.fails("services")
    theirs.env["SPLITWAY_TOKEN"] = turned.strip()
    theirs.says("services")
    assert cli.says("tokens", "revoke", ident, "--reason", "left") == f"ada ({ident}) is revoked\n"
    assert "not valid here" in theirs.fails("services")
    assert "revoked" in cli.says("tokens", "list")


def test_a_file_is_only_its_owner_s_and_is_replaced_by_a_rotation(cli: Cli) -> None:
    file = cli.folder / "token"
    create = ("tokens", "create", "--role", "proxy", "--out", str(file), "--name")
    assert cli.says(*create, "shop") == ""
    assert file.stat().st_mode & 0o777 == 0o600
    first = file.read_text()
    assert FORM.fullmatch(first)
    assert "is there already" in cli.fails(*create, "other")
    assert cli.says("tokens", "rotate", str(only(cli)["id"]), "--out", str(file)) == ""
    assert FORM.fullmatch(file.read_text())
    assert file.read_text() != first


def test_what_is_refused_is_one_line(cli: Cli) -> None:
    said = cli.fails("tokens", "create", "--name", "p", "--role", "proxy", "--service", "shop")
    assert "services" in said
    assert said.count("\n") == 1
    assert "no token's id" in cli.fails("tokens", "revoke", "../config")
    assert "no token" in cli.fails("tokens", "revoke", "000000000000")
    file = cli.folder / "none" / "token"
    assert "--out" in cli.fails(
        "tokens", "create", "--name", "a", "--role", "viewer", "--out", str(file)
    )
    assert json.loads(cli.says("tokens", "list", "--json"))["tokens"] == []


def test_who_sees_one_service_may_wait_for_its_change(cli: Cli) -> None:
    file = cli.folder / "splitway.yaml"
    file.write_text(json.dumps(DOCUMENT))
    cli.says("config", "push", str(file))
    made = cli.says("tokens", "create", "--name", "ada", "--role", "operator", "--service", "shop")
    cli.env["SPLITWAY_TOKEN"] = made.strip()
    assert "revision 2" in cli.says("weights", "set", "shop", "stable=1", "--wait")


def test_a_dry_run_tells_and_changes_nothing(cli: Cli) -> None:
    create = ("tokens", "create", "--name", "ada", "--role", "viewer")
    file = cli.folder / "token"
    said = cli.says(*create, "--dry-run", "--out", str(file))
    assert "ada" in said
    assert "viewer" in said
    assert "nothing was changed" in said
    assert "sw_" not in said
    assert not file.exists()
    assert json.loads(cli.says("tokens", "list", "--json"))["tokens"] == []
    cli.says(*create)
    before = only(cli)
    for command in ("rotate", "revoke"):
        said = cli.says("tokens", command, str(before["id"]), "--dry-run")
        assert "nothing was changed" in said
        assert "sw_" not in said
    assert "ed_at" in said
    assert only(cli) == before
