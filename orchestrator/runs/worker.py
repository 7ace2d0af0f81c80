"""Executes runs one after the other, while this orchestrator holds their lease."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from orchestrator.config import resolve_auto
from orchestrator.domain.album_changes import describe_album_changes, find_album_changes
from orchestrator.domain.decisions import UserDecisions
from orchestrator.metrics import RunMetrics
from orchestrator.ports import FeatureCache, ModelIdentity, ModelPorts, PhotoSource
from orchestrator.records import (
    Album,
    ImageRecord,
    Run,
    RunState,
    StageProgress,
    summarize,
    utc_now,
)
from orchestrator.runs.known_files import KnownFiles
from orchestrator.runs.model_check import check_models, find_services
from orchestrator.runs.pair_comparison import PairComparer
from orchestrator.runs.pipeline import Concurrency, KeepPicture, Outcome, Pipeline, Services
from orchestrator.runs.recorded_settings import (
    read_calibration,
    read_settings,
    record_corrections,
)
from orchestrator.runs.reference import read_reference
from orchestrator.runs.stored_features import joint_digest
from orchestrator.runs.who_is_where import (
    NOBODY,
    WhoIsWhere,
    read_people,
    record_people,
    store_persons,
)
from orchestrator.storage.database import DATABASE_ERRORS, DatabaseUnavailableError
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.file_stamps import SqlFileStamps
from orchestrator.storage.people_store import SqlPeople
from orchestrator.storage.photo_io import PhotoThreads
from orchestrator.storage.run_queue import Renewal, SqlRunQueue
from orchestrator.storage.run_store import SqlRunStore
from services.common.errors import BestshotError, UnavailableError
from services.common.process.request_id import request_id
from services.common.process.tracing import span

logger = logging.getLogger(__name__)

Announce = Callable[[Run], None]
"""Notifies others of a run that has ended; must not block."""

POLL_S = 1.0
"""Interval between checks for runs that other orchestrators have queued or abandoned."""
RENEW_S = 2.0
"""Interval at which a run's lease is renewed and its progress stored."""
ERASED = "People were not recognized: the identity vectors were erased during the run."


@dataclass
class _Work:
    """The run in progress.

    Attributes:
        run: Its latest state, which is stored only every `RENEW_S`.
        task: The task that executes it; None before it starts.
        is_lost: Whether another orchestrator has taken it over.
    """

    run: Run
    task: asyncio.Task[Outcome] | None = None
    is_lost: bool = False


