"""Location of the data folder, which holds the database."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from services.common.config.folders import DATA_DIR_VARIABLE

DATABASE_NAME = "bestshot.db"


def data_folder(override: Path | None) -> Path:
    """Finds the data folder: flag, then BESTSHOT_DATA_DIR, then the platform's default."""
    if override is not None:
        return override.expanduser().absolute()
    named = os.environ.get(DATA_DIR_VARIABLE)
    return Path(named) if named else platformdirs.user_data_path("bestshot", appauthor=False)
