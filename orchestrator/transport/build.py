"""Puts the parts of an orchestrator together, for the server and for a command that needs none."""

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
from orchestrator.runs.pipeline import Limits
from orchestrator.runs.worker import Worker
from orchestrator.storage.answers import SqlAnswers
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.feature_cache import SqlFeatureCache
from orchestrator.storage.photo_io import PhotoThreads
from orchestrator.storage.photo_source import FolderPhotoSource
from orchestrator.storage.run_queue import SqlRunQueue
from orchestrator.storage.run_store import SqlRunStore
from orchestrator.storage.uploads import album_roots
from orchestrator.transport.pages import Reader
from orchestrator.transport.repeats import Repeats
from orchestrator.transport.servicer import OrchestratorServicer
from services.common.config.sections import SharedSettings
from services.common.imaging.memory_budget import MemoryBudget


@dataclass(frozen=True)
class Orchestrator:
    """The parts of one orchestrator.

    Attributes:
        store: The albums and the runs.
        queue: The runs that wait.
        worker: Works on them once its `work` is awaited.
        curator: Starts, watches and compares runs.
        reader: Reads what is stored.
        servicer: The gRPC API.
        callers: Of the model services; to be closed.
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
) -> Orchestrator:
    """Puts an orchestrator together in the running event loop; nothing is started.

    Args:
        engine: The database.
        config_folder: Has models.yaml.
        shared: Of services.yaml.
        settings: Of services.yaml.
        config: Where run settings come from.
        data_folder: Uploads go there.
        registry: Gets the metrics of runs.
        allowed_roots: Folders below which albums and exports may be; None = those of `settings`.

    Raises:
        ConfigError: A hosted model is not in models.yaml, or a file of TLS or the token is wrong.
    """
    store = SqlRunStore(engine)
    log = SqlDecisionLog(engine)
    run_metrics = RunMetrics(registry)
    cache = SqlFeatureCache(engine, run_metrics)
    callers, ports = connect(config_folder, shared, settings)
    threads = PhotoThreads()
    decoding = MemoryBudget(settings.max_decode_mb * 10**6)
    roots = album_roots(settings.allowed_roots, data_folder)

    def open_source(album: Album) -> FolderPhotoSource:
        return FolderPhotoSource(
            Path(album.folder),
            max_pixels=shared.max_image_pixels,
            budget=decoding,
            roots=roots,
        )

    owner_id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    queue = SqlRunQueue(engine, owner_id, takes_over=settings.resume_runs)
    worker = Worker(
        queue=queue,
        store=store,
        log=log,
        cache=cache,
        ports=ports,
        limits=Limits(settings.batch_count, settings.concurrent_batches),
        open_source=open_source,
        metrics=run_metrics,
        threads=threads,
    )
    curator = Curator(
        store=store,
        log=log,
        queue=queue,
        cache=cache,
        ports=ports,
        config=config,
        worker=worker,
    )
    reader = Reader(curator, store, log, cache, config, open_source, threads, roots)
    servicer = OrchestratorServicer(
        curator,
        reader,
        store,
        log,
        cache,
        settings.allowed_roots if allowed_roots is None else allowed_roots,
        roots,
        data_folder,
        settings.max_upload_mb * 10**6,
        Repeats(SqlAnswers(engine)),
    )
    return Orchestrator(store, queue, worker, curator, reader, servicer, callers)
