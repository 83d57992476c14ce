"""A real PostgreSQL server for every process of tests that wants one, and both kinds of store."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtests.postgres import NoServerError, PostgresServer, running_server
from tests.controlplane.support import store_url


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    # Not pytest's folder: only its owner may enter that, and the server may be somebody else.
    with tempfile.TemporaryDirectory(prefix="splitway-postgres-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            server = running_server(folder)
            started = server.__enter__()
        except NoServerError as error:
            pytest.skip(f"NOTHING OF POSTGRESQL IS TESTED HERE: {error}")
        try:
            yield started
        finally:
            server.__exit__(None, None, None)


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """A new, empty database."""
    return postgres.new_database()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store that is not there yet, of each kind."""
    if request.param == "sqlite":
        return store_url(tmp_path)
    return str(request.getfixturevalue("postgres_url"))
