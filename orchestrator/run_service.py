"""Operations on runs: start, watch, cancel, resume, reselect, compare."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from orchestrator.config import PipelineConfig, PipelineSettings
from orchestrator.domain.decisions import DecisionEntry
from orchestrator.domain.explanation import Explanation
from orchestrator.export.profile_file import write_profile
from orchestrator.ports import FeatureCache, ModelIdentity, ModelPorts
from orchestrator.records import Album, ImageRecord, Run, RunState, check_completed, utc_now
from orchestrator.review import reselection
from orchestrator.review.decision_entries import add_decisions
from orchestrator.review.decision_watch import Addition, DecisionWatch
from orchestrator.review.explain_photo import explain_photo
from orchestrator.review.reselection import Stores
from orchestrator.review.run_diff import RunDiff, compare_runs
from orchestrator.runs.model_check import ask_models, check_models, find_services
from orchestrator.runs.pair_comparison import PairComparer
from orchestrator.runs.pipeline import Services
from orchestrator.runs.recorded_settings import read_settings, record_config
from orchestrator.runs.reference import find_reference
from orchestrator.runs.versions import find_versions
from orchestrator.runs.worker import Worker
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.people_store import SqlPeople
from orchestrator.storage.photo_io import PhotoThreads
from orchestrator.storage.run_queue import SqlRunQueue
from orchestrator.storage.run_store import SqlRunStore
from services.common.config.folders import MODEL_SERVICES, user_profiles_dir
from services.common.config.layers import nearest
from services.common.errors import (
    BestshotError,
    ConfigError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)

logger = logging.getLogger(__name__)

_PROFILE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")

COMPARER_WAIT_S = 3.0
"""How long a decision waits for a Siamese service that is not responding."""


class Curator:
    """Operations on runs, both stored ones and the one in progress.

    Args:
        store: Runs and results.
        log: Decisions.
        people: Persons.
        queue: The queued runs.
        cache: Features.
        ports: Model services.
        config: Source of run settings.
        worker: Executes the runs.
        threads: Limits the memory for the results of runs; None = separate limits.
    """

    def __init__(
        self,
        *,
        store: SqlRunStore,
        log: SqlDecisionLog,
        people: SqlPeople,
        queue: SqlRunQueue,
        cache: FeatureCache,
        ports: ModelPorts,
        config: PipelineConfig,
        worker: Worker,
        threads: PhotoThreads | None = None,
    ) -> None:
        self._threads = threads or PhotoThreads()
        self._store = store
        self._queue = queue
        self._cache = cache
        self._ports = ports
        self._config = config
        self._worker = worker
        self._stores = Stores(store, log, cache, people)
        self._watch = DecisionWatch(store, log)

    async def start_run(
        self,
        album: Album,
        profile: str,
        overrides: dict[str, Any],
        run_id: str,
        reference_run_id: str | None = None,
    ) -> Run:
        """Checks settings and services and queues a run; if the id exists, returns that run.

        `reference_run_id` is the run whose picks the new run keeps; None = the newest that fits.

        Raises:
            InvalidArgumentError: A setting is invalid.
            FailedPreconditionError: A model service does not fit the settings.
        """
        with contextlib.suppress(NotFoundError):
            return await self.run(run_id)
        settings = self._load_settings(profile, overrides)
        services = await find_services(self._ports, settings)
        calibration = await self._ports.embedder.calibration()
        run = Run(
            id=run_id,
            album_id=album.id,
            state=RunState.PENDING,
            profile=profile or self._config.profile,
            config=record_config(settings, calibration, services.same_person_similarity),
            models={role: dataclasses.asdict(model) for role, model in services.models.items()},
            versions=await asyncio.to_thread(find_versions),
            create_time=utc_now(),
            notes=(
                *self._describe_other_models(profile, services.models),
                *_describe_missing_identity(settings, services),
            ),
        )
        run = await asyncio.to_thread(self._add_reference, run, reference_run_id)
        await asyncio.to_thread(self._store.save_run, run)
        self._worker.wake()
        return run

    def _add_reference(self, run: Run, reference_run_id: str | None) -> Run:
        if reference_run_id is None:
            reference_run_id = find_reference(self._store, run)
        elif reference_run_id:
            earlier = self._store.run(reference_run_id)
            check_completed(earlier, "used as a reference")
            if earlier.album_id != run.album_id:
                raise InvalidArgumentError(
                    "reference_run_id", f"run {earlier.id} belongs to another album"
                )
        return dataclasses.replace(run, reference_run_id=reference_run_id)

    def _describe_other_models(
        self, profile: str, served: Mapping[str, ModelIdentity]
    ) -> Iterator[str]:
        """Lists models that differ from those of the profile; a run cannot change served models."""
        for role in [role for role in MODEL_SERVICES if role in served]:
            model = served[role]
            model_id = self._config.model_id(role, profile)
            if model_id == model.fallback_for_model_id:
                yield f"The {role} service uses {model.id}: the files of {model_id} are missing."
            elif model_id != model.id:
                yield (
                    f"The {role} service uses {model.id}, not {model_id} from the "
                    f"`{profile or self._config.profile}` profile."
                )

    async def resume(self, run_id: str) -> Run:
        """Queues an unfinished run again, under its own settings.

        Raises:
            FailedPreconditionError: The run is in progress or completed, or a model service no
                longer serves the run's model.
        """
        run = await self.run(run_id)
        check_models(run, await find_services(self._ports, read_settings(run)))
        pending = await asyncio.to_thread(self._queue.requeue, run_id)
        self._worker.wake()
        return pending

    def current(self, run: Run) -> Run:
        """Adds the latest progress to a stored run; progress is stored only every two seconds."""
        return self._worker.live(run.id) or run

    async def run(self, run_id: str) -> Run:
        """Returns the current state of a run."""
        live = self._worker.live(run_id)
        return live if live else await asyncio.to_thread(self._store.run, run_id)

    async def watch(self, run_id: str) -> AsyncIterator[Run]:
        """Yields the current state of a run, then each later one; a slow reader misses some."""
        seen = -1
        while True:
            run = await self.run(run_id)
            if run.revision > seen:
                seen = run.revision
                yield run
            if run.state.is_final:
                return
            await self._worker.wait_for_change(run_id, seen)

    async def cancel(self, run_id: str) -> Run:
        """Asks a run to stop, whichever orchestrator executes it.

        It gets no results, but its scores so far stay in the cache, and `resume` uses them.
        """
        await asyncio.to_thread(self._queue.cancel, run_id)
        self._worker.stop_cancelled(run_id)
        run = await self.run(run_id)
        if run.state.is_final:  # it was still queued, so no worker announces its end
            self._worker.announce(run)
        return run

    async def is_active(self, album_id: str) -> bool:
        """Whether a run of the album is queued or running."""
        return await asyncio.to_thread(self._store.is_active, album_id)

    async def reselect(
        self, run: Run, overrides: dict[str, Any], new_run_id: str
    ) -> reselection.Reselection:
        """Clusters and selects again, using a completed run's scores.

        Raises:
            FailedPreconditionError: The run is not completed.
            InvalidArgumentError: A setting is invalid.
        """
        check_completed(run, "reselected")
        async with self._threads.hold_results(run):
            return await asyncio.to_thread(
                reselection.reselect, self._stores, run, overrides, new_run_id
            )

    async def diff(self, run_id: str, other_run_id: str) -> RunDiff:
        """Compares two completed runs with their results.

        Raises:
            FailedPreconditionError: One of the runs is not completed.
        """
        first, second = await self.run(run_id), await self.run(other_run_id)
        for run in (first, second):
            check_completed(run, "compared")
        async with self._threads.hold_results(first, second):
            return await asyncio.to_thread(self._diff, first, second)

    async def explain(self, run_id: str, path: str) -> Explanation:
        """Explains why a photo was or was not picked; see `explain_photo`."""
        run = await self.run(run_id)
        async with self._threads.hold_results(run):
            return await asyncio.to_thread(explain_photo, self._store, self._cache, run, path)

    async def decide(
        self, album_id: str, entries: Sequence[DecisionEntry], run: Run | None
    ) -> tuple[int, list[ImageRecord]]:
        """Adds decisions to the album's log; see `decision_entries.add_decisions`.

        If the Siamese service serves the run's model, pairs that the selection then needs are
        compared, so the result equals that of a new run.

        Returns:
            Number of entries added, and the photos in the run whose result changed.
        """
        added_count, update = await asyncio.to_thread(
            add_decisions, self._stores, album_id, entries, run
        )
        changed = {record.path: record for record in update.changed}
        if run is not None and update.missing_pairs:
            digests = await self._compare_missing(run, update.missing_pairs)
            again = await asyncio.to_thread(
                reselection.reselect_moments, self._stores, run.id, digests
            )
            changed.update((record.path, record) for record in again.changed)
        if added_count:
            await self._watch.publish()
        return added_count, [changed[path] for path in sorted(changed)]

    def watch_decisions(
        self, album_id: str, known_count: int | None, run_id: str
    ) -> AsyncIterator[Addition]:
        """Yields additions to an album's log; see `DecisionWatch.watch`."""
        return self._watch.watch(album_id, known_count, run_id)

    async def ask_models(self) -> dict[str, ModelIdentity | BestshotError]:
        """Asks every model service which model it serves; returns the model or error by role."""
        return await ask_models(self._ports)

    async def compare(self, run: Run, first_path: str, second_path: str) -> float:
        """Returns the probability that the first of two photos in a run is the better one."""
        first = await asyncio.to_thread(self._store.image, run.id, first_path)
        second = await asyncio.to_thread(self._store.image, run.id, second_path)
        for record in (first, second):
            if not record.is_readable:
                raise FailedPreconditionError(f"{record.path} could not be read: {record.error}")
        model = await self._ports.comparer.model()
        comparer = await self._comparer(run, model)
        digests = {record.path: record.content_digest for record in (first, second)}
        pair = (first_path, second_path)
        known = await asyncio.to_thread(comparer.find_known, [pair], digests)
        answers = known or await comparer.compare([pair], digests)
        if pair not in answers:
            raise UnavailableError("the siamese service could not compare the two photos")
        return answers[pair]

    async def _comparer(self, run: Run, model: ModelIdentity) -> PairComparer:
        album = await asyncio.to_thread(self._store.album, run.album_id)
        return self._worker.comparer(album, model)

    async def _compare_missing(self, run: Run, pairs: list[tuple[str, str]]) -> list[str]:
        """Compares pairs of a run; returns the content digests of the compared photos."""
        try:
            async with asyncio.timeout(COMPARER_WAIT_S):
                model = await self._ports.comparer.model()
            if model.digest != run.models["siamese"]["digest"]:
                return []
            paths = sorted({path for pair in pairs for path in pair})
            records = [await asyncio.to_thread(self._store.image, run.id, path) for path in paths]
            comparer = await self._comparer(run, model)
            digests = {record.path: record.content_digest for record in records}
            answered = await comparer.compare(pairs, digests)
            return sorted({digests[path] for pair in answered for path in pair})
        except (BestshotError, TimeoutError) as error:
            logger.warning("cannot compare pairs of run %s: %s", run.id, error)
            return []

    def _diff(self, first: Run, second: Run) -> RunDiff:
        before, after = self._store.images(first.id), self._store.images(second.id)
        return compare_runs(first, before, second, after)

    async def keep_profile(
        self, name: str, base: str, description: str, overrides: dict[str, Any]
    ) -> None:
        """Stores settings as a user's profile, which later runs can name.

        Args:
            name: Name of the profile, which no other profile may have.
            base: The profile that it is based on; empty = the default one.
            description: Purpose of the profile.
            overrides: Settings that differ from those of `base`.

        Raises:
            InvalidArgumentError: The name is taken or invalid, there is no such base, or a setting
                is invalid.
        """
        await asyncio.to_thread(self._keep_profile, name, base, description, overrides)

    def _keep_profile(
        self, name: str, base: str, description: str, overrides: dict[str, Any]
    ) -> None:
        base = base or self._config.profile
        if not _PROFILE_NAME.fullmatch(name):
            raise InvalidArgumentError(
                "name",
                f"{name[:200]!r} is not a valid profile name: use 1 to 40 lower-case letters, "
                "digits, - and _, starting with a letter",
            )
        path = user_profiles_dir() / f"{name}.yaml"
        if name in self._config.profile_names() and not os.path.lexists(path):
            raise InvalidArgumentError(
                "name", f"{name!r} is a profile that bestshot ships; choose another name"
            )
        self._load_settings(base, overrides)
        write_profile(path, self._config.read_profile(base), description, overrides)

    def _load_settings(self, profile: str, overrides: dict[str, Any]) -> PipelineSettings:
        check_profile(profile or self._config.profile, self._config.profile_names())
        try:
            return self._config.load(profile, overrides)
        except ConfigError as error:
            raise InvalidArgumentError("config_overrides", error.message) from error


def _describe_missing_identity(settings: PipelineSettings, services: Services) -> Iterator[str]:
    if settings.people.enabled and services.same_person_similarity is None:
        yield (
            "People were not recognized: the face service has no identity model. Run `bestshot "
            "models pull mobilefacenet`, and restart the service."
        )


def check_profile(name: str, known: Iterable[str]) -> None:
    """Checks that a profile exists.

    Raises:
        InvalidArgumentError: There is no such profile; the message names the nearest one.
    """
    names = sorted(known)
    if name not in names:
        raise InvalidArgumentError(
            "profile", f"there is no profile {name[:200]!r}{nearest(name, names)}"
        )
