"""What the sub-commands of `bestshot` share: options, and how they find what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from orchestrator.config import OrchestratorSettings
from orchestrator.data_folder import data_folder
from orchestrator.metrics import RunMetrics
from orchestrator.records import Album, Run
from orchestrator.storage.database import DATABASE_NAME, open_database, open_postgresql
from orchestrator.storage.feature_cache import SqlFeatureCache
from orchestrator.storage.run_store import SqlRunStore
from orchestrator.storage.uploads import album_roots
from services.common.config.layers import DEFAULT_PROFILE, config_dir
from services.common.config.sections import load_section
from services.common.errors import ConfigError, NotFoundError

LATEST = "latest"

ConfigDir = Annotated[
    Path | None, typer.Option("--config-dir", help="Folder of services.yaml, pipeline.yaml, ...")
]
Data = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of the database. Default: the user's data folder."),
]
RunId = Annotated[str, typer.Argument(help="Id of a run, or its beginning.")]
AlbumName = Annotated[
    str, typer.Option("--album", help="Folder of an album; else that of the newest run.")
]


def open_stored(data: Path | None) -> Engine:
    """Opens the database that commands look into.

    Raises:
        ConfigError: There is none yet.
    """
    configs = config_dir(None)
    settings = load_section(configs, DEFAULT_PROFILE, "orchestrator", OrchestratorSettings)
    if data is None and settings.database_url is not None:
        return open_postgresql(settings.database_url, settings.database_password_file)
    folder = data_folder(data)
    if not (folder / DATABASE_NAME).exists():
        raise ConfigError(f"there are no runs in {folder} yet; `bestshot curate` makes the first")
    return open_database(folder)


def allowed_roots(data: Path | None) -> tuple[Path, ...]:
    """Resolved folders that links in an album may lead into, as for a running orchestrator."""
    settings = load_section(config_dir(None), DEFAULT_PROFILE, "orchestrator", OrchestratorSettings)
    return album_roots(settings.allowed_roots, data_folder(data))


def album_folders(store: SqlRunStore) -> list[Path]:
    """Folders of all albums: no command may write there."""
    return [Path(album.folder) for album in store.list_albums(limit=100_000, offset=0)]


def find_run(store: SqlRunStore, prefix: str) -> Run:
    """Finds a run by the beginning of its id, or the newest."""
    found = store.list_runs("", 1000, 0)
    if prefix != LATEST:
        found = [run for run in found if run.id.startswith(prefix)]
        if len(found) > 1:
            raise ConfigError(f"{len(found)} runs begin with {prefix!r}; give more of the id")
    if not found:
        raise NotFoundError("run", prefix)
    return found[0]


def stored_features(engine: Engine) -> SqlFeatureCache:
    """The features that runs have computed; nobody counts the lookups."""
    return SqlFeatureCache(engine, RunMetrics(CollectorRegistry()))


def find_photo(store: SqlRunStore, run: Run, name: str) -> str:
    """Finds a photo of a run by its path or, where that is plain, by its file name."""
    paths = [record.path for record in store.images(run.id)]
    same = [path for path in paths if path.rpartition("/")[2] == name]
    if name in paths:
        return name
    if len(same) > 1:
        raise ConfigError(f"{len(same)} photos are named {name!r}: {', '.join(same)}")
    if not same:
        raise NotFoundError("photo", name)
    return same[0]


def find_album(store: SqlRunStore, folder: str) -> Album:
    """Finds the album of a folder, or that of the newest run."""
    if folder == LATEST:
        return store.album(find_run(store, LATEST).album_id)
    wanted = str(Path(folder).resolve())
    for album in store.list_albums(limit=100_000, offset=0):
        if album.folder == wanted:
            return album
    raise NotFoundError("album", folder)
