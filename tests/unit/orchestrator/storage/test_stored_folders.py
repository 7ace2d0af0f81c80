from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.data_folder import DATABASE_NAME
from orchestrator.records import Album, utc_now
from orchestrator.storage.database import open_database
from orchestrator.storage.run_store import SqlRunStore
from orchestrator.storage.stored_folders import read_album_folders


def test_the_folders_of_all_albums_are_read(sqlite_folder: Path) -> None:
    engine = open_database(sqlite_folder)
    store = SqlRunStore(engine)
    store.add_album(Album("1", "", "/photos/[1] day", utc_now()))
    store.add_album(Album("2", "", "/photos/2", utc_now(), more_folders=("/cards/2",)))
    engine.dispose()
    assert read_album_folders(sqlite_folder) == [
        Path("/photos/[1] day"),
        Path("/photos/2"),
        Path("/cards/2"),
    ]


@pytest.mark.parametrize("content", [None, b"", b"not a database" * 100])
def test_an_unusable_database_has_no_albums(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / DATABASE_NAME).write_bytes(content)
    assert read_album_folders(tmp_path) == []
    assert (tmp_path / DATABASE_NAME).exists() == (content is not None)
