"""The database, SQLite in a folder or PostgreSQL by URL: opened, locked, migrated."""

from __future__ import annotations

import datetime
import fcntl
import importlib.util
import logging
import os
from pathlib import Path
from typing import IO, Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    ExceptionContext,
    Table,
    create_engine,
    event,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DataError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry
from tenacity import (
    Retrying,
    before_sleep_log,
    retry_if_exception_type,
    stop_after_delay,
    wait_fixed,
)

from orchestrator.results import utc_now
from services.common.errors import ConfigError, InvalidArgumentError, UnavailableError

logger = logging.getLogger(__name__)

DATABASE_NAME = "bestshot.db"
LOCK_NAME = "bestshot.lock"
POSTGRESQL = "postgresql"
START_WAIT_S = 30.0
"""How long PostgreSQL, which may be starting too, is waited for."""
_MIGRATION_LOCK = 6_218_744_312
"""Key of PostgreSQL's advisory lock under which the tables are migrated; any number would do."""
_CONNECT_ARGUMENTS = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "application_name": "bestshot",
}
"""Of libpq: a server that is gone without a word is noticed within 25 s."""


class DatabaseUnavailableError(UnavailableError):
    """The database cannot be reached."""


def open_database(folder: Path) -> Engine:
    """Opens the SQLite database in `folder`, making folder and tables where absent.

    WAL with synchronous=FULL: a committed result survives power loss.
    """
    engine = create_engine(f"sqlite:///{folder / DATABASE_NAME}", connect_args={"timeout": 30})
    event.listen(engine, "connect", _set_pragmas)
    migrate(engine)
    return engine


def open_postgresql(url: str, password_file: Path | None) -> Engine:
    """Opens a PostgreSQL database, making the tables where absent.

    Args:
        url: "postgresql://user@host:port/database", with libpq's options as its query.
        password_file: Its first line is the password; None = the URL or libpq knows it.

    Raises:
        ConfigError: The URL is wrong, the file cannot be read, the extra `postgres` is not
            installed, or the database does not answer within 30 s.
    """
    parsed = _parse_url(url, password_file)
    engine = create_engine(
        parsed,
        connect_args=_CONNECT_ARGUMENTS,
        pool_pre_ping=True,
        pool_size=8,
        max_overflow=24,
    )
    event.listen(engine, "handle_error", _say_what_is_wrong)
    attempts = Retrying(
        retry=retry_if_exception_type(DatabaseUnavailableError),
        wait=wait_fixed(1.0),
        stop=stop_after_delay(START_WAIT_S),
        before_sleep=before_sleep_log(logger, logging.WARNING),
        reraise=True,
    )
    try:
        attempts(migrate, engine)
    except DatabaseUnavailableError as error:
        raise ConfigError(f"orchestrator.database_url: {error.message}") from error
    return engine


def is_shared(engine: Engine) -> bool:
    """Whether several orchestrators may work on the database."""
    return engine.dialect.name == POSTGRESQL


def insert(connection: Connection, table: Table) -> Any:  # noqa: ANN401
    """The database's own INSERT, which knows ON CONFLICT."""
    if connection.dialect.name == POSTGRESQL:
        return postgresql.insert(table)
    return sqlite.insert(table)


def database_time(connection: Connection) -> datetime.datetime:
    """The time now by the database's clock, which all orchestrators share."""
    if connection.dialect.name == POSTGRESQL:
        time: datetime.datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return time
    return utc_now()


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


def _parse_url(url: str, password_file: Path | None) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError(
            "orchestrator.database_url is no URL; write postgresql://user@host:port/database"
        ) from error
    if parsed.drivername != POSTGRESQL:
        raise ConfigError(
            f"orchestrator.database_url begins with {parsed.drivername}://; it must begin with "
            f"{POSTGRESQL}://, or be null for SQLite in the data folder"
        )
    if importlib.util.find_spec("psycopg") is None:
        raise ConfigError("orchestrator.database_url needs psycopg: install 'bestshot[postgres]'")
    if password_file is not None:
        try:
            lines = password_file.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise ConfigError(
                f"orchestrator.database_password_file: cannot read {password_file}: "
                f"{error.strerror}"
            ) from error
        if not lines or not lines[0]:
            raise ConfigError(
                f"orchestrator.database_password_file: the first line of {password_file} is empty"
            )
        parsed = parsed.set(password=lines[0])
    return parsed.set(drivername=f"{POSTGRESQL}+psycopg")


def _say_what_is_wrong(context: ExceptionContext) -> None:
    """Turns what psycopg says of a lost connection, or of text that it refuses, into our errors."""
    if isinstance(context.sqlalchemy_exception, DataError) and "NUL" in str(
        context.original_exception
    ):
        raise InvalidArgumentError("", "text holds a NUL character, which no text here has")
    if context.is_disconnect or isinstance(context.sqlalchemy_exception, OperationalError):
        problem = " ".join(str(context.original_exception).split())
        raise DatabaseUnavailableError(f"the database cannot be reached: {problem}")


def _set_pragmas(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def migrate(engine: Engine) -> None:
    """Brings the tables to the state that the code knows; one at a time, where several want to.

    Raises:
        ConfigError: They are newer than the code.
    """
    import alembic.command  # takes a quarter of a second, which commands without a database save
    import alembic.config
    import alembic.util

    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        if is_shared(engine):
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
        config.attributes["connection"] = connection
        try:
            alembic.command.upgrade(config, "head")
        except alembic.util.CommandError as error:
            raise ConfigError(
                f"the database was made by a newer bestshot than this one ({error}); use that"
            ) from error
