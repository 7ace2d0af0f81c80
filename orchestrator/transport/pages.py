"""Reads stored results, in pages, for gRPC, JSON and the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from orchestrator.config import PipelineConfig, Profile
from orchestrator.domain.decisions import DecisionEntry, find_in_force
from orchestrator.domain.people.faces import Box
from orchestrator.domain.photo import Decision
from orchestrator.domain.scoring import PersonPenalties
from orchestrator.export.download import DownloadFormat, download
from orchestrator.ports import FeatureCache
from orchestrator.records import Album, Cluster, ImageFilter, ImageRecord, Run
from orchestrator.review.evaluation import Evaluation, evaluate
from orchestrator.review.pair_learning import AskedPair, LearnedWeights, ask_pairs, learn_weights
from orchestrator.review.run_diff import Change, RunDiff
from orchestrator.review.run_statistics import Histogram, cluster_sizes, histograms
from orchestrator.review.tuning import Proposal, tune
from orchestrator.run_service import Curator, check_profile
from orchestrator.runs.pipeline import THUMBNAIL_LONG_SIDE_PX
from orchestrator.runs.recorded_settings import read_penalties
from orchestrator.storage.album_folders import OpenSource
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.image_query import ImageQuery
from orchestrator.storage.people_store import (
    PeopleQuestion,
    PersonFace,
    PersonSummary,
    SqlPeople,
)
from orchestrator.storage.photo_io import PhotoThreads
from orchestrator.storage.rendition_files import RenditionFiles
from orchestrator.storage.run_store import PersonCount, SqlRunStore
from orchestrator.transport import page_token
from orchestrator.viewing.pictures import (
    MAX_FACE_PX,
    MAX_LONG_SIDE_PX,
    PhotoPictures,
    thumbnail,
)
from orchestrator.viewing.tiles import Tile
from services.common.errors import InvalidArgumentError

ItemT = TypeVar("ItemT")


@dataclass(frozen=True)
class PageRequest:
    """A request for a page, as in the List messages of orchestrator.proto."""

    page_size: int = 0
    page_token: str = ""
    skip: int = 0


@dataclass(frozen=True)
class Page(Generic[ItemT]):
    """A page.

    Attributes:
        items: In order.
        next_page_token: Empty on the last page.
        total_count: Number of items on all pages; None if not counted.
    """

    items: list[ItemT]
    next_page_token: str
    total_count: int | None = None


QUESTION_COUNT, MAX_QUESTION_COUNT = 5, 100
Result = tuple[ImageRecord, Decision | None, PersonPenalties]
"""A photo in a run, the user's decision on it, and the run's settings for its faces."""


@dataclass(frozen=True)
class PairsPage:
    """Pairs to show, the numbers of answers so far, and what `image_message` needs for each."""

    page: Page[AskedPair]
    choice_count: int
    unsure_count: int
    decisions: dict[str, Decision]
    penalties: PersonPenalties


@dataclass(frozen=True)
class Statistics:
    """Photo counts of a run, as in GetRunStatisticsResponse."""

    image_count: int
    filter_counts: dict[ImageFilter, int]
    histograms: list[Histogram]
    cluster_sizes: list[tuple[int, int]]
    cameras: dict[str, int]
    capture_dates: dict[str, int]
    people: list[PersonCount]


@dataclass(frozen=True)
class ProfileSettings:
    """The settings of a profile.

    Attributes:
        profile: Its name.
        config: Values in force, nested like configs/pipeline.yaml.
        profiles: All profiles by name.
    """

    profile: str
    config: dict[str, Any]
    profiles: dict[str, Profile]


class Reader:
    """Reads stored results, for the gRPC, JSON and command line layers."""

    def __init__(
        self,
        curator: Curator,
        store: SqlRunStore,
        log: SqlDecisionLog,
        people: SqlPeople,
        cache: FeatureCache,
        config: PipelineConfig,
        open_source: OpenSource,
        renditions: RenditionFiles,
        threads: PhotoThreads | None = None,
        roots: Sequence[Path] = (),
    ) -> None:
        self.threads = threads or PhotoThreads()
        self._pictures = PhotoPictures(self.threads, renditions)
        self._curator = curator
        self._store = store
        self._log = log
        self._people = people
        self._cache = cache
        self._config = config
        self._tuning = asyncio.Lock()
        self._last_diff: tuple[tuple[str, str], RunDiff] | None = None
        self._open_source = open_source
        self._roots = roots

    async def album(self, album_id: str) -> Album:
        """Returns one album."""
        return await asyncio.to_thread(self._store.album, album_id)

    async def albums(self, wanted: PageRequest) -> Page[Album]:
        """Lists the albums, oldest first."""
        size, offset = _bounds(wanted, "albums")
        found = await asyncio.to_thread(self._store.list_albums, size + 1, offset)
        return Page(found[:size], _next_token(len(found), size, offset, "albums"))

    async def run(self, run_id: str) -> Run:
        """Returns the current state of a run."""
        return await self._curator.run(run_id)

    async def runs(self, album_id: str, wanted: PageRequest) -> Page[Run]:
        """Lists the runs of an album (empty = all albums), newest first."""
        query = ("runs", album_id)
        size, offset = _bounds(wanted, *query)
        found = await asyncio.to_thread(self._store.list_runs, album_id, size + 1, offset)
        runs = [self._curator.current(run) for run in found[:size]]
        return Page(runs, _next_token(len(found), size, offset, *query))

    async def images(
        self,
        run_id: str,
        wanted: PageRequest,
        query: ImageQuery,
    ) -> Page[Result]:
        """Returns the photos in a run."""
        run = await self._curator.run(run_id)
        size, offset = _bounds(wanted, run.id, query)
        total = await asyncio.to_thread(self._store.count_images, run.id, query)
        found = await asyncio.to_thread(
            self._store.images, run.id, query, limit=size, offset=offset
        )
        decisions = await asyncio.to_thread(self._log.decisions, run.album_id)
        penalties = read_penalties(run)
        return Page(
            [(record, decisions.get(record.content_digest), penalties) for record in found],
            _next_token(total - offset, size, offset, run.id, query),
            total,
        )

    async def image(self, run_id: str, path: str) -> Result:
        """Returns one photo in a run."""
        run = await self._curator.run(run_id)
        record = await asyncio.to_thread(self._store.image, run.id, path)
        decisions = await asyncio.to_thread(self._log.decisions, run.album_id)
        return record, decisions.get(record.content_digest), read_penalties(run)

    async def clusters(self, run_id: str, wanted: PageRequest) -> Page[Cluster]:
        """Lists the clusters of a run, ordered by id."""
        query = ("clusters", run_id)
        size, offset = _bounds(wanted, *query)
        await self._curator.run(run_id)
        found = await asyncio.to_thread(self._store.clusters, run_id, size + 1, offset)
        return Page(found[:size], _next_token(len(found), size, offset, *query))

    async def statistics(self, run_id: str) -> Statistics:
        """Counts a run's photos."""
        run = await self._curator.run(run_id)
        counts = await asyncio.to_thread(self._store.count_by_filter, run.id)
        scores = await asyncio.to_thread(self._store.scores, run.id)
        clusters = await asyncio.to_thread(self._store.clusters, run.id)
        return Statistics(
            image_count=await asyncio.to_thread(self._store.count_images, run.id),
            filter_counts=counts,
            histograms=histograms(scores),
            cluster_sizes=cluster_sizes(clusters, counts[ImageFilter.NOISE]),
            cameras=await asyncio.to_thread(self._store.count_by_camera, run.id),
            capture_dates=await asyncio.to_thread(self._store.count_by_date, run.id),
            people=await asyncio.to_thread(self._store.count_by_person, run.id),
        )

    async def picture(
        self,
        run_id: str,
        path: str,
        long_side_px: int,
        *,
        is_of_faces: bool = False,
        face_box: Box | None = None,
        tile: Tile | None = None,
    ) -> bytes:
        """Returns a JPEG of a photo, its faces in a row, one face, or a tile; 0 px = thumbnail.

        Raises:
            InvalidArgumentError: `long_side_px`, the box or the tile is out of bounds.
        """
        if face_box is not None and not face_box.is_in_picture():
            raise InvalidArgumentError("face_box", f"{face_box} is not within the photo")
        long_side_px = long_side_px or THUMBNAIL_LONG_SIDE_PX
        if not 0 < long_side_px <= MAX_LONG_SIDE_PX:
            raise InvalidArgumentError(
                "long_side_px", f"{long_side_px} is not between 1 and {MAX_LONG_SIDE_PX}"
            )
        photo = await asyncio.to_thread(self._store.photo, run_id, path)
        is_whole = not is_of_faces and face_box is None and tile is None
        if long_side_px <= THUMBNAIL_LONG_SIDE_PX and is_whole:
            return await asyncio.to_thread(thumbnail, self._cache, photo)
        source = self._open_source(photo.album)
        if tile is not None:
            return await self._pictures.tile(photo, source, tile)
        side_px = min(long_side_px, MAX_FACE_PX)
        if face_box is not None:
            return await self._pictures.face(photo, source, side_px, face_box)
        if is_of_faces:
            record = await asyncio.to_thread(self._store.image, run_id, path)
            return await self._pictures.faces(photo, source, side_px, record.faces)
        return await self._pictures.whole(photo, source, long_side_px)

    async def file(self, run_id: str, wanted: DownloadFormat) -> IO[bytes]:
        """Opens a run's results as one file; the caller closes it."""
        run = await self._curator.run(run_id)
        album = await self.album(run.album_id)
        async with self.threads.hold_results(run):
            records = await asyncio.to_thread(self._store.images, run.id)
            return await self.threads.exports.run(
                download, album, run, records, wanted, self._cache, self._roots
            )

    async def diff(
        self, run_id: str, other_run_id: str, wanted: PageRequest
    ) -> tuple[RunDiff, tuple[Change, ...], str]:
        """Returns the diff of two runs, a page of its photo changes, and the next page token."""
        query = ("diff", run_id, other_run_id)
        size, offset = _bounds(wanted, *query)
        # Comparing large runs takes seconds, so later pages reuse the diff of the first.
        key = (run_id, other_run_id)
        if offset and self._last_diff is not None and self._last_diff[0] == key:
            diff = self._last_diff[1]
        else:
            diff = await self._curator.diff(run_id, other_run_id)
        token = _next_token(len(diff.photos) - offset, size, offset, *query)
        self._last_diff = (key, diff) if token else None
        return diff, diff.photos[offset : offset + size], token

    async def evaluation(self, run_id: str) -> Evaluation:
        """Returns how well the algorithm's picks agree with the user's decisions."""
        run = await self._curator.run(run_id)
        async with self.threads.hold_results(run):
            return await self.threads.decodes.run(
                evaluate, self._store, self._log, self._cache, run
            )

    async def proposal(self, run_id: str) -> Proposal:
        """Proposes settings that agree with more of the user's decisions."""
        run = await self._curator.run(run_id)
        # one at a time, because each can keep a core busy for minutes
        async with self._tuning, self.threads.hold_results(run):
            return await self.threads.decodes.run(tune, self._store, self._log, self._cache, run)

    async def pairs(self, run_id: str, wanted: PageRequest) -> PairsPage:
        """Lists pairs in a run that the user has not answered yet, the least certain first."""
        query = ("pairs", run_id)
        size, offset = _bounds(wanted, *query)
        run = await self._curator.run(run_id)
        async with self.threads.hold_results(run):
            found = await asyncio.to_thread(ask_pairs, self._store, self._log, run)
        decisions = await asyncio.to_thread(self._log.decisions, run.album_id)
        token = _next_token(len(found.pairs) - offset, size, offset, *query)
        page = Page(found.pairs[offset : offset + size], token, len(found.pairs))
        return PairsPage(
            page, found.choice_count, found.unsure_count, decisions, read_penalties(run)
        )

    async def learned_weights(self, run_id: str) -> LearnedWeights:
        """Returns what the user's answers about pairs say about a run's weights."""
        run = await self._curator.run(run_id)
        async with self.threads.hold_results(run):
            return await asyncio.to_thread(learn_weights, self._store, self._log, run)

    async def settings(self, profile: str) -> ProfileSettings:
        """Returns the settings of a profile; empty = the orchestrator's own.

        Raises:
            InvalidArgumentError: There is no such profile.
        """
        profiles = await asyncio.to_thread(self._config.profiles)
        name = profile or self._config.profile
        check_profile(name, self._config.profile_names())
        values = await asyncio.to_thread(self._config.load, name)
        return ProfileSettings(name, values.model_dump(mode="json"), profiles)

    async def decisions(
        self, album_id: str, wanted: PageRequest
    ) -> Page[tuple[DecisionEntry, bool]]:
        """Returns an album's log, oldest first, and whether each entry is in force."""
        query = ("decisions", album_id)
        size, offset = _bounds(wanted, *query)
        await self.album(album_id)
        log = await asyncio.to_thread(self._log.entries, album_id)
        counting = {entry.id for entry in find_in_force(log)}
        page = [(entry, entry.id in counting) for entry in log[offset : offset + size]]
        token = _next_token(len(log) - offset, size, offset, *query)
        return Page(page, token, len(log))

    async def people(self, wanted: PageRequest) -> Page[PersonSummary]:
        """Returns the people of all albums."""
        size, offset = _bounds(wanted, "people")
        total = await asyncio.to_thread(self._people.count_people)
        found = await asyncio.to_thread(self._people.list_people, size, offset)
        return Page(found, _next_token(total - offset, size, offset, "people"), total)

    async def people_questions(self, count: int) -> list[PeopleQuestion]:
        """Returns up to `count` (at most 100; 0 = 5) questions about uncertain faces that matter.

        Raises:
            InvalidArgumentError: `count` is negative.
        """
        count = min(page_token.page_size(count), MAX_QUESTION_COUNT) if count else QUESTION_COUNT
        return await asyncio.to_thread(self._people.questions, count)

    async def person_faces(self, person_id: str, wanted: PageRequest) -> Page[PersonFace]:
        """Returns the faces of a person, the clearest first."""
        query = ("faces", person_id)
        size, offset = _bounds(wanted, *query)
        await asyncio.to_thread(self._people.person, person_id)
        total = await asyncio.to_thread(self._people.count_faces, person_id)
        found = await asyncio.to_thread(self._people.faces, person_id, size, offset)
        return Page(found, _next_token(total - offset, size, offset, *query), total)


def _bounds(wanted: PageRequest, *query: object) -> tuple[int, int]:
    size = page_token.page_size(wanted.page_size)
    return size, page_token.offset(wanted.page_token, wanted.skip, *query)


def _next_token(found: int, size: int, offset: int, *query: object) -> str:
    return page_token.encode(offset + size, *query) if found > size else ""
