"""Folders and pictures that many tests share."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import Engine

from orchestrator.data_folder import DATABASE_NAME
from orchestrator.storage.database import open_database, open_postgresql
from orchestrator.storage.tables import identity_erasures, metadata
from tests.integration.command import BUILTIN
from tests.integration.up import free_ports
from tests.postgresql import Postgresql, running_postgresql

hypothesis.settings.register_profile("bestshot", deadline=None)  # speed is not what we test
hypothesis.settings.register_profile("fast", deadline=None, max_examples=20)
hypothesis.settings.load_profile("bestshot")

os.environ.update(BUILTIN)  # for services that tests start, in this process or in others

ROOT = Path(__file__).resolve().parents[1]
LONGEST = ("test_several_hosts.py", "test_faults.py", "test_journey.py", "test_troubles.py")
"""Test files to start first; otherwise one of them would keep the last worker busy at the end."""
REAL_PHOTOS = ROOT.parent / "shared" / "photos"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--screenshots", action="store_true", help="take pictures in the browser tests"
    )


def pytest_configure() -> None:
    """Makes sure that Ctrl-C reaches the commands that tests start.

    Processes that a shell runs in the background ignore SIGINT, and so do their children.
    `preexec_fn` is not an option: it forks, and gRPC's threads in this process do not survive that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignores files with only slow tests if those are not run, because importing them is slow."""
    if config.option.markexpr != "not slow" or collection_path.suffix != ".py":
        return None
    return True if "\npytestmark = pytest.mark.slow\n" in collection_path.read_text() else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)  # stable: otherwise keeps the order


@pytest.fixture(scope="session")
def real_photos() -> Callable[[str], Path]:
    """Finds a folder of real photos with ground truth; skips the test if there is none."""

    def find(name: str) -> Path:
        folder = REAL_PHOTOS / name
        if not folder.is_dir():
            pytest.skip(f"the real photos {folder} are not available")
        return folder

    return find


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgresql]:
    """A PostgreSQL server; without sync, because no test simulates a power failure."""
    (port,) = free_ports(1)
    with running_postgresql("127.0.0.1", port, settings=["fsync=off"]) as server:
        yield server


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with the tables, to copy."""
    folder = tmp_path_factory.mktemp("migrated")
    open_database(folder).dispose()
    return folder / DATABASE_NAME


@pytest.fixture
def sqlite_folder(migrated_sqlite: Path, tmp_path: Path) -> Path:
    """A folder with a separate database file that has the tables."""
    shutil.copy(migrated_sqlite, tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql: Postgresql) -> Iterator[str]:
    """URL of a database with the tables, to copy."""
    with postgresql.database() as url:
        open_postgresql(url, None).dispose()
        yield url


@pytest.fixture(scope="session")
def shared_postgresql(postgresql: Postgresql, migrated_postgresql: str) -> Iterator[str]:
    """URL of a database that is emptied between tests; creating one takes ten times as long."""
    with postgresql.database(migrated_postgresql) as url:
        yield url


def _opened(engine: Engine) -> Iterator[Engine]:
    yield engine
    engine.dispose()


KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]


@pytest.fixture(params=KINDS)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A database of either kind, with its tables, which tests must not change."""
    if request.param == "sqlite":
        yield from _opened(open_database(request.getfixturevalue("sqlite_folder")))
        return
    shared = open_postgresql(request.getfixturevalue("shared_postgresql"), None)
    yield from _opened(shared)
    _empty(shared)


def _empty(engine: Engine) -> None:
    """Restores the rows of a new database; ends connections that a test left open."""
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
        connection.execute(identity_erasures.insert().values(id=1))
    engine.dispose()


@pytest.fixture(params=KINDS)
def own_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A database like `engine`, for a test that changes its tables."""
    if request.param == "sqlite":
        yield from _opened(open_database(request.getfixturevalue("sqlite_folder")))
        return
    template = request.getfixturevalue("migrated_postgresql")
    with request.getfixturevalue("postgresql").database(template) as url:
        yield from _opened(open_postgresql(url, None))


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Isolates tests from the developer's settings and stored data."""
    monkeypatch.delenv("BESTSHOT_CONFIG_DIR", raising=False)
    monkeypatch.setenv("BESTSHOT_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def picture() -> Callable[..., NDArray[np.uint8]]:
    """Draws a picture with edges and colours, different for every seed."""
    return draw_picture


def draw_picture(seed: int = 0, width: int = 320, height: int = 240) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.asarray(smooth).astype(np.int16)
    for _ in range(30):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        side = int(rng.integers(8, 40))
        pixels[y : y + side, x : x + side] = rng.integers(0, 256, 3)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def png_bomb() -> bytes:
    """Returns a small file whose header claims 30,000 x 30,000 pixels."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(90_000)))):
        check = zlib.crc32(kind + data)
        png += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)
    return png


def draw_pairs(folder: Path, count: int, width: int, height: int) -> Path:
    """Makes a folder with pairs of nearly identical pictures, which the comparator has to rank."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        picture = Image.fromarray(draw_picture(number // 2, width, height))
        picture.save(folder / f"{number:02}.jpg", quality=90 - 4 * (number % 2))
    return folder
