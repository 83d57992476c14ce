import socket
import stat
from dataclasses import astuple
from pathlib import Path

import pytest
import yaml

from loadtests.demo import setting as module
from loadtests.demo.setting import STEPS, choose_ports, prepare, traffic_text


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "ROOT", tmp_path)


def test_ports_are_all_different_and_free() -> None:
    ports = astuple(choose_ports())
    assert len(set(ports)) == 5
    for port in ports:
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_a_port_that_is_taken_is_replaced() -> None:
    first = choose_ports()
    with socket.create_server(("127.0.0.1", first.proxy)):
        assert choose_ports().proxy != first.proxy


def test_a_run_has_its_files_and_a_secret_token(tmp_path: Path) -> None:
    setting = prepare({"DEMO_SECONDS": "12"})
    assert (setting.load_s, setting.stay) == (12.0, False)
    assert setting.folder.parent == tmp_path / "run"
    assert stat.S_IMODE(setting.token_file.stat().st_mode) == 0o600
    assert len(setting.token_file.read_text().strip()) >= 32
    assert prepare({"DEMO_SECONDS": "12"}).folder != setting.folder


def test_the_proxy_begins_with_what_the_control_plane_is_given() -> None:
    setting = prepare({})
    config = yaml.safe_load(setting.proxy_config.read_text())
    traffic = yaml.safe_load(traffic_text(setting))
    assert {name: config[name] for name in ("services", "routes")} == traffic
    assert traffic["services"]["shop"]["weights"] == STEPS[0]
    assert config["control"]["token_file"] == str(setting.token_file)
    assert config["listeners"][0]["bind"] == f"127.0.0.1:{setting.ports.proxy}"


def test_the_run_is_kept_where_it_is_wanted(tmp_path: Path) -> None:
    assert prepare({"DEMO_FOLDER": str(tmp_path / "here")}).folder.parent == tmp_path / "here"


def test_it_stays_up_unless_told_how_long() -> None:
    assert prepare({}).stay
    assert prepare({"DEMO_SECONDS": ""}).stay


@pytest.mark.parametrize("seconds", ["soon", "0", "-1", "nan", "1e9"])
def test_a_senseless_duration_is_refused(seconds: str) -> None:
    with pytest.raises(ValueError, match=f"DEMO_SECONDS: '{seconds}'"):
        prepare({"DEMO_SECONDS": seconds})
