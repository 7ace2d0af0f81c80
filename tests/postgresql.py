"""A PostgreSQL server for the tests: Debian's package, on a free port."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.waiting import wait_until

PASSWORD = "swordfish"
USER = "bestshot"


@dataclass(frozen=True)
class Postgresql:
    """A running server.

    Attributes:
        address: "host:port".
    """

    address: str

    def url(self, database: str) -> str:
        """Returns the URL of a database, for `orchestrator.database_url`."""
        return f"postgresql://{USER}:{PASSWORD}@{self.address}/{database}"

    @contextlib.contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """Creates a database, which is dropped afterwards, and yields its URL.

        Args:
            template: URL or name of the database to copy, to which nothing is connected.
        """
        name = f"t{uuid.uuid4().hex}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} LC_COLLATE 'C.UTF-8'").format(
                    sql.Identifier(name), sql.Identifier(template.rpartition("/")[2])
                )
            )
            yield self.url(name)
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
            connection.execute(drop.format(sql.Identifier(name)))


def find_binaries() -> Path:
    """Finds the folder with initdb and postgres; without it, fails in CI and skips elsewhere."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if found:
        return found[-1].parent
    if named := shutil.which("postgres"):
        return Path(named).resolve().parent
    if "CI" in os.environ:
        raise AssertionError("the tests need the Debian package postgresql")
    pytest.skip("PostgreSQL is not installed (Debian package postgresql)")


@contextlib.contextmanager
def running_postgresql(
    host: str, port: int, prefix: Sequence[str] = (), settings: Sequence[str] = ()
) -> Iterator[Postgresql]:
    """Runs a server that listens on an address and keeps its data in a temporary folder.

    Args:
        host: An address of this machine, or of the network namespace that `prefix` enters.
        port: A free port.
        prefix: Start of every command, for example to enter another network namespace.
        settings: Lines "name=value" of postgresql.conf.
    """
    binaries = find_binaries()
    folder = Path(tempfile.mkdtemp(prefix="bestshot-postgresql-"))
    # the server refuses to run as root
    user = ["runuser", "-u", "postgres", "--"] if getpass.getuser() == "root" else []
    if user:
        shutil.chown(folder, "postgres", "postgres")
    password = folder / "password"
    password.write_text(PASSWORD)
    password.chmod(0o644)
    data = str(folder / "data")
    initdb = [str(binaries / "initdb"), "-D", data, "-U", USER, "--pwfile", str(password)]
    options = ("--auth=scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
    subprocess.run([*user, *initdb, *options], check=True, capture_output=True, cwd=folder)
    with Path(data, "pg_hba.conf").open("a") as rules:
        rules.write("host all all 0.0.0.0/0 scram-sha-256\n")  # from any address
    all_settings = (f"listen_addresses={host}", f"port={port}", *settings)
    command = [
        *(*prefix, *user, str(binaries / "postgres"), "-D", data, "-k", str(folder)),
        *(part for setting in all_settings for part in ("-c", setting)),
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        probe = [*prefix, str(binaries / "pg_isready"), "-h", host, "-p", str(port)]
        wait_until(
            lambda: subprocess.run(probe, capture_output=True, check=False).returncode == 0,
            processes=[server],
            read_log=(folder / "log").read_text,
        )
        yield Postgresql(f"{host}:{port}")
    finally:
        stop = [str(binaries / "pg_ctl"), "-D", data, "stop", "-m", "immediate"]
        subprocess.run([*user, *stop], check=True, capture_output=True, cwd=folder)
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)
