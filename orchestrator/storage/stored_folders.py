"""Reads the albums' folders from the database without SQLAlchemy, which is slow to load."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

from orchestrator.data_folder import DATABASE_NAME


def album_folders(stored: str) -> list[str]:
    """Parses the value of the `folder` column in the `albums` table."""
    return list(json.loads(stored)) if stored.startswith("[") else [stored]


def read_album_folders(data_folder: Path) -> list[Path]:
    """Reads the folders of all albums; none if the database is absent or cannot be read."""
    uri = (data_folder / DATABASE_NAME).absolute().as_uri() + "?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            stored = connection.execute("SELECT folder FROM albums ORDER BY create_time, id")
            return [Path(folder) for (one,) in stored for folder in album_folders(one)]
    except sqlite3.Error:  # the orchestrator reports the error, and checks its albums itself
        return []
