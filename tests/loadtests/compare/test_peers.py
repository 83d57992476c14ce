import os
import sys
from pathlib import Path

import pytest

from loadtests.compare.peers import (
    CONFIGS,
    PEERS,
    Peer,
    environment_of,
    fill,
    find,
    version_of,
    write_configs,
)
from proxy import __version__
from proxy.model.parse import parse_config

VALUES: dict[str, object] = {
    "port": 8101, "admin": 8102, "v1": 8103, "v2": 8104, "control": 8105, "body": "{}",
}  # fmt: skip


def executable(folder: Path, name: str, script: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


@pytest.mark.parametrize("peer", PEERS.values(), ids=list(PEERS))
def test_every_configuration_can_be_written(peer: Peer, tmp_path: Path) -> None:
    command = peer.prepare("/bin/it", tmp_path, VALUES)
    assert command[0] == "/bin/it"
    assert str(tmp_path / peer.configs[0]) in " ".join(command)
    texts = [(tmp_path / name).read_text() for name in peer.configs]
    assert not any("<<" in text for text in (*texts, *command))
    for value in ("8101", "8103", "8104"):
        assert any(value in text for text in texts)
    assert environment_of(peer, tmp_path)["PATH"] == os.environ["PATH"]


def test_go_s_proxies_have_one_thread_and_write_nothing_at_home(tmp_path: Path) -> None:
    environment = environment_of(PEERS["caddy"], tmp_path)
    assert environment["GOMAXPROCS"] == "1"
    assert environment["HOME"] == environment["XDG_DATA_HOME"] == str(tmp_path)


def test_every_file_of_the_folder_is_filled_by_what_there_is(tmp_path: Path) -> None:
    names = [file.name for file in CONFIGS.iterdir()]
    write_configs(names, tmp_path, {**VALUES, "folder": tmp_path})
    assert not any("<<" in (tmp_path / name).read_text() for name in names)


@pytest.mark.parametrize("name", ["splitway.yaml", "splitway-control.yaml"])
def test_splitway_s_configurations_are_valid(name: str, tmp_path: Path) -> None:
    write_configs([name], tmp_path, {**VALUES, "folder": tmp_path})
    config = parse_config((tmp_path / name).read_text(), file=name, env={})
    assert config.listeners[0].bind == "127.0.0.1:8101"


def test_a_mark_without_a_value_is_an_error() -> None:
    assert fill("<<a>>:<<b>>", {"a": 1, "b": "two"}) == "1:two"
    with pytest.raises(KeyError):
        fill("<<a>>:<<b>>", {"a": 1})


def test_an_executable_is_found_in_the_folders_given_first(tmp_path: Path) -> None:
    assert find("no-such-proxy", [tmp_path]) is None
    beside = Path(sys.executable)
    mine = executable(tmp_path / "bin", beside.name)
    assert find(beside.name) == str(beside)
    assert find(beside.name, [tmp_path / "bin"]) == str(mine)


def test_the_binary_of_a_wheel_is_preferred_to_its_script(tmp_path: Path) -> None:
    executable(tmp_path / "bin", "envoy")
    packages = tmp_path / "lib" / "python3.11" / "site-packages" / "envoy"
    binary = executable(packages / "_bin", "envoy")
    assert find("envoy", [tmp_path / "bin"]) == str(binary)


def test_versions_are_read_wherever_they_are_told(tmp_path: Path) -> None:
    told = executable(tmp_path, "told", "echo /lib/python3.11/x version: abc/1.40.0/Clean >&2")
    assert version_of(str(told), ["-v"]) == "1.40.0"
    assert version_of(str(executable(tmp_path, "mute")), []) == "?"
    mine = executable(tmp_path, "splitway", f"echo splitway-proxy {__version__} '(compiled)'")
    assert version_of(str(mine), PEERS["splitway"].ask) == __version__
