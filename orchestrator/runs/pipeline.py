"""One run: discover, score, cluster, compare, select. Resumable, because features are cached."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import numpy as np

from orchestrator import features as codec
from orchestrator.config import PipelineSettings
from orchestrator.domain.content import classify
from orchestrator.domain.decisions import UserDecisions
from orchestrator.domain.moments.parameters import ClusterParameters
from orchestrator.domain.photo import FaceScores, QualityScores, Reason
from orchestrator.domain.selection.selection import Selection
from orchestrator.domain.selection.verdict import Pair
from orchestrator.domain.stability import NO_REFERENCE, Reference
from orchestrator.domain.verdict_sentences import (
    describe_everybody,
    describe_shortfall,
    describe_unreadable,
    describe_unsupported,
    describe_unused_sidecars,
)
from orchestrator.metadata.reader import (
    METADATA_VERSION,
    FileMetadata,
    assemble_facts,
    metadata_from_json,
    metadata_to_json,
    needs_companions,
    read_metadata,
)
from orchestrator.metadata.sidecars import order_sidecars
from orchestrator.ports import (
    Embedder,
    Embedding,
    FaceAnalyzer,
    FeatureCache,
    FoundFaces,
    Miniature,
    ModelIdentity,
    PhotoComparer,
    PhotoFile,
    PhotoSource,
    QualityScorer,
)
from orchestrator.records import ImageRecord, StageProgress
from orchestrator.runs.known_files import KnownFiles, Sidecars, UnchangedPhoto, read_sidecars
from orchestrator.runs.known_moments import KnownMoments
from orchestrator.runs.overlaps import Overlaps
from orchestrator.runs.pair_comparison import PairComparer, split_into_blocks
from orchestrator.runs.selection import (
    Moments,
    assign_moments,
    build_selection,
    file_facts,
    find_moments,
    keep_earlier_moments,
    select_photos,
)
from orchestrator.runs.stored_features import (
    NO_MODEL,
    READ_COUNT,
    Key,
    identity_key,
    miniature_key,
    stack_embeddings,
    stack_miniatures,
)
from orchestrator.runs.versions import find_versions
from orchestrator.runs.who_is_where import (
    WhoIsWhere,
    describe_missing_landmarks,
    describe_people,
    record_people,
    split_moments,
)
from orchestrator.storage.companions import is_film, is_raw_file
from orchestrator.storage.people_store import IDENTITY_ROLE
from orchestrator.storage.photo_io import PhotoThreads, StalledError
from orchestrator.storage.rendition_files import PREVIEW_PX, rendition_key
from services.common.errors import (
    BestshotError,
    InvalidImageError,
    UnsupportedImageError,
)
from services.common.imaging.decode import (
    CANONICAL_VERSION,
    RgbImage,
    encode_thumbnail,
    is_canonical,
)
from services.common.imaging.miniature import miniature

logger = logging.getLogger(__name__)

THUMBNAIL_LONG_SIDE_PX = 320
BATCH_BYTES = 64 * 10**6
"""Maximum total size of the files in a batch; larger files are read one at a time."""

FACTS_ROLE, THUMBNAIL_ROLE = "facts", codec.THUMBNAIL_ROLE
METADATA_ROLE = "metadata"
_SCORING_ROLES = ("embedding", "quality", "face")
FIRST_VERSION = "1"
"""Version of the canonical image that is assumed for stored facts that do not state one."""

ResultT = TypeVar("ResultT")
Parameters = ParamSpec("Parameters")
Report = Callable[[StageProgress], Awaitable[None]]
KeepPicture = Callable[[str, bytes], None]


@dataclass(frozen=True)
class Services:
    """The model services of a run, with the models that they serve.

    Attributes:
        same_person_similarity: Threshold of the identity model; None if the run does not
            recognize people.
    """

    embedder: Embedder
    scorer: QualityScorer
    analyzer: FaceAnalyzer
    comparer: PhotoComparer
    models: Mapping[str, ModelIdentity]
    same_person_similarity: float | None = None


@dataclass(frozen=True)
class Concurrency:
    """How many photos make up a batch, and how many batches are processed at a time."""

    batch_count: int
    concurrent_batches: int


@dataclass(frozen=True)
class ScoredPhoto:
    """A photo after the score stage.

    Attributes:
        record: The photo's record, with its scores or its error.
        embedding: Unit vector; None if the photo is unreadable.
        miniature: Its miniature; None if the photo is unreadable.
        is_cached: Whether all its features came from the cache.
    """

    record: ImageRecord
    embedding: Embedding | None
    miniature: Miniature | None
    is_cached: bool


@dataclass(frozen=True)
class Outcome:
    """A run's results."""

    records: list[ImageRecord]
    comparisons: dict[Pair, float]
    cached_count: int
    notes: tuple[str, ...] = ()


