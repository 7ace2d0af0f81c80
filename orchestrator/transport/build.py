"""Assembles an orchestrator, for the server and for commands that run without one."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from orchestrator.clients.calls import ServiceCaller
from orchestrator.clients.connect import connect
from orchestrator.config import OrchestratorSettings, PipelineConfig
from orchestrator.metrics import RunMetrics
from orchestrator.records import Album
from orchestrator.run_service import Curator
from orchestrator.runs.pipeline import Concurrency
from orchestrator.runs.worker import Announce, Worker
from orchestrator.storage.album_folders import AlbumPhotoSource, open_folders
from orchestrator.storage.answers import SqlAnswers
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.feature_cache import SqlFeatureCache
from orchestrator.storage.file_stamps import SqlFileStamps
from orchestrator.storage.people_store import SqlPeople
from orchestrator.storage.photo_io import PhotoThreads
from orchestrator.storage.photo_source import FolderPhotoSource, check_still_allowed
from orchestrator.storage.rendition_files import RenditionFiles
from orchestrator.storage.run_queue import SqlRunQueue
from orchestrator.storage.run_store import SqlRunStore
from orchestrator.storage.uploads import album_roots
from orchestrator.transport.pages import Reader
from orchestrator.transport.repeats import Repeats
from orchestrator.transport.servicer import OrchestratorServicer
from services.common.config.sections import SharedSettings
from services.common.imaging.memory_budget import MemoryBudget

RENDITIONS_FOLDER = "renditions"


@dataclass(frozen=True)
class Orchestrator:
    """The parts of one orchestrator.

    Attributes:
        store: The albums and the runs.
        queue: The queued runs.
        worker: Executes the queued runs once its `work` is awaited.
        curator: Starts, watches and compares runs.
        reader: Reads stored results.
        servicer: The gRPC API.
        callers: Callers of the model services, which must be closed.
    """

    store: SqlRunStore
    queue: SqlRunQueue
    worker: Worker
    curator: Curator
    reader: Reader
    servicer: OrchestratorServicer
    callers: Sequence[ServiceCaller]


def build_orchestrator(
    engine: Engine,
    config_folder: Path,
    shared: SharedSettings,
    settings: OrchestratorSettings,
    config: PipelineConfig,
    data_folder: Path,
    registry: CollectorRegistry,
    *,
    allowed_roots: Sequence[Path] | None = None,
    announce: Announce | None = None,
) -> Orchestrator:
    """Assembles an orchestrator in the running event loop; starts nothing.

    Args:
        engine: The database.
        config_folder: Folder with models.yaml.
        shared: Section `shared` of services.yaml.
        settings: Section `orchestrator` of services.yaml.
        config: Source of run settings.
        data_folder: Folder for uploads and for pictures made for viewing.
        registry: Registry for the metrics of runs.
        allowed_roots: Folders that must contain new albums and exports. Local commands set them,
            because their user may read every album; None = those in `settings`, which then apply
            to all albums.
        announce: Called with each run that ends in this orchestrator.

    Raises:
        ConfigError: A hosted model is not in models.yaml, or a TLS file or token file is invalid.
    """
    store = SqlRunStore(engine)
    log = SqlDecisionLog(engine)
    people = SqlPeople(engine)
    run_metrics = RunMetrics(registry)
    cache = SqlFeatureCache(engine, run_metrics)
    callers, ports = connect(config_folder, shared, settings)
    threads = PhotoThreads()
    decoding = MemoryBudget(settings.max_decode_mb * 10**6)
    roots = album_roots(settings.allowed_roots, data_folder)

    def open_source(album: Album) -> FolderPhotoSource | AlbumPhotoSource:
        if allowed_roots is None:  # the album may be from a local command or older settings
            for folder in album.folders:
                check_still_allowed(folder, roots)
        return open_folders(
            list(map(Path, album.folders)),
            lambda folder: FolderPhotoSource(
                folder, max_pixels=shared.max_image_pixels, budget=decoding, roots=roots
            ),
        )

    renditions = RenditionFiles(data_folder / RENDITIONS_FOLDER, settings.max_rendition_mb * 10**6)
    owner_id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    queue = SqlRunQueue(engine, owner_id, takes_over=settings.resume_runs)
    worker = Worker(
        queue=queue,
        store=store,
        log=log,
        people=people,
        cache=cache,
        stamps=SqlFileStamps(engine),
        ports=ports,
        concurrency=Concurrency(settings.batch_count, settings.concurrent_batches),
        open_source=open_source,
        metrics=run_metrics,
        threads=threads,
        announce=announce,
        keep_picture=renditions.keep,
    )
    curator = Curator(
        store=store,
        log=log,
        people=people,
        queue=queue,
        cache=cache,
        ports=ports,
        config=config,
        worker=worker,
        threads=threads,
    )
    reader = Reader(
        curator, store, log, people, cache, config, open_source, renditions, threads, roots
    )
    servicer = OrchestratorServicer(
        curator,
        reader,
        store,
        log,
        people,
        cache,
        settings.allowed_roots if allowed_roots is None else allowed_roots,
        roots,
        data_folder,
        settings.max_upload_mb * 10**6,
        Repeats(SqlAnswers(engine)),
    )
    return Orchestrator(store, queue, worker, curator, reader, servicer, callers)
