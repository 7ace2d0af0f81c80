"""Location of the data folder.

It holds the database, the user's profiles, uploaded photos, pictures for viewing and networks;
docs/faq.md says how each is deleted.
"""

from __future__ import annotations

import os
from pathlib import Path

from services.common.config.folders import DATA_DIR_VARIABLE, data_dir

DATABASE_NAME = "bestshot.db"


def data_folder(override: Path | None) -> Path:
    """Finds the data folder: flag, then BESTSHOT_DATA_DIR, then the platform's default."""
    if override is not None:
        # The model services read the user's profiles too. They do not take the flag, but inherit
        # the variable.
        os.environ[DATA_DIR_VARIABLE] = str(override.expanduser().absolute())
    return data_dir()
