"""Works on runs, one after the other, for as long as each is this orchestrator's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from orchestrator.config import resolve_auto
from orchestrator.domain.decisions import corrections_in, decisions_in
from orchestrator.metrics import RunMetrics
from orchestrator.ports import FeatureCache, ModelPorts, PhotoSource
from orchestrator.records import Album, Run, RunState, StageProgress, summarize, utc_now
from orchestrator.runs.model_check import check_models, find_services
from orchestrator.runs.pipeline import Limits, Outcome, Pipeline, Services
from orchestrator.runs.recorded_settings import (
    recorded_corrections,
    stored_calibration,
    stored_settings,
)
from orchestrator.storage.database import DATABASE_ERRORS, DatabaseUnavailableError
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.photo_io import PhotoThreads
from orchestrator.storage.run_queue import Renewal, SqlRunQueue
from orchestrator.storage.run_store import SqlRunStore
from services.common.errors import BestshotError, UnavailableError
from services.common.process.request_id import request_id
from services.common.process.tracing import span

logger = logging.getLogger(__name__)

POLL_S = 1.0
"""How often runs are looked for that other orchestrators have queued or left."""
RENEW_S = 2.0
"""How often a run's lease is renewed and its progress stored."""


class Worker:
    """Claims runs and works on them.

    An error in a run ends that run, with its cause, and never the worker.

    Args:
        queue: The runs that wait.
        store: Albums.
        log: Decisions.
        cache: Features.
        ports: Model services.
        limits: Bounds of the fan-out.
        open_source: Opens the photos of an album.
        metrics: Told of every run that has ended here.
        threads: For photos; None = its own.
    """

    def __init__(
        self,
        *,
        queue: SqlRunQueue,
        store: SqlRunStore,
        log: SqlDecisionLog,
        cache: FeatureCache,
        ports: ModelPorts,
        limits: Limits,
        open_source: Callable[[Album], PhotoSource],
        metrics: RunMetrics,
        threads: PhotoThreads | None = None,
    ) -> None:
        self._threads = threads or PhotoThreads()
        self._queue = queue
        self._store = store
        self._log = log
        self._cache = cache
        self._ports = ports
        self._limits = limits
        self._open_source = open_source
        self._metrics = metrics
        self._wanted = asyncio.Event()
        self._changed = asyncio.Condition()
        self._live: Run | None = None
        self._task: asyncio.Task[Outcome] | None = None
        self._is_lost = False
        self._unstored: dict[str, Run] = {}
        """Runs that have failed here, whose end is not stored in the database yet."""
        self._last_trouble = ""

    async def work(self) -> None:
        """Works on runs until cancelled."""
        while True:
            self._wanted.clear()
            run = await self._next()
            if run is not None:
                try:
                    await self._execute(run)
                except Exception:  # once its lease expires it is claimed again or given up
                    logger.exception("abandoning run %s until its lease expires", run.id)
                    self._live = self._task = None
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), POLL_S)

    async def _next(self) -> Run | None:
        """Claims a run; None if none is waiting, or none can be claimed at the moment."""
        try:
            await self._store_ends()
            run = await asyncio.to_thread(self._queue.claim)
        except Exception as error:  # the next try may succeed: the disk has space, the lock is gone
            trouble = error.message if isinstance(error, BestshotError) else repr(error)
            if trouble != self._last_trouble:  # not every second, on a disk that may be full
                known = isinstance(error, BestshotError)
                logger.error("cannot claim runs: %s", trouble, exc_info=not known)
            self._last_trouble = trouble
            return None
        self._last_trouble = ""
        return run

    async def _store_ends(self) -> None:
        for run in list(self._unstored.values()):
            try:
                await asyncio.to_thread(self._queue.finish, run, None)
            except DATABASE_ERRORS:
                raise
            except Exception:  # must not keep other runs from being claimed
                logger.exception("cannot store the end of run %s", run.id)
            del self._unstored[run.id]

    def wake(self) -> None:
        """Tells that a run waits."""
        self._wanted.set()

    def live(self, run_id: str) -> Run | None:
        """The current state of a run that is in progress here or whose end is not stored yet."""
        if self._live is not None and self._live.id == run_id:
            return self._live
        return self._unstored.get(run_id)

    def stop_cancelled(self, run_id: str) -> None:
        """Ends a run whose end was asked for, if it is worked on here."""
        if self.live(run_id) is not None and self._task is not None:
            self._task.cancel()

    async def wait_for_change(self, run_id: str, revision: int) -> None:
        """Returns once the run may be newer than `revision`; runs of others are looked at often."""
        async with self._changed:
            live = self.live(run_id)
            if live is None or live.revision <= revision:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), POLL_S)

    async def _execute(self, run: Run) -> None:
        self._live, self._is_lost = run, False
        self._task = task = asyncio.ensure_future(self._curate(run))
        lease = asyncio.ensure_future(self._hold(task))
        try:
            await self._publish(run)
            await asyncio.wait([task])  # `await task` could not tell its cancellation from ours
        except asyncio.CancelledError:
            task.cancel()
            lease.cancel()
            await asyncio.wait([task, lease])
            with contextlib.suppress(Exception):  # then it is taken over at the next start
                await asyncio.to_thread(self._queue.release, self._live)
            self._live = self._task = None
            raise
        lease.cancel()
        await asyncio.wait([lease])
        try:
            await self._conclude(task)
        except Exception as error:
            await self._conclude_otherwise(run, error)
        self._live = self._task = None
        async with self._changed:
            self._changed.notify_all()

    async def _hold(self, task: asyncio.Task[Outcome]) -> None:
        """Renews the lease; ends `task` when its run is cancelled or no longer ours."""
        while True:
            await asyncio.sleep(RENEW_S)
            assert self._live is not None
            try:
                renewal = await asyncio.to_thread(self._queue.renew, self._live)
            except Exception as error:  # without a lease the run continues until another has it
                logger.warning("the lease of run %s is not renewed: %s", self._live.id, error)
                continue
            if renewal is not Renewal.HELD:
                self._is_lost = renewal is Renewal.LOST
                task.cancel()

    async def _conclude(self, task: asyncio.Task[Outcome]) -> None:
        assert self._live is not None
        run_id = self._live.id
        error = None if task.cancelled() else task.exception()
        if isinstance(error, DATABASE_ERRORS):
            raise error
        if self._is_lost:
            logger.warning("run %s is another orchestrator's now", run_id)
        elif task.cancelled() or (error is not None and task.cancelling()):
            await self._finish(self._ended(RunState.CANCELLED))
        elif isinstance(error, BestshotError):
            logger.error("run %s failed: %s", run_id, error.message)
            await self._finish(self._ended(RunState.FAILED, _advice(error)))
        elif error is not None:
            logger.error("run %s failed", run_id, exc_info=error)
            await self._finish(self._ended(RunState.FAILED, _cause(error)))
        else:
            await self._finish(self._ended(RunState.COMPLETED), task.result())

    async def _conclude_otherwise(self, run: Run, error: Exception) -> None:
        """Fails a run whose end could not be stored, or leaves it to another orchestrator.

        If even that cannot be stored, those who watch the run see the failure at once, and it is
        stored as soon as possible.
        """
        if isinstance(error, DatabaseUnavailableError) and self._queue.is_shared:
            logger.warning("abandoning run %s to another orchestrator: %s", run.id, error.message)
            return
        is_known = isinstance(error, BestshotError)
        cause = _cause(error)
        logger.error("run %s failed: %s", run.id, cause, exc_info=None if is_known else error)
        failed = self._ended(RunState.FAILED, cause)
        try:
            await self._finish(failed)
        except Exception as again:
            logger.error("cannot store the end of run %s yet: %s", run.id, _cause(again))
            self._unstored[run.id] = failed

    def _ended(self, state: RunState, error: str = "") -> Run:
        assert self._live is not None
        return self._live.changed(state=state, error=error, end_time=utc_now())

    async def _finish(self, run: Run, outcome: Outcome | None = None) -> None:
        records, comparisons = None, {}
        if outcome is not None:
            records, comparisons = outcome.records, outcome.comparisons
            end = run.end_time or utc_now()
            elapsed = (end - (run.start_time or end)).total_seconds()
            summary = summarize(records, outcome.cached_count, elapsed)
            run = run.changed(summary=summary, notes=outcome.notes)
            for note in outcome.notes:
                logger.warning("run %s: %s", run.id, note)
        if not await asyncio.to_thread(self._queue.finish, run, records, comparisons):
            logger.warning("run %s is another orchestrator's now", run.id)
            return
        self._metrics.run_ended(
            run.state.value, {stage.stage: stage.elapsed_seconds for stage in run.stages}
        )

    async def _curate(self, run: Run) -> Outcome:
        request_id.set(run.id)  # what the services log of this run can be found by it
        with span("run", run_id=run.id, album_id=run.album_id):
            settings = stored_settings(run)
            services = await find_services(self._ports, settings)
            check_models(run, services)
            if settings.select_best.siamese.enabled:
                logger.info("Siamese comparison enabled")
            album = await asyncio.to_thread(self._store.album, run.album_id)
            log = await asyncio.to_thread(self._log.entries, run.album_id)
            decisions, corrections = decisions_in(log), corrections_in(log)
            await self._publish(
                run.changed(
                    decisions={digest: decision.value for digest, decision in decisions.items()},
                    corrections=recorded_corrections(corrections),
                )
            )
            return await self.pipeline(album, services, run).run(decisions, corrections)

    def pipeline(self, album: Album, services: Services, run: Run) -> Pipeline:
        """The pipeline of a run, under the run's own settings."""
        settings = stored_settings(run)
        return Pipeline(
            source=self._open_source(album),
            cache=self._cache,
            services=services,
            settings=settings,
            clustering=resolve_auto(settings.cluster_scenes, stored_calibration(run)),
            limits=self._limits,
            report=self._report,
            threads=self._threads,
        )

    async def _report(self, progress: StageProgress) -> None:
        assert self._live is not None
        earlier = tuple(stage for stage in self._live.stages if stage.stage != progress.stage)
        await self._publish(self._live.changed(stages=(*earlier, progress)))

    async def _publish(self, run: Run) -> None:
        self._live = run
        async with self._changed:
            self._changed.notify_all()


def _cause(error: BaseException) -> str:
    """What ended a run, for its record."""
    if isinstance(error, BestshotError):
        return _advice(error)
    # only the first line: SQLAlchemy appends the statement and all its values
    text = next(iter(str(error).splitlines()), "")[:200]
    problem = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"internal error ({problem}); see the orchestrator's log"


def _advice(error: BestshotError) -> str:
    if isinstance(error, (UnavailableError, *DATABASE_ERRORS)):
        kept = "Scores finished so far are kept: resume this run, or run again to continue"
        return f"{error.message}. {kept}"
    return error.message