class Pipeline:
    """Runs the stages over one album.

    Args:
        source: The album's photos.
        cache: Features of earlier runs.
        known_files: Files that earlier runs have hashed.
        services: The model services.
        settings: The run's settings.
        clustering: The run's clustering parameters, with `auto` resolved.
        concurrency: Photos per batch, and batches at a time.
        report: Receives every change in a stage's progress.
        threads: Threads for reading and decoding photos.
        reference: The earlier run whose moments and picks are kept.
        keep_picture: Stores a preview of each decoded photo, by its `rendition_key`.
    """

    def __init__(
        self,
        *,
        source: PhotoSource,
        cache: FeatureCache,
        known_files: KnownFiles,
        services: Services,
        settings: PipelineSettings,
        clustering: ClusterParameters,
        concurrency: Concurrency,
        report: Report,
        threads: PhotoThreads,
        store_vectors: Callable[[Mapping[Key, bytes]], bool],
        reference: Reference = NO_REFERENCE,
        keep_picture: KeepPicture = lambda key, jpeg: None,
    ) -> None:
        self._threads = threads
        self._store_vectors = store_vectors
        self._keep_picture = keep_picture
        self._reference = reference
        self._source = source
        self._cache = cache
        self._known_files = known_files
        self._services = services
        self._settings = settings
        self._clustering = clustering
        self._concurrency = concurrency
        self._report = report
        model = services.models.get("siamese")
        self._comparer = (
            PairComparer(source, cache, services.comparer, model, threads) if model else None
        )
        self._overlaps = Overlaps(cache)
        self._notes: list[str] = []
        self._unused_sidecars: dict[str, str] = {}
        self._is_erased = False

    async def run(
        self,
        read_decisions: Callable[[], Awaitable[UserDecisions]],
        find_people: Callable[[Sequence[ImageRecord]], Awaitable[WhoIsWhere]],
    ) -> Outcome:
        """Curates the album.

        Args:
            read_decisions: Returns the user's decisions for the moments and the selection. Called
                after scoring, so that decisions made in the meantime count.
            find_people: Returns who is in the photos. Also called after scoring.

        Raises:
            BestshotError: The album contains no photos, or a service fails. Scores that are
                finished by then stay in the cache.
        """
        photos = await self._discover()
        scored = await self._score(photos)
        readable = [photo.record for photo in scored if photo.embedding is not None]
        embeddings = stack_embeddings(
            [photo.embedding for photo in scored if photo.embedding is not None]
        )
        miniatures = stack_miniatures(
            [photo.miniature for photo in scored if photo.miniature is not None]
        )
        moments = await self._cluster(embeddings, miniatures, readable)
        known = await find_people(readable)
        readable, moments = split_moments(
            record_people(readable, known),
            moments,
            known.persons,
            is_enabled=self._settings.people.split_moments,
        )
        decisions = await read_decisions()
        records = assign_moments(readable, moments, decisions.corrections)
        selection = build_selection(
            records,
            embeddings,
            self._settings,
            decisions.photos,
            self._reference,
            known.persons,
        )
        comparisons = await self._compare(
            selection, {record.path: record.content_digest for record in records}
        )
        progress = _Stage("select", self._report, total=len(photos))
        selected, missing = select_photos(records, selection, comparisons)
        broken = [photo.record for photo in scored if photo.embedding is None]
        self._notes.extend(
            describe_unsupported(
                [
                    record.format
                    for record in broken
                    if record.reason_code == Reason.UNSUPPORTED_FORMAT
                ]
            )
        )
        self._notes.extend(describe_unused_sidecars(self._unused_sidecars))
        goal, picks = self._settings.select_best.goal, [one for one in selected if one.is_selected]
        self._notes.extend(describe_shortfall(goal, len(selected), len(picks)))
        shown = [record.person_ids for record in records]
        self._notes.extend(describe_people(shown, known.persons))
        if self._has_identity:
            self._notes.extend(describe_missing_landmarks(records))
        self._notes.extend(describe_everybody(goal, shown, missing, known.persons))
        await progress.advance(len(photos))
        await progress.report()
        return Outcome(
            records=sorted([*selected, *broken], key=lambda record: record.path),
            comparisons=comparisons,
            cached_count=sum(photo.is_cached for photo in scored),
            notes=tuple(self._notes),
        )

    async def _discover(self) -> list[PhotoFile]:
        progress = _Stage("discover", self._report)
        found = await self._threads.reads.run(
            self._source.find_photos, self._settings.find_photos.exclude
        )
        self._notes.extend(found.notes)
        await progress.advance(len(found.photos))
        await progress.report()
        return found.photos

    async def _score(self, photos: Sequence[PhotoFile]) -> list[ScoredPhoto]:
        """Scores all photos, a few batches at a time; the first failure stops all batches."""
        progress = _Stage("score", self._report, total=len(photos))
        await progress.report()
        results = await self._recall(photos, progress)
        rest = [photo for photo in photos if photo.path not in results]
        batches = _photo_batches(rest, self._concurrency.batch_count)

        async def work() -> None:
            for batch in batches:
                scored = await self._score_batch(batch)
                results.update((photo.record.path, photo) for photo in scored)
                await progress.advance(
                    len(batch),
                    failed=sum(photo.embedding is None for photo in scored),
                    cached=sum(photo.is_cached for photo in scored),
                )

        await run_workers(work, self._concurrency.concurrent_batches)
        await asyncio.to_thread(self._known_files.store, [photo.path for photo in photos])
        await progress.report()
        return [results[photo.path] for photo in photos]

    async def _recall(
        self, photos: Sequence[PhotoFile], progress: _Stage
    ) -> dict[str, ScoredPhoto]:
        """Finds the scores of photos whose files have not changed, without reading them."""
        results: dict[str, ScoredPhoto] = {}
        await asyncio.to_thread(self._known_files.load)
        if self._settings.find_photos.read_unchanged:
            return results
        for start in range(0, len(photos), READ_COUNT):
            part = photos[start : start + READ_COUNT]
            try:
                unchanged = await self._threads.reads.run(
                    self._known_files.find_unchanged, self._source, part
                )
            except StalledError:  # reading the photos one by one shows which of them hangs
                await self._threads.reads.run(self._source.check_reachable)
                break
            scored = await asyncio.to_thread(self._assemble_unchanged, unchanged)
            results.update((photo.record.path, photo) for photo in scored)
            await progress.advance(len(scored), cached=len(scored))
        return results

    def _assemble_unchanged(self, unchanged: Sequence[UnchangedPhoto]) -> list[ScoredPhoto]:
        """Looks up unchanged photos; leaves out those whose data is incomplete."""
        features = self._look_up({found.content_digest for found in unchanged})
        scored = []
        for found in unchanged:
            digest = found.content_digest
            if _metadata_key(digest) not in features or not self._is_complete(digest, features):
                continue
            metadata = metadata_from_json(codec.unpack_json(features[_metadata_key(digest)]))
            if _lacks_raw_file(found.photo, metadata, found.sidecars):
                continue
            self._unused_sidecars.update(found.sidecars.unused)
            facts = _combine_facts(found.photo, metadata, found.sidecars, {})
            read = _Read(found.photo, digest, "")
            scored.append(self._assemble(read, features, {}, facts, is_cached=True))
        return scored

    def _look_up(self, digests: Iterable[str]) -> dict[Key, bytes]:
        """Reads photos' cached features; for thumbnails, only finds out whether they are cached."""
        keys: list[Key] = []
        thumbnails: list[Key] = []
        for digest in sorted(digests):
            by_role = self._keys(digest)
            thumbnails.append(by_role.pop(THUMBNAIL_ROLE))
            keys += [*by_role.values(), _metadata_key(digest)]
            if self._has_identity:
                keys.append(identity_key(digest, self._services.models))
        return {**self._cache.get(keys), **dict.fromkeys(self._cache.find(thumbnails), b"")}

    async def _score_batch(self, photos: Sequence[PhotoFile]) -> list[ScoredPhoto]:
        read: dict[str, _Read] = {}
        features: dict[Key, bytes] = {}
        decoded: dict[str, _Decoded | InvalidImageError] = {}
        for part in await self._find_parts(photos, read):
            # Reserve all the memory at once: parts that hold some and wait for more could deadlock.
            async with self._threads.contents.hold(sum(photo.size_bytes for photo in part)):
                known, fresh = await self._decode_part(part, read)
            features.update(known)
            decoded.update(fresh)
        computed, errors = await self._compute(decoded, features)
        await self._store(computed)
        features.update(computed)
        facts = await asyncio.gather(
            *(self._find_facts(photo, read[photo.path].digest, features) for photo in photos)
        )
        return [
            self._assemble(
                read[photo.path],
                features,
                errors,
                found,
                is_cached=read[photo.path].digest not in decoded,
            )
            for photo, found in zip(photos, facts, strict=True)
        ]

    async def _store(self, computed: Mapping[Key, bytes]) -> None:
        vectors = {key: payload for key, payload in computed.items() if key[1] == IDENTITY_ROLE}
        others = {key: payload for key, payload in computed.items() if key not in vectors}
        await asyncio.to_thread(self._cache.put, others)
        if not await asyncio.to_thread(self._store_vectors, vectors):
            self._is_erased = True

    async def _find_parts(
        self, photos: Sequence[PhotoFile], read: dict[str, _Read]
    ) -> list[list[PhotoFile]]:
        """Splits photos by their current sizes, which may have changed since they were listed."""
        sizes = await asyncio.gather(
            *(self._try(self._source.size, photo.path) for photo in photos)
        )
        sized = []
        for photo, size in zip(photos, sizes, strict=True):
            if isinstance(size, str):
                read[photo.path] = _Read(photo, "", size)
            else:
                sized.append(dataclasses.replace(photo, size_bytes=size))
        return list(_photo_batches(sized, len(photos)))

    async def _decode_part(
        self, photos: Sequence[PhotoFile], read: dict[str, _Read]
    ) -> tuple[dict[Key, bytes], dict[str, _Decoded | InvalidImageError]]:
        """Reads photos; returns their cached features, and decoded those that lack some."""
        contents: dict[str, bytes] = {}
        found = await asyncio.gather(
            *(
                self._try(self._known_files.read, self._source, photo.path, photo.size_bytes)
                for photo in photos
            )
        )
        for photo, outcome in zip(photos, found, strict=True):
            if isinstance(outcome, str):
                read[photo.path] = _Read(photo, "", outcome)
            else:
                content, digest = outcome
                contents[digest] = content
                read[photo.path] = _Read(photo, digest, "")
        known = await asyncio.to_thread(self._look_up, contents)
        known.update(await self._read_metadata(contents, known))
        missing = [digest for digest in contents if not self._is_complete(digest, known)]
        decoded = await asyncio.gather(
            *(
                self._threads.decodes.run(self._decode, digest, contents[digest])
                for digest in missing
            )
        )
        return known, dict(zip(missing, decoded, strict=True))

    async def _read_metadata(
        self, contents: Mapping[str, bytes], known: Mapping[Key, bytes]
    ) -> dict[Key, bytes]:
        """Reads and stores missing metadata of files, by digest."""
        missing = [digest for digest in contents if _metadata_key(digest) not in known]
        found = await asyncio.gather(
            *(self._threads.decodes.run(read_metadata, contents[digest]) for digest in missing)
        )
        fresh = {
            _metadata_key(digest): codec.pack_json(metadata_to_json(metadata))
            for digest, metadata in zip(missing, found, strict=True)
        }
        await asyncio.to_thread(self._cache.put, fresh)
        return fresh

    async def _find_facts(
        self, photo: PhotoFile, digest: str, features: Mapping[Key, bytes]
    ) -> dict[str, Any]:
        """Combines the metadata of a photo, its sidecars and its RAW file into record fields."""
        sidecars = await self._read_sidecars(photo)
        self._unused_sidecars.update(sidecars.unused)
        if not digest:
            return {}
        metadata = metadata_from_json(codec.unpack_json(features[_metadata_key(digest)]))
        companions = {}
        if _lacks_raw_file(photo, metadata, sidecars):
            companions = await self._read_companions(photo)
        return _combine_facts(photo, metadata, sidecars, companions)

    async def _read_companions(self, photo: PhotoFile) -> dict[str, FileMetadata]:
        """Reads the metadata of a photo's RAW files."""
        found: dict[str, FileMetadata] = {}
        for path in filter(is_raw_file, photo.companion_paths):
            size = await self._try(self._source.size, path)
            if isinstance(size, str):
                continue
            async with self._threads.contents.hold(size):
                content = await self._try(self._source.read, path, size)
                if isinstance(content, bytes):
                    found[path] = await self._threads.decodes.run(read_metadata, content)
        return found

    async def _read_sidecars(self, photo: PhotoFile) -> Sidecars:
        """Reads a photo's sidecars."""
        paths = order_sidecars(photo.path, photo.companion_paths)
        if not paths:
            return Sidecars({}, {})
        found = await self._try(read_sidecars, self._source, photo)
        return Sidecars({}, dict.fromkeys(paths, found)) if isinstance(found, str) else found

    @property
    def _has_identity(self) -> bool:
        return IDENTITY_ROLE in self._services.models and not self._is_erased

    def _is_complete(self, digest: str, known: Mapping[Key, bytes]) -> bool:
        """Whether nothing remains to be computed for a photo."""
        return self._is_scored(digest, known) and (
            not self._has_identity or identity_key(digest, self._services.models) in known
        )

    def _is_scored(self, digest: str, known: Mapping[Key, bytes]) -> bool:
        """Whether a photo's scores are cached, and based on pixels that are still canonical."""
        keys = self._keys(digest)
        if any(key not in known for key in keys.values()):
            return False
        facts = codec.unpack_json(known[keys[FACTS_ROLE]])
        return is_canonical(facts["format"], facts.get("canonical_version", FIRST_VERSION))

    async def _try(
        self,
        call: Callable[Parameters, ResultT],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> ResultT | str:
        """Calls a function that reads a photo; returns the error message if that fails."""
        try:
            return await self._threads.reads.run(call, *args, **kwargs)
        except InvalidImageError as error:
            return error.message
        except StalledError as error:
            # a single hanging file counts as unreadable, but if the whole album is gone, waiting
            # for every file would take forever
            await self._threads.reads.run(self._source.check_reachable)
            return error.message

    def _keys(self, digest: str) -> dict[str, Key]:
        """Returns the cache keys of a photo's features, by role."""
        keys = {role: (digest, role, self._services.models[role].digest) for role in _SCORING_ROLES}
        for role in (FACTS_ROLE, THUMBNAIL_ROLE):
            keys[role] = (digest, role, NO_MODEL)
        return {**keys, codec.MINIATURE_ROLE: miniature_key(digest)}

    async def _compute(
        self,
        decoded: Mapping[str, _Decoded | InvalidImageError],
        known: Mapping[Key, bytes],
    ) -> tuple[dict[Key, bytes], dict[str, InvalidImageError]]:
        """Scores decoded photos by digest; returns cache entries, and errors by digest."""
        pictures: dict[str, Mapping[int, RgbImage]] = {}
        entries: dict[Key, bytes] = {}
        errors: dict[str, InvalidImageError] = {}
        for digest, outcome in decoded.items():
            if isinstance(outcome, InvalidImageError):
                errors[digest] = outcome
            else:
                pictures[digest] = outcome.pictures
                if self._comparer is not None:
                    self._comparer.keep_pixels(digest, self._fitted(outcome.pictures, "siamese"))
                keys = self._keys(digest)
                entries[keys[FACTS_ROLE]] = codec.pack_json(outcome.facts)
                entries[keys[THUMBNAIL_ROLE]] = outcome.thumbnail
                entries[keys[codec.MINIATURE_ROLE]] = outcome.miniature
        scored = {
            digest: pictures.pop(digest) for digest in decoded if self._is_scored(digest, known)
        }
        if pictures:
            await self._infer(pictures, entries, errors)
        if scored:
            entries.update(await self._identify(scored))
        return {key: payload for key, payload in entries.items() if key[0] not in errors}, errors

    async def _infer(
        self,
        pictures: Mapping[str, Mapping[int, RgbImage]],
        entries: dict[Key, bytes],
        errors: dict[str, InvalidImageError],
    ) -> None:
        """Calls the three services in parallel on decoded photos."""
        models = self._services.models

        def fitted(role: str) -> list[RgbImage]:
            return [self._fitted(one, role) for one in pictures.values()]

        embeddings, qualities, faces = await asyncio.gather(
            self._services.embedder.embed(fitted("embedding"), models["embedding"]),
            self._services.scorer.score(fitted("quality"), models["quality"]),
            self._find_faces(fitted("face")),
        )
        for digest, embedding, quality, found in zip(
            pictures, embeddings, qualities, faces, strict=True
        ):
            keys = self._keys(digest)
            for role, result in (
                ("embedding", embedding),
                ("quality", quality),
                ("face", found),
            ):
                if isinstance(result, BestshotError):
                    errors[digest] = InvalidImageError(
                        f"the {role} service could not analyse it: {result.message}"
                    )
                else:
                    entries[keys[role]] = _pack(result)
            if isinstance(found, FoundFaces):
                entries[identity_key(digest, models)] = codec.pack_identities(found.identified)

    async def _find_faces(
        self, images: Sequence[RgbImage]
    ) -> Sequence[tuple[FaceScores, ...] | FoundFaces | BestshotError]:
        """Calls the face service, for vectors too if the run recognizes people."""
        analyzer, models = self._services.analyzer, self._services.models
        if not self._has_identity:
            return await analyzer.analyze(images, models["face"])
        return await analyzer.identify(images, models["face"], models[IDENTITY_ROLE])

    async def _identify(self, pictures: Mapping[str, Mapping[int, RgbImage]]) -> dict[Key, bytes]:
        """Computes the vectors of photos that were scored by a run without them."""
        found = await self._find_faces([self._fitted(one, "face") for one in pictures.values()])
        return {
            identity_key(digest, self._services.models): codec.pack_identities(faces.identified)
            for digest, faces in zip(pictures, found, strict=True)
            if isinstance(faces, FoundFaces)
        }

    def _fitted(self, pictures: Mapping[int, RgbImage], role: str) -> RgbImage:
        """Selects the picture of the size that a model requires."""
        return pictures[self._services.models[role].input_long_side_px]

    def _decode(self, digest: str, content: bytes) -> _Decoded | InvalidImageError:
        try:
            image = self._source.decode(content)
        except InvalidImageError as error:
            return error
        preview = encode_thumbnail(image.picture, PREVIEW_PX)
        self._keep_picture(rendition_key(digest, max(image.pixels.shape[:2])), preview)
        facts = {
            "width_px": image.source_width_px,
            "height_px": image.source_height_px,
            "format": image.format,
            "damage": image.damage,
            "is_animated": image.is_animated,
            "canonical_version": CANONICAL_VERSION,
        }
        sides = {model.input_long_side_px for model in self._services.models.values()}
        return _Decoded(
            pictures={side: image.fit(side) for side in sides},
            thumbnail=encode_thumbnail(image.picture, THUMBNAIL_LONG_SIDE_PX),
            miniature=codec.pack_miniature(miniature(image.picture)),
            facts=facts,
        )

    def _assemble(
        self,
        item: _Read,
        features: Mapping[Key, bytes],
        errors: Mapping[str, InvalidImageError],
        facts: Mapping[str, Any],
        *,
        is_cached: bool,
    ) -> ScoredPhoto:
        """Builds a photo's record.

        An unreadable photo's record has an error instead of scores. Pages and the CSV list it with
        the sentence of `describe_unreadable`.
        """
        record = ImageRecord(
            path=item.photo.path,
            content_digest=item.digest,
            size_bytes=item.photo.size_bytes,
            companion_paths=item.photo.companion_paths,
            version_of_path=item.photo.version_of_path,
        )
        record = dataclasses.replace(record, **facts)
        found = errors.get(item.digest)
        error = item.error or (found.message if found else "")
        if error:
            reason, known_format = Reason.UNREADABLE, ""
            if isinstance(found, UnsupportedImageError):
                reason, known_format = Reason.UNSUPPORTED_FORMAT, found.format
            broken = dataclasses.replace(
                record,
                error=error,
                format=known_format,
                reason_code=reason.value,
                reason=describe_unreadable(error),
            )
            return ScoredPhoto(broken, None, None, is_cached=False)
        keys = self._keys(item.digest)
        pixels = codec.unpack_json(features[keys[FACTS_ROLE]])
        quality = codec.quality_from_json(codec.unpack_json(features[keys["quality"]]))
        record = dataclasses.replace(
            record,
            width_px=pixels["width_px"],
            height_px=pixels["height_px"],
            format=pixels["format"],
            damage=pixels["damage"],
            quality=quality,
            faces=codec.faces_from_json(codec.unpack_json(features[keys["face"]])),
        )
        kind = classify(quality, file_facts(record), is_animated=pixels.get("is_animated", False))
        record = dataclasses.replace(record, content_class=kind.value)
        return ScoredPhoto(
            record,
            codec.unpack_embedding(features[keys["embedding"]]),
            codec.unpack_miniature(features[keys[codec.MINIATURE_ROLE]]),
            is_cached=is_cached,
        )

    async def _cluster(
        self, embeddings: Embedding, miniatures: Miniature, records: Sequence[ImageRecord]
    ) -> Moments:
        progress = _Stage("cluster", self._report, total=len(embeddings))
        await progress.report()
        moments = await asyncio.to_thread(self._find_moments, embeddings, miniatures, records)
        await progress.advance(len(embeddings))
        await progress.report()
        return moments

    def _find_moments(
        self, embeddings: Embedding, miniatures: Miniature, records: Sequence[ImageRecord]
    ) -> Moments:
        inputs = embeddings, miniatures, records, self._clustering, self._settings.keep_sets

        def find(note: Callable[[str], object]) -> Moments:
            overlaps = self._overlaps
            return find_moments(*inputs, note, overlaps.measure, overlaps.count_features)

        models = {role: self._services.models[role].digest for role in _SCORING_ROLES}
        known = KnownMoments(self._cache, find_versions(), models)
        moments = known.find(*inputs, find, self._notes.append)
        return keep_earlier_moments(moments, records, self._reference)

    async def _compare(self, selection: Selection, digests: Mapping[str, str]) -> dict[Pair, float]:
        """Compares the pairs that the selection needs, except those in the cache."""
        pairs = selection.pairs_to_compare()
        progress = _Stage("compare", self._report, total=len(pairs))
        await progress.report()
        comparer = self._comparer
        if comparer is None:  # the settings do not use comparisons
            return {}
        comparisons = await asyncio.to_thread(comparer.find_known, pairs, digests)
        await progress.advance(len(comparisons), cached=len(comparisons))
        blocks = split_into_blocks([pair for pair in pairs if pair not in comparisons])

        async def work() -> None:
            for block in blocks:
                answers = await comparer.compare_block(block, digests)
                comparisons.update(answers)
                await progress.advance(len(block), failed=len(block) - len(answers))

        await run_workers(work, self._concurrency.concurrent_batches)
        await progress.report()
        return comparisons


@dataclass(frozen=True)
class _Read:
    photo: PhotoFile
    digest: str
    error: str


@dataclass(frozen=True)
class _Decoded:
    """What is derived from a photo in one decode.

    Attributes:
        pictures: Its pixels for each long side that a model requires (0 = canonical).
        thumbnail: JPEG.
        miniature: See `pack_miniature`.
        facts: JSON data.
    """

    pictures: Mapping[int, RgbImage]
    thumbnail: bytes
    miniature: bytes
    facts: dict[str, Any]


class _Stage:
    """Counts a stage's items and reports them."""

    def __init__(self, name: str, report: Report, total: int = 0) -> None:
        self._report = report
        self._began = time.monotonic()
        self._progress = StageProgress(stage=name, total_count=total)

    async def advance(self, count: int, *, failed: int = 0, cached: int = 0) -> None:
        now = self._progress
        self._progress = dataclasses.replace(
            now,
            completed_count=now.completed_count + count,
            total_count=max(now.total_count, now.completed_count + count),
            failed_count=now.failed_count + failed,
            cached_count=now.cached_count + cached,
            elapsed_seconds=time.monotonic() - self._began,
        )
        await self._report(self._progress)

    async def report(self) -> None:
        """Reports the current progress, at the start and the end of the stage."""
        await self.advance(0)


async def run_workers(work: Callable[[], Awaitable[None]], count: int) -> None:
    """Runs `count` copies of `work`; the first failure cancels the others and is raised."""
    tasks = [asyncio.ensure_future(work()) for _ in range(count)]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _lacks_raw_file(photo: PhotoFile, metadata: FileMetadata, sidecars: Sidecars) -> bool:
    """Whether the photo's RAW file may have metadata that the photo and its sidecars lack."""
    has_raw_file = any(map(is_raw_file, photo.companion_paths))
    return has_raw_file and needs_companions(metadata, sidecars.readable)


def _combine_facts(
    photo: PhotoFile,
    metadata: FileMetadata,
    sidecars: Sidecars,
    companions: Mapping[str, FileMetadata],
) -> dict[str, Any]:
    """Combines the metadata of a photo, its sidecars and its RAW files into record fields."""
    facts = assemble_facts(photo.path, metadata, sidecars.readable, companions)
    if any(map(is_film, photo.companion_paths)):
        facts["camera_facts"] = dataclasses.replace(facts["camera_facts"], has_video=True)
    return facts


def _metadata_key(digest: str) -> Key:
    """Returns the cache key of a file's own metadata."""
    return digest, METADATA_ROLE, METADATA_VERSION


def _pack(result: Embedding | QualityScores | tuple[FaceScores, ...] | FoundFaces) -> bytes:
    if isinstance(result, np.ndarray):
        return codec.pack_embedding(result)
    if isinstance(result, QualityScores):
        return codec.pack_json(codec.quality_to_json(result))
    faces = result.faces if isinstance(result, FoundFaces) else result
    return codec.pack_json(codec.faces_to_json(faces))


def _photo_batches(photos: Sequence[PhotoFile], count: int) -> Iterator[list[PhotoFile]]:
    """Yields batches of at most `count` photos and `BATCH_BYTES`; larger photos come alone."""
    batch: list[PhotoFile] = []
    for photo in photos:
        size = sum(other.size_bytes for other in batch) + photo.size_bytes
        if batch and (len(batch) == count or size > BATCH_BYTES):
            yield batch
            batch = []
        batch.append(photo)
    if batch:
        yield batch
