"""The database: opened, locked to one orchestrator, migrated."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from services.common.errors import ConfigError

DATABASE_NAME = "bestshot.db"
LOCK_NAME = "bestshot.lock"


def open_database(folder: Path) -> Engine:
    """Opens the SQLite database in `folder`, making folder and tables where absent.

    WAL with synchronous=FULL: a committed result survives power loss.
    """
    engine = create_engine(f"sqlite:///{folder / DATABASE_NAME}", connect_args={"timeout": 30})
    event.listen(engine, "connect", _set_pragmas)
    _migrate(engine)
    return engine


def lock_folder(folder: Path) -> IO[str]:
    """Takes the data folder for this process; the system frees it however the process ends.

    Raises:
        ConfigError: Another orchestrator holds it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / LOCK_NAME).open("a+", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write the data folder {folder}: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.seek(0)
        holder = handle.read().strip()
        handle.close()
        raise ConfigError(
            f"the data folder {folder} is in use by another bestshot (process {holder}); "
            f"wait for it, or use another folder (--data, or BESTSHOT_DATA_DIR)"
        ) from error
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def _set_pragmas(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _migrate(engine: Engine) -> None:
    import alembic.command  # takes a quarter of a second, which commands without a database save
    import alembic.config

    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "head")
