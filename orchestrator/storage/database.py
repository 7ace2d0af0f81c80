"""Opens, locks and migrates the database: SQLite in a folder, or PostgreSQL by URL."""

from __future__ import annotations

import contextlib
import datetime
import importlib.util
import logging
import os
import shutil
import sqlite3
from functools import partial
from pathlib import Path
from typing import IO, Any

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    ExceptionContext,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    create_engine,
    event,
    func,
    inspect,
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

from orchestrator.data_folder import DATABASE_NAME
from orchestrator.records import utc_now
from orchestrator.storage.tables import identity_erasures, metadata
from services.common.errors import (
    BestshotError,
    ConfigError,
    FailedPreconditionError,
    InvalidArgumentError,
    ResourceExhaustedError,
    UnavailableError,
)
from services.common.platform.locks import lock_descriptor
from services.common.user_files import read_user_text

logger = logging.getLogger(__name__)

LOCK_NAME = "bestshot.lock"
POSTGRESQL = "postgresql"
START_WAIT_S = 30.0
"""How long to wait for PostgreSQL, which may still be starting."""
BUSY_TIMEOUT_S = 30.0
"""How long a statement waits for a lock on the SQLite file."""
_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 6_218_744_312
"""Key of PostgreSQL's advisory lock for migrations; an arbitrary number."""
_VERSION = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""Alembic's own table, whose only row is the version of the others."""
_CONNECT_ARGUMENTS = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "application_name": "bestshot",
}
"""Options of libpq: a server that vanishes silently is noticed within 25 s."""


class DatabaseUnavailableError(UnavailableError):
    """The database cannot be reached: its server is gone, or its file is locked or unreadable.

    The problem may resolve itself.
    """


class DatabaseFullError(ResourceExhaustedError):
    """The disk of the database file is full."""


class DatabaseUnusableError(FailedPreconditionError):
    """The database file is damaged, not a database, or write-protected."""


DATABASE_ERRORS = (DatabaseUnavailableError, DatabaseFullError, DatabaseUnusableError)


def open_database(folder: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Engine:
    """Opens the SQLite database in `folder`; creates the folder and the tables if missing.

    Uses WAL with synchronous=FULL, so a committed result survives a power loss.

    Args:
        folder: Contains the database file.
        busy_timeout_s: How long a statement waits for another program's lock on the file.

    Raises:
        ConfigError: The file is damaged, locked, write-protected, or its disk is full; or the
            tables are newer than the code.
    """
    path = folder / DATABASE_NAME
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": busy_timeout_s})
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "handle_error", partial(_translate_sqlite, path, busy_timeout_s))
    try:
        migrate(engine)
    except DATABASE_ERRORS as error:
        engine.dispose()
        raise ConfigError(error.message) from error
    return engine


def open_postgresql(url: str, password_file: Path | None) -> Engine:
    """Opens a PostgreSQL database; creates the tables if missing.

    Args:
        url: "postgresql://user@host:port/database", with libpq's options as its query.
        password_file: File whose first line is the password; None = it comes from the URL or libpq.

    Raises:
        ConfigError: The URL is wrong, the file cannot be read, the `postgres` extra is not
            installed, or the database does not respond within 30 s.
    """
    parsed = _parse_url(url, password_file)
    engine = create_engine(
        parsed,
        connect_args=_CONNECT_ARGUMENTS,
        pool_pre_ping=True,
        pool_size=8,
        max_overflow=24,
    )
    event.listen(engine, "handle_error", _translate_postgresql)
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
    """Whether several orchestrators may share the database."""
    return engine.dialect.name == POSTGRESQL


def purge_deleted(engine: Engine) -> None:
    """Removes deleted features from the database's files, so that no backup will contain them.

    Raises:
        DatabaseUnavailableError: Another program is reading SQLite's write-ahead log.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if is_shared(engine):
            connection.execute(text("VACUUM FULL features"))
            return
        connection.execute(text("VACUUM"))
        is_busy = connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).one()[0]
        if is_busy:
            raise DatabaseUnavailableError(
                "the vectors are deleted, but another program is reading the database, so its "
                "log may still contain them; stop that program and run the command again"
            )


def insert(connection: Connection, table: Table) -> Any:  # noqa: ANN401
    """Returns the dialect's own INSERT, which supports ON CONFLICT."""
    if connection.dialect.name == POSTGRESQL:
        return postgresql.insert(table)
    return sqlite.insert(table)


def database_time(connection: Connection) -> datetime.datetime:
    """Returns the current time on the database's clock, which all orchestrators share."""
    if connection.dialect.name == POSTGRESQL:
        time: datetime.datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return time
    return utc_now()


