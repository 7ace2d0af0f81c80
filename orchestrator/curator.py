"""The application: albums' runs started, watched, cancelled, reselected, compared."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import importlib.metadata
import logging
import platform
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_fixed

from orchestrator import rejudging
from orchestrator.config import PipelineConfig, PipelineSettings
from orchestrator.domain.photo import Decision
from orchestrator.metrics import RunMetrics
from orchestrator.pipeline import (
    Limits,
    Outcome,
    Pipeline,
    Services,
)
from orchestrator.ports import (
    FeatureCache,
    ModelIdentity,
    ModelPort,
    ModelPorts,
    PhotoSource,
)
from orchestrator.results import (
    Album,
    ImageRecord,
    Run,
    RunState,
    StageProgress,
    summarize,
    utc_now,
)
from orchestrator.run_config import recorded_config, stored_calibration, stored_settings
from orchestrator.storage.run_store import SqlRunStore
from services.common.errors import (
    BestshotError,
    ConfigError,
    FailedPreconditionError,
    InvalidArgumentError,
    UnavailableError,
)
from services.common.imaging import CANONICAL_VERSION
from services.common.interceptors import request_id
from services.common.tracing import span

logger = logging.getLogger(__name__)

RECONNECT_S = 1.5
"""A channel tries every second to find a service again."""
_COMPUTING_PACKAGES = (
    "bestshot",
    "numpy",
    "hdbscan",
    "scikit-learn",
    "pillow",
    "pillow-heif",
    "opencv-python-headless",
)


class Curator:
    """Works on runs one after the other, and tells how they go.

    Args:
        store: Runs and results.
        cache: Features.
        ports: Model services.
        config: Where run settings come from.
        limits: Bounds of the fan-out.
        open_source: Opens the photos of an album.
        metrics: Told of every run that has ended.
    """

    def __init__(
        self,
        *,
        store: SqlRunStore,
        cache: FeatureCache,
        ports: ModelPorts,
        config: PipelineConfig,
        limits: Limits,
        open_source: Callable[[Album], PhotoSource],
        metrics: RunMetrics,
    ) -> None:
        self._metrics = metrics
        self._store = store
        self._cache = cache
        self._ports = ports
        self._config = config
        self._limits = limits
        self._open_source = open_source
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._live: dict[str, Run] = {}
        self._changed = asyncio.Condition()
        self._working: tuple[str, asyncio.Task[Outcome]] | None = None

    async def recover(self, *, resume: bool) -> None:
        """Deals with the runs that an earlier orchestrator left unfinished.

        Args:
            resume: Queue them anew; else mark them as interrupted. Their scores are cached.
        """
        for run in await asyncio.to_thread(self._store.unfinished_runs):
            if resume:
                logger.info("resuming run %s", run.id)
                await self._publish(run.changed(state=RunState.PENDING, stages=()), durable=True)
                await self._queue.put(run.id)
            else:
                await asyncio.to_thread(self._store.interrupt, run, utc_now())

    async def work(self) -> None:
        """Works on queued runs until cancelled."""
        while True:
            run_id = await self._queue.get()
            run = self._live.get(run_id)
            if run is not None and run.state is RunState.PENDING:
                await self._execute(run)
            run = self._live.get(run_id)
            if run is not None and run.state.is_final:  # and not resumed meanwhile
                del self._live[run_id]

    async def start_run(self, album: Album, profile: str, overrides: dict[str, Any]) -> Run:
        """Checks settings and services, then queues a run.

        Raises:
            InvalidArgumentError: A setting is wrong.
            FailedPreconditionError: A model service cannot serve what the settings ask for.
        """
        settings = self._load_settings(profile, overrides)
        services = await self._preflight(settings)
        calibration = await self._ports.embedder.calibration()
        run = Run(
            id=uuid.uuid4().hex,
            album_id=album.id,
            state=RunState.PENDING,
            profile=profile or self._config.profile,
            config=recorded_config(settings, calibration),
            models={role: dataclasses.asdict(model) for role, model in services.models.items()},
            versions=_versions(),
            create_time=utc_now(),
        )
        await self._publish(run, durable=True)
        await self._queue.put(run.id)
        return run

    async def resume(self, run_id: str) -> Run:
        """Queues a run that did not reach its end once more, under its own settings.

        Raises:
            FailedPreconditionError: It is under way or completed, or a model service cannot serve
                what it was started with.
        """
        run = await self.run(run_id)
        self._check_models(run, await self._preflight(stored_settings(run)))
        stored = await self.run(run_id)
        run = self._live.get(run_id, stored)  # not awaited: two callers resume it once
        if not run.state.is_final or run.state is RunState.COMPLETED:
            raise FailedPreconditionError(
                f"run {run.id} is {run.state.value}; only one that failed, was cancelled or was "
                f"interrupted can be resumed"
            )
        pending = run.changed(state=RunState.PENDING, stages=(), error="", end_time=None)
        self._live[run.id] = pending  # at once, lest it is resumed twice
        await self._publish(pending, durable=True)
        await self._queue.put(run.id)
        return pending

    def current(self, run: Run) -> Run:
        """Returns a stored run as it stands now: its progress is not stored."""
        return self._live.get(run.id, run)

    async def run(self, run_id: str) -> Run:
        """Returns a run as it stands now."""
        live = self._live.get(run_id)
        return live if live else await asyncio.to_thread(self._store.run, run_id)

    async def watch(self, run_id: str) -> AsyncIterator[Run]:
        """Yields the run as it stands, then every newer state that the reader has time for."""
        seen = -1
        while True:
            run = await self.run(run_id)
            if run.revision > seen:
                seen = run.revision
                yield run
            if run.state.is_final:
                return
            async with self._changed:
                live = self._live.get(run_id)
                if live is not None and live.revision <= seen:
                    await self._changed.wait()

    async def cancel(self, run_id: str) -> Run:
        """Asks a run to stop."""
        run = await self.run(run_id)
        if run.state.is_final:
            raise FailedPreconditionError(
                f"run {run_id} has ended already, it is {run.state.value}"
            )
        if self._working is not None and self._working[0] == run_id:
            self._working[1].cancel()
        else:
            run = run.changed(state=RunState.CANCELLED, end_time=utc_now())
            self._live[run_id] = run  # at once, lest it is begun while it is being stored
            await self._publish(run, durable=True)
        return run

    def is_active(self, album_id: str) -> bool:
        """Whether a run of the album waits or works."""
        return any(
            run.album_id == album_id and not run.state.is_final for run in self._live.values()
        )

    async def reselect(
        self, run: Run, overrides: dict[str, Any], *, validate_only: bool
    ) -> rejudging.Reselection:
        """Clusters and selects anew on a completed run's scores.

        Raises:
            FailedPreconditionError: The run is not completed.
            InvalidArgumentError: A setting is wrong.
        """
        if run.state is not RunState.COMPLETED:
            raise FailedPreconditionError(
                f"run {run.id} is {run.state.value}; only a completed run can be reselected"
            )
        return await asyncio.to_thread(
            rejudging.reselect,
            self._store,
            self._cache,
            run,
            overrides,
            validate_only=validate_only,
        )

    async def decide(
        self, album_id: str, path: str, decision: Decision | None, run: Run | None
    ) -> tuple[Decision | None, list[ImageRecord]]:
        """Stores what the user decided about a photo.

        Args:
            album_id: The photo's album.
            path: The photo's path in it.
            decision: None undoes an earlier one.
            run: Completed run of the album whose results shall heed it at once.

        Returns:
            What was decided before, and the photos of the run that stand otherwise now.

        Raises:
            FailedPreconditionError: The run is not completed.
            InvalidArgumentError: The run is another album's.
        """
        if run is not None and run.album_id != album_id:
            raise InvalidArgumentError("run_id", f"run {run.id} is of another album")
        if run is not None and run.state is not RunState.COMPLETED:
            raise FailedPreconditionError(f"run {run.id} is {run.state.value}, not completed")
        return await asyncio.to_thread(self._decide, album_id, path, decision, run)

    async def served_models(self) -> dict[str, ModelIdentity | BestshotError]:
        """Asks every model service which model it serves; by role, the model or the error."""
        ports = self._ports
        by_role: dict[str, ModelPort] = {
            "embedding": ports.embedder,
            "quality": ports.scorer,
            "face": ports.analyzer,
            "siamese": ports.comparer,
        }
        answers = await asyncio.gather(
            *(port.model() for port in by_role.values()), return_exceptions=True
        )
        found: dict[str, ModelIdentity | BestshotError] = {}
        for role, answer in zip(by_role, answers, strict=True):
            if isinstance(answer, BaseException) and not isinstance(answer, BestshotError):
                raise answer
            found[role] = answer
        return found

    async def compare(self, run: Run, first_path: str, second_path: str) -> float:
        """Probability that the first of two photos of a run is the better one."""
        first = await asyncio.to_thread(self._store.image, run.id, first_path)
        second = await asyncio.to_thread(self._store.image, run.id, second_path)
        for record in (first, second):
            if not record.is_readable:
                raise FailedPreconditionError(f"{record.path} could not be read: {record.error}")
        model = await self._ports.comparer.model()
        album = await asyncio.to_thread(self._store.album, run.album_id)
        settings = stored_settings(run)
        services = Services(
            self._ports.embedder,
            self._ports.scorer,
            self._ports.analyzer,
            self._ports.comparer,
            {"siamese": model},
        )
        pipeline = self._pipeline(album, settings, services, run)
        digests = {record.path: record.content_digest for record in (first, second)}
        pair = (first_path, second_path)
        known = await asyncio.to_thread(pipeline.known_comparisons, [pair], digests)
        answers = known or await pipeline.compare_pairs([pair], digests)
        if pair not in answers:
            raise UnavailableError("the siamese service could not compare the two photos")
        return answers[pair]

    async def _execute(self, run: Run) -> None:
        task = asyncio.ensure_future(self._curate(run))
        self._working = (run.id, task)  # before anything is awaited: from here on cancel finds it
        try:
            await asyncio.wait([task])  # `await task` could not tell its cancellation from ours
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task])
            raise
        await self._conclude(run.id, task)
        self._working = None

    async def _conclude(self, run_id: str, task: asyncio.Task[Outcome]) -> None:
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or (error is not None and task.cancelling()):
            await self._end(run_id, RunState.CANCELLED)
        elif isinstance(error, BestshotError):
            logger.error("run %s failed: %s", run_id, error.message)
            await self._end(run_id, RunState.FAILED, error=_advice(error))
        elif error is not None:
            logger.error("run %s failed", run_id, exc_info=error)
            await self._end(
                run_id, RunState.FAILED, error="internal error; the orchestrator's log has more"
            )
        else:
            await self._end(run_id, RunState.COMPLETED, outcome=task.result())

    async def _curate(self, run: Run) -> Outcome:
        request_id.set(run.id)  # what the services log of this run can be found by it
        with span("run", run_id=run.id, album_id=run.album_id):
            return await self._curate_traced(run)

    async def _curate_traced(self, run: Run) -> Outcome:
        run = run.changed(state=RunState.RUNNING, start_time=utc_now())
        await self._publish(run, durable=True)
        settings = stored_settings(run)
        services = await self._preflight(settings)
        self._check_models(run, services)
        if settings.select_best.siamese.enabled:
            logger.info("Siamese comparison enabled")
        album = await asyncio.to_thread(self._store.album, run.album_id)
        decisions = await asyncio.to_thread(self._store.decisions, run.album_id)
        outcome = await self._pipeline(album, settings, services, run).run(decisions)
        await asyncio.to_thread(self._store.save_images, run.id, outcome.records)
        return outcome

    def _check_models(self, run: Run, services: Services) -> None:
        for role, model in services.models.items():
            if run.models[role]["digest"] != model.digest:
                raise FailedPreconditionError(
                    f"the {role} service now serves {model.id} with another digest than when the "
                    f"run was started; start a new run"
                )

    def _pipeline(
        self, album: Album, settings: PipelineSettings, services: Services, run: Run
    ) -> Pipeline:
        async def report(progress: StageProgress) -> None:
            live = self._live[run.id]
            earlier = tuple(stage for stage in live.stages if stage.stage != progress.stage)
            await self._publish(live.changed(stages=(*earlier, progress)), durable=False)

        return Pipeline(
            source=self._open_source(album),
            cache=self._cache,
            services=services,
            settings=settings,
            clustering=settings.cluster_scenes.parameters(stored_calibration(run)),
            limits=self._limits,
            report=report,
        )

    async def _preflight(self, settings: PipelineSettings) -> Services:
        """Asks every service that the settings need which model it serves.

        One that has just started is found within a moment.
        """
        attempts = AsyncRetrying(
            retry=retry_if_exception(_is_down),
            wait=wait_fixed(0.3),
            stop=stop_after_delay(RECONNECT_S),
            reraise=True,
        )
        return await attempts(self._services_now, settings)

    async def _services_now(self, settings: PipelineSettings) -> Services:
        ports = self._ports
        models = {
            "embedding": await ports.embedder.model(),
            "quality": await ports.scorer.model(),
            "face": await ports.analyzer.model(),
        }
        siamese = settings.select_best.siamese
        if siamese.enabled:
            try:
                models["siamese"] = await ports.comparer.model()
            except BestshotError as error:
                raise FailedPreconditionError(
                    f"select_best.siamese.enabled is true, but no Siamese model serves: "
                    f"{error.message}. Start the service, or set select_best.siamese.enabled=false"
                ) from error
            if siamese.checkpoint_path is not None:
                await asyncio.to_thread(
                    _check_checkpoint, siamese.checkpoint_path, models["siamese"].file_digests
                )
        return Services(ports.embedder, ports.scorer, ports.analyzer, ports.comparer, models)

    def _load_settings(self, profile: str, overrides: dict[str, Any]) -> PipelineSettings:
        try:
            return self._config.load(profile, overrides)
        except ConfigError as error:
            raise InvalidArgumentError("config_overrides", error.message) from error

    def _decide(
        self, album_id: str, path: str, decision: Decision | None, run: Run | None
    ) -> tuple[Decision | None, list[ImageRecord]]:
        digest = self._store.content_digest(album_id, path)
        previous = self._store.decisions(album_id).get(digest)
        self._store.set_decision(album_id, digest, decision, utc_now())
        if run is None:
            return previous, []
        return previous, rejudging.heed_decision(self._store, self._cache, run, digest)

    async def _end(
        self, run_id: str, state: RunState, *, error: str = "", outcome: Outcome | None = None
    ) -> None:
        run = self._live[run_id]
        end = utc_now()
        summary = None
        if outcome is not None:
            elapsed = (end - (run.start_time or end)).total_seconds()
            summary = summarize(outcome.records, outcome.cached_count, elapsed)
        self._metrics.run_ended(
            state.value, {stage.stage: stage.elapsed_seconds for stage in run.stages}
        )
        await self._publish(
            run.changed(state=state, error=error, end_time=end, summary=summary), durable=True
        )

    async def _publish(self, run: Run, *, durable: bool) -> None:
        """Stores a change first, if it must last, then shows it to the watchers."""
        if durable:
            await asyncio.to_thread(self._store.save_run, run)
        self._live[run.id] = run
        async with self._changed:
            self._changed.notify_all()


def _is_down(error: BaseException) -> bool:
    return isinstance(error, UnavailableError) or isinstance(error.__cause__, UnavailableError)


def _check_checkpoint(path: Path, served: tuple[str, ...]) -> None:
    """Refuses a checkpoint_path that the Siamese service did not load."""
    try:
        digest = hashlib.sha256(path.expanduser().read_bytes()).hexdigest()
    except OSError as error:
        raise FailedPreconditionError(
            f"select_best.siamese.checkpoint_path: cannot read {path}: {error.strerror}"
        ) from error
    if digest not in served:
        raise FailedPreconditionError(
            f"select_best.siamese.checkpoint_path is {path} (sha256 {digest[:12]}...), but the "
            f"Siamese service loaded another model; name it in models.yaml and in "
            f"services.yaml (siamese.model), or set checkpoint_path to null"
        )


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "canonical_image": CANONICAL_VERSION}
    for package in _COMPUTING_PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


def _advice(error: BestshotError) -> str:
    if isinstance(error, UnavailableError):
        kept = "Scores finished so far are kept: resume this run, or run again to go on"
        return f"{error.message}. {kept}"
    return error.message
