"""Owns bringing a database to the form this release needs. Never runs without a transaction.

Source: Alembic's commands as a library ("Using Alembic programmatically", its cookbook).
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

from controlplane.store.base import StoreError

_SCRIPTS = Path(__file__).parent / "migrations"


def migrate(connection: Connection) -> None:
    """Runs the steps that the database has not seen yet, on the caller's transaction.

    Raises: StoreError: the database was made by a newer release.
    """
    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(
            f"the database does not fit this release ({error}); was it made by a newer one?"
        ) from error


def _config() -> Config:
    config = Config()
    # The option is interpolated: a % in the path must be doubled.
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config