def lock_folder(folder: Path) -> IO[str]:
    """Locks the data folder for this process; the system frees it however the process ends.

    Raises:
        ConfigError: The folder is not writable.
        FailedPreconditionError: Another orchestrator holds the lock.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / LOCK_NAME).open("a+", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write the data folder {folder}: {error.strerror}") from error
    try:
        lock_descriptor(handle.fileno())
    except OSError as error:
        handle.seek(0)
        holder = "unknown"
        with contextlib.suppress(OSError):  # on Windows, a locked file is unreadable
            holder = handle.read().strip()
        handle.close()
        raise FailedPreconditionError(
            f"the data folder {folder} is in use by another bestshot (pid {holder}); "
            f"wait for it to finish, or use another folder (--data, or BESTSHOT_DATA_DIR)"
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
            "orchestrator.database_url is not a URL; write postgresql://user@host:port/database"
        ) from error
    if parsed.drivername != POSTGRESQL:
        raise ConfigError(
            f"orchestrator.database_url begins with {parsed.drivername}://; it must begin with "
            f"{POSTGRESQL}://, or be null to use SQLite in the data folder"
        )
    if importlib.util.find_spec("psycopg") is None:
        raise ConfigError("orchestrator.database_url needs psycopg: install 'bestshot[postgres]'")
    _check_options(parsed)
    if password_file is not None:
        lines = read_user_text(password_file, "orchestrator.database_password_file").splitlines()
        if not lines or not lines[0]:
            raise ConfigError(
                f"orchestrator.database_password_file: the first line of {password_file} is empty"
            )
        parsed = parsed.set(password=lines[0])
    return parsed.set(drivername=f"{POSTGRESQL}+psycopg")


def _check_options(parsed: URL) -> None:
    from psycopg import ProgrammingError  # an optional dependency
    from psycopg.conninfo import make_conninfo

    for name in parsed.query:
        try:
            make_conninfo("", **{name: ""})
        except (ProgrammingError, TypeError, ValueError) as error:
            raise ConfigError(
                f"orchestrator.database_url: {name[:100]!r} is not a libpq option; "
                f"a valid example is ?sslmode=verify-full"
            ) from error


def _translate_sqlite(path: Path, busy_timeout_s: float, context: ExceptionContext) -> None:
    """Turns SQLite's errors about its file, in any statement, into ours."""
    problem = context.original_exception
    if isinstance(problem, BestshotError):  # raised for a bad value; SQLAlchemy would wrap it
        raise problem
    # errors raised by the Python module itself have no code
    if not isinstance(problem, sqlite3.Error) or not hasattr(problem, "sqlite_errorcode"):
        return
    code = problem.sqlite_errorcode & 0xFF  # the higher bits are detail, as in SQLITE_IOERR_WRITE
    said = f"SQLite says {problem.sqlite_errorname}: {problem}"
    restore = "restore a backup, or move the file away to start with an empty one"
    if code == sqlite3.SQLITE_FULL:
        raise DatabaseFullError(
            f"cannot write the database {path}: its disk is full, with {_free_room(path)} "
            f"({said}); free some space"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        raise DatabaseUnavailableError(
            f"another program has locked the database {path} for more than {busy_timeout_s:g} s "
            f"({said}); stop that program, or wait until it has finished"
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        raise DatabaseUnusableError(f"the database {path} is damaged ({said}); {restore}")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        raise DatabaseUnusableError(
            f"the database {path} cannot be written ({said}); make the file and its folder writable"
        )
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL):
        raise DatabaseUnavailableError(
            f"cannot read or write the database {path}: {said}; check its disk, which has "
            f"{_free_room(path)}"
        )


def _free_room(path: Path) -> str:
    try:
        return f"{shutil.disk_usage(path.parent).free / 1e6:,.1f} MB free"
    except OSError as error:
        return f"an unknown amount free ({error.strerror})"


def _translate_postgresql(context: ExceptionContext) -> None:
    """Turns psycopg errors about lost connections or invalid text into our own."""
    if isinstance(context.original_exception, BestshotError):  # a bad value; SQLAlchemy wraps it
        raise context.original_exception
    if isinstance(context.sqlalchemy_exception, DataError) and "NUL" in str(
        context.original_exception
    ):
        raise InvalidArgumentError("", "text must not contain a NUL character")
    if context.is_disconnect or isinstance(context.sqlalchemy_exception, OperationalError):
        problem = " ".join(str(context.original_exception).split())
        raise DatabaseUnavailableError(f"the database cannot be reached: {problem}")


def _set_pragmas(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    # secure_delete overwrites deleted and replaced data, which may be biometric
    settings = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")
    for pragma in settings:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def migrate(engine: Engine) -> None:
    """Creates or migrates the tables, in one transaction; simultaneous callers take turns.

    Raises:
        ConfigError: The tables are newer than the code.
    """
    if _find_version(engine) == newest_version():
        return
    with engine.begin() as connection:
        if is_shared(engine):
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
        else:
            # Python's driver would not start a transaction before statements that create tables
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        tables = inspect(connection).get_table_names()
        if {*metadata.tables, _VERSION.name}.isdisjoint(tables):
            _create(connection)
        else:
            _upgrade(connection)


def newest_version() -> str:
    """Returns the version of the newest migration: the number that its file name begins with."""
    files = (_MIGRATIONS / "versions").glob("[0-9]*_*.py")
    return max(path.name.partition("_")[0] for path in files)


def _find_version(engine: Engine) -> str | None:
    """Returns the version of the tables; None if there are none yet."""
    with engine.connect() as connection:
        if not inspect(connection).has_table(_VERSION.name):
            return None
        version: str | None = connection.scalar(select(_VERSION.c.version_num))
        return version


def _create(connection: Connection) -> None:
    """Creates at once what the migrations would create step by step, which takes far longer."""
    metadata.create_all(connection)
    connection.execute(identity_erasures.insert().values(id=1))
    _VERSION.create(connection)
    connection.execute(_VERSION.insert().values(version_num=newest_version()))


def _upgrade(connection: Connection) -> None:
    import alembic.command  # imported only when needed, because it takes 0.25 s
    import alembic.config
    import alembic.util

    config = alembic.config.Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    try:
        alembic.command.upgrade(config, "head")
    except alembic.util.CommandError as error:
        raise ConfigError(
            f"the database was created by a newer version of bestshot ({error}); use that one"
        ) from error