class Worker:
    """Claims runs and executes them.

    An error in a run fails that run, never the worker.

    Args:
        queue: The queued runs.
        store: Albums.
        log: Decisions.
        people: Persons.
        cache: Features.
        stamps: The files that were hashed.
        ports: Model services.
        concurrency: Photos per batch, and batches at a time.
        open_source: Opens the photos of an album.
        metrics: Counts the runs that ended here.
        threads: Threads for reading and decoding photos; None = the worker's own.
        announce: Called with each run that has ended here, once its end is stored.
        keep_picture: Stores a preview of each photo for viewing.
    """

    def __init__(
        self,
        *,
        queue: SqlRunQueue,
        store: SqlRunStore,
        log: SqlDecisionLog,
        people: SqlPeople,
        cache: FeatureCache,
        stamps: SqlFileStamps,
        ports: ModelPorts,
        concurrency: Concurrency,
        open_source: Callable[[Album], PhotoSource],
        metrics: RunMetrics,
        threads: PhotoThreads | None = None,
        announce: Announce | None = None,
        keep_picture: KeepPicture = lambda key, jpeg: None,
    ) -> None:
        self._keep_picture = keep_picture
        self.announce = announce or (lambda run: None)
        self._threads = threads or PhotoThreads()
        self._queue = queue
        self._store = store
        self._log = log
        self._people = people
        self._cache = cache
        self._stamps = stamps
        self._ports = ports
        self._concurrency = concurrency
        self._open_source = open_source
        self._metrics = metrics
        self._wake = asyncio.Event()
        self._changed = asyncio.Condition()
        self._work: _Work | None = None
        self._unstored: dict[str, Run] = {}
        """Runs that failed here and whose final state is not stored in the database yet."""
        self._last_trouble = ""

    async def work(self) -> None:
        """Executes runs until cancelled."""
        while True:
            self._wake.clear()
            run = await self._next()
            if run is not None:
                try:
                    await self._execute(run)
                except Exception:  # once its lease expires, the run is claimed again or given up
                    logger.exception("abandoning run %s until its lease expires", run.id)
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_S)

    async def _next(self) -> Run | None:
        """Claims a run; None if none is waiting, or none can be claimed at the moment."""
        try:
            await self._store_ends()
            run = await asyncio.to_thread(self._queue.claim)
        except Exception as error:  # the next try may succeed, for example with more disk space
            trouble = error.message if isinstance(error, BestshotError) else repr(error)
            if trouble != self._last_trouble:  # a log line every second could fill up the disk
                known = isinstance(error, BestshotError)
                logger.error("cannot claim runs: %s", trouble, exc_info=not known)
            self._last_trouble = trouble
            return None
        self._last_trouble = ""
        return run

    async def _store_ends(self) -> None:
        for run in list(self._unstored.values()):
            try:
                if await asyncio.to_thread(self._queue.finish, run, None):
                    self.announce(run)
            except DATABASE_ERRORS:
                raise
            except Exception:  # must not keep other runs from being claimed
                logger.exception("cannot store the final state of run %s", run.id)
            del self._unstored[run.id]

    def wake(self) -> None:
        """Looks for runs at once instead of at the next poll."""
        self._wake.set()

    def live(self, run_id: str) -> Run | None:
        """Returns the state of a run that is in progress here, or whose end is not stored yet."""
        if self._work is not None and self._work.run.id == run_id:
            return self._work.run
        return self._unstored.get(run_id)

    def stop_cancelled(self, run_id: str) -> None:
        """Ends a cancelled run, if it is in progress here."""
        work = self._work
        if work is not None and work.run.id == run_id and work.task is not None:
            work.task.cancel()

    async def wait_for_change(self, run_id: str, revision: int) -> None:
        """Returns once the run may be newer than `revision`; polls if it runs elsewhere."""
        async with self._changed:
            live = self.live(run_id)
            if live is None or live.revision <= revision:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), POLL_S)

    async def _execute(self, run: Run) -> None:
        self._work = work = _Work(run)
        try:
            await self._carry_out(work)
        finally:
            self._work = None
        async with self._changed:
            self._changed.notify_all()

    async def _carry_out(self, work: _Work) -> None:
        work.task = task = asyncio.ensure_future(self._curate(work))
        lease = asyncio.ensure_future(self._hold(work, task))
        try:
            await self._publish(work, work.run)
            await asyncio.wait([task])  # `await task` could not tell its cancellation from ours
        except asyncio.CancelledError:
            task.cancel()
            lease.cancel()
            await asyncio.wait([task, lease])
            with contextlib.suppress(Exception):  # if it fails, the run is taken over later
                await asyncio.to_thread(self._queue.release, work.run)
            raise
        lease.cancel()
        await asyncio.wait([lease])
        try:
            await self._conclude(work, task)
        except Exception as error:
            await self._fail_or_abandon(work.run, error)

    async def _hold(self, work: _Work, task: asyncio.Task[Outcome]) -> None:
        """Renews the lease; cancels `task` if its run is cancelled or no longer ours."""
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                renewal = await asyncio.to_thread(self._queue.renew, work.run)
            except Exception as error:  # the run continues until another orchestrator has it
                logger.warning("cannot renew the lease of run %s: %s", work.run.id, error)
                continue
            if renewal is not Renewal.HELD:
                work.is_lost = renewal is Renewal.LOST
                task.cancel()

    async def _conclude(self, work: _Work, task: asyncio.Task[Outcome]) -> None:
        run = work.run
        error = None if task.cancelled() else task.exception()
        if isinstance(error, DATABASE_ERRORS):
            raise error
        if work.is_lost:
            logger.warning("lost run %s to another orchestrator", run.id)
        elif task.cancelled() or (error is not None and task.cancelling()):
            await self._finish(_end(run, RunState.CANCELLED))
        elif isinstance(error, BestshotError):
            logger.error("run %s failed: %s", run.id, error.message)
            await self._finish(_end(run, RunState.FAILED, _advice(error)))
        elif error is not None:
            logger.error("run %s failed", run.id, exc_info=error)
            await self._finish(_end(run, RunState.FAILED, _cause(error)))
        else:
            await self._finish(_end(run, RunState.COMPLETED), task.result())

    async def _fail_or_abandon(self, run: Run, error: Exception) -> None:
        """Fails a run whose results could not be stored, or leaves it to another orchestrator.

        If even the failure cannot be stored, watchers of the run still see it at once, and it is
        stored as soon as possible.
        """
        if isinstance(error, DatabaseUnavailableError) and self._queue.is_shared:
            logger.warning("abandoning run %s to another orchestrator: %s", run.id, error.message)
            return
        is_known = isinstance(error, BestshotError)
        cause = _cause(error)
        logger.error("run %s failed: %s", run.id, cause, exc_info=None if is_known else error)
        failed = _end(run, RunState.FAILED, cause)
        try:
            await self._finish(failed)
        except Exception as again:
            logger.error("cannot store the final state of run %s yet: %s", run.id, _cause(again))
            self._unstored[run.id] = failed

    async def _finish(self, run: Run, outcome: Outcome | None = None) -> None:
        records, comparisons = None, {}
        if outcome is not None:
            records, comparisons = outcome.records, outcome.comparisons
            end = run.end_time or utc_now()
            elapsed = (end - (run.start_time or end)).total_seconds()
            summary = summarize(records, outcome.cached_count, elapsed)
            changes = await asyncio.to_thread(self._describe_changes, run, outcome)
            run = run.revise(summary=summary, notes=(*run.notes, *changes, *outcome.notes))
            for note in outcome.notes:
                logger.warning("run %s: %s", run.id, note)
        if not await asyncio.to_thread(self._queue.finish, run, records, comparisons):
            logger.warning("lost run %s to another orchestrator", run.id)
            return
        self._metrics.run_ended(
            run.state.value, {stage.stage: stage.elapsed_seconds for stage in run.stages}
        )
        self.announce(run)

    def _describe_changes(self, run: Run, outcome: Outcome) -> tuple[str, ...]:
        """Describes how the album has changed since its last run, if there was one."""
        before = self._store.last_contents(run.album_id)
        after = {record.path: record.content_digest for record in outcome.records}
        changes = find_album_changes(before, after) if before else None
        note = describe_album_changes(changes, outcome.cached_count) if changes else ""
        return (note,) if note else ()

    async def _curate(self, work: _Work) -> Outcome:
        run = work.run
        request_id.set(run.id)  # makes the services' log lines for this run searchable
        with span("run", run_id=run.id, album_id=run.album_id):
            settings = read_settings(run)
            services = await find_services(self._ports, settings)
            check_models(run, services)
            if settings.select_best.siamese.enabled:
                logger.info("Siamese CNN enabled for comparison")
            album = await asyncio.to_thread(self._store.album, run.album_id)
            pipeline = Pipeline(
                source=self._open_source(album),
                cache=self._cache,
                known_files=KnownFiles(self._stamps, album.id),
                services=services,
                settings=settings,
                clustering=resolve_auto(settings.cluster_scenes, read_calibration(run)),
                concurrency=self._concurrency,
                report=partial(self._report, work),
                threads=self._threads,
                store_vectors=partial(self._people.store_vectors, run_time=run.create_time),
                reference=await asyncio.to_thread(read_reference, self._store, run, settings),
                keep_picture=self._keep_picture,
            )
            return await pipeline.run(
                partial(self._read_decisions, work), partial(self._find_people, work, services)
            )

    async def _find_people(
        self, work: _Work, services: Services, records: Sequence[ImageRecord]
    ) -> WhoIsWhere:
        """Assigns all faces to persons, and records in the run who is in its photos."""
        if services.same_person_similarity is None:
            return NOBODY
        is_done = await asyncio.to_thread(
            self._people.use_model,
            joint_digest(services.models),
            services.same_person_similarity,
            work.run.create_time,
        )
        if not is_done:
            await self._publish(work, work.run.revise(notes=(*work.run.notes, ERASED)))
            return NOBODY
        known = await asyncio.to_thread(read_people, self._people, records)
        persons = store_persons(record_people(records, known), known.persons)
        await self._publish(work, work.run.revise(persons=persons))
        return known

    async def _read_decisions(self, work: _Work) -> UserDecisions:
        """Reads the decisions that the run applies, and records them in the run."""
        log = await asyncio.to_thread(self._log.entries, work.run.album_id)
        decisions = UserDecisions.from_log(log)
        run = work.run.revise(
            decisions={digest: value.value for digest, value in decisions.photos.items()},
            corrections=record_corrections(decisions.corrections),
        )
        await self._publish(work, run)
        return decisions

    def comparer(self, album: Album, model: ModelIdentity) -> PairComparer:
        """Builds a comparer for use outside a run; it keeps no pictures, because many may exist."""
        source = self._open_source(album)
        return PairComparer(
            source, self._cache, self._ports.comparer, model, self._threads, kept_bytes=0
        )

    async def _report(self, work: _Work, progress: StageProgress) -> None:
        earlier = tuple(stage for stage in work.run.stages if stage.stage != progress.stage)
        await self._publish(work, work.run.revise(stages=(*earlier, progress)))

    async def _publish(self, work: _Work, run: Run) -> None:
        work.run = run
        async with self._changed:
            self._changed.notify_all()


def _end(run: Run, state: RunState, error: str = "") -> Run:
    return run.revise(state=state, error=error, end_time=utc_now())


def _cause(error: BaseException) -> str:
    """Describes why a run failed, for its record."""
    if isinstance(error, BestshotError):
        return _advice(error)
    # only the first line: SQLAlchemy appends the statement and all its values
    text = next(iter(str(error).splitlines()), "")[:200]
    problem = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"internal error ({problem}); see the orchestrator's log"


def _advice(error: BestshotError) -> str:
    if isinstance(error, (UnavailableError, *DATABASE_ERRORS)):
        kept = "Scores computed so far are kept: resume this run, or start a new one"
        return f"{error.message}. {kept}"
    return error.message
